import numpy as np
from numba import njit, types
from numba.extending import typeof_impl

from gpuprune.binding import bind


class Witness:
    """An argument that sees how often Numba asks for its type."""

    asked = 0


@typeof_impl.register(Witness)
def _type_of_witness(witness, _context):
    witness.asked += 1
    return types.none


@njit
def double(_witness, values, out):
    out[:] = 2 * values


def test_a_bound_call_reads_its_arrays_afresh():
    values, out = np.ones(3), np.zeros(3)
    call = bind(double, None, values, out)
    call()
    assert out.tolist() == [2, 2, 2]
    values[1] = 5
    call()
    assert out.tolist() == [2, 10, 2]


def test_types_are_asked_for_at_the_first_call_and_never_again():
    witness = Witness()
    call = bind(double, witness, np.ones(3), np.zeros(3))
    assert witness.asked == 0
    call()
    first = witness.asked
    call()
    assert (first, witness.asked) == (1, 1)
