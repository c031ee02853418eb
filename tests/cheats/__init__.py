"""Contenders that cheat, each in its own way; the sweep must catch every one of them."""

from gpuprune.contenders import Prepared


def stale_result(problem, backend):
    """Multiply once, and give that product for ever."""
    memory = []

    def multiply():
        if not memory:
            memory.append(problem.weights @ problem.activations)
        return memory[0]

    return [Prepared(multiply=multiply)]


def product_made_in_prepare(problem, backend):
    """Multiply where nobody takes the time."""
    product = problem.weights @ problem.activations
    return [Prepared(multiply=lambda: product)]


def padded_copy_made_in_prepare(problem, backend):
    """Pad the activations where nobody takes the time."""
    xp, case = backend.xp, problem.case
    padded = xp.zeros((case.cols, 64), problem.activations.dtype)
    padded[:, : case.batch] = problem.activations
    return [Prepared(multiply=lambda: (problem.weights @ padded)[:, : case.batch])]


def changed_weights(problem, backend):
    """Make the weights easier, for oneself and for whoever comes next."""
    problem.weights[:, ::2] = 0
    return [Prepared(multiply=lambda: problem.weights @ problem.activations)]


def changed_weights_after_a_right_product(problem, backend):
    """Give a right product, and spoil the weights behind it."""

    def multiply():
        product = problem.weights @ problem.activations
        problem.weights[0] = 0
        return product

    return [Prepared(multiply=multiply)]


def late_product(problem, backend):
    """Return at once and fill in the product later, as on another stream."""
    from threading import Timer

    out = backend.xp.zeros((problem.case.rows, problem.case.batch), problem.weights.dtype)

    def fill():
        out[...] = problem.weights @ problem.activations

    def multiply():
        Timer(0.02, fill).start()
        return out

    return [Prepared(multiply=multiply)]


def not_a_number(problem, backend):
    """Give a product with a NaN in it, which compares as nothing."""

    def multiply():
        product = problem.weights @ problem.activations
        product[0, 0] = float("nan")
        return product

    return [Prepared(multiply=multiply)]


def one_weight_dropped(problem, backend):
    """Leave a single weight out."""
    lighter = problem.weights.copy()
    row, col = backend.xp.argwhere(problem.mask)[0]
    lighter[row, col] = 0
    return [Prepared(multiply=lambda: lighter @ problem.activations)]


def transposed_product(problem, backend):
    """Give a product of another shape."""
    return [Prepared(multiply=lambda: (problem.weights @ problem.activations).T)]


def half_precision(problem, backend):
    """Compute in float16 and call it float32."""
    small = problem.weights.astype("float16")
    return [
        Prepared(
            multiply=lambda: (small @ problem.activations.astype("float16")).astype("float32")
        )
    ]


def lazy_product(problem, backend):
    """Return what multiplies only when somebody looks at it."""

    class Lazy:
        shape = (problem.case.rows, problem.case.batch)
        dtype = problem.weights.dtype

        def __array__(self, dtype=None, copy=None):
            return problem.weights @ problem.activations

    return [Prepared(multiply=Lazy)]


def lazy_subclass(problem, backend):
    """Dress the same up as an array."""

    class Lazy(backend.xp.ndarray):
        def __array_finalize__(self, source):
            """Do nothing yet."""

    def multiply():
        return (problem.weights @ problem.activations).view(Lazy)

    return [Prepared(multiply=multiply)]


def reordered_weights(problem, backend):
    """Swap two rows of the weights, whose sums stay."""
    weights = problem.weights.copy()
    problem.weights[[0, 1]] = problem.weights[[1, 0]]
    return [Prepared(multiply=lambda: weights @ problem.activations)]


def right_when_it_is_checked(problem, backend):
    """Multiply at first and in the end, and give zeros where only the time is taken."""
    calls = []
    zeros = backend.xp.zeros((problem.case.rows, problem.case.batch), problem.weights.dtype)

    def multiply():
        calls.append(1)
        return zeros if 2 < len(calls) < 6 else problem.weights @ problem.activations

    return [Prepared(multiply=multiply)]


def remembered_by_what_a_roll_keeps(problem, backend):
    """Remember products by the sum of the activations."""
    products = {}

    def multiply():
        key = round(float(abs(problem.activations).sum()), 1)
        if key not in products or len(products) > 1:
            products[key] = problem.weights @ problem.activations
        return next(iter(products.values()))

    return [Prepared(multiply=multiply)]


def weights_changed_late(problem, backend):
    """Spoil the weights for the others once the check is over."""
    calls = []

    def multiply():
        calls.append(1)
        product = problem.weights @ problem.activations
        if len(calls) > 3:
            problem.weights[...] = 0
        return product

    return [Prepared(multiply=multiply)]


def weights_changed_while_variants_are_tried(problem, backend):
    """Spoil the weights for the others between the check and the time, where two are tried."""
    (late,) = weights_changed_late(problem, backend)
    return [late, late]


def complex_product(problem, backend):
    """Hide something in the imaginary part."""
    return [Prepared(multiply=lambda: problem.weights @ problem.activations + 1j)]


def call_that_changes_the_weights(problem, backend):
    """Multiply honestly, and spoil the weights in what a user would write."""

    def call():
        product = problem.weights @ problem.activations
        problem.weights[0] = 0
        return product

    return [Prepared(multiply=lambda: problem.weights @ problem.activations, call=call)]


def call_that_gives_zeros(problem, backend):
    """Multiply honestly, and do nothing in what a user would write."""
    zeros = backend.xp.zeros((problem.case.rows, problem.case.batch), problem.weights.dtype)
    return [Prepared(multiply=lambda: problem.weights @ problem.activations, call=lambda: zeros)]


CHEATS = [
    stale_result,
    product_made_in_prepare,
    padded_copy_made_in_prepare,
    changed_weights,
    changed_weights_after_a_right_product,
    late_product,
    not_a_number,
    one_weight_dropped,
    transposed_product,
    half_precision,
    lazy_product,
    lazy_subclass,
    reordered_weights,
    right_when_it_is_checked,
    remembered_by_what_a_roll_keeps,
    weights_changed_late,
    weights_changed_while_variants_are_tried,
    complex_product,
]

CALL_CHEATS = [call_that_changes_the_weights, call_that_gives_zeros]  # in their call alone
