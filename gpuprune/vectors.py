"""SIMD vectors as values of Numba code: blocks of them are loaded, multiplied and stored.

LLVM turns plain loops into vectors only behind run-time checks that arrays do not overlap, which
cost these kernels as much as the arithmetic. So they name the vectors, and pass the compiler a
`steps.Step` that says how many there are.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    intrinsic,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)

from gpuprune.steps import Step, registers

PREFETCH_BYTES = 2048  # ahead in what is streamed: the processor itself does not look past a page


class _StepType(types.Type):  # type: ignore[misc]
    def __init__(self, step: Step) -> None:
        self.step = step
        super().__init__(name=repr(step))


register_model(_StepType)(models.OpaqueModel)


@typeof_impl.register(Step)
def _type_of_step(step: Step, _context: Any) -> _StepType:
    return _StepType(step)


@unbox(_StepType)
def _unbox_step(_type: Any, _value: Any, compiler: Any) -> NativeValue:
    return NativeValue(compiler.context.get_dummy_value())


@infer_getattr
class _StepAttributes(AttributeTemplate):  # type: ignore[misc]
    key = _StepType

    def generic_resolve(self, of: _StepType, name: str) -> types.Type:
        return types.literal(int(getattr(of.step, name)))


@lower_getattr_generic(_StepType)
def _constant(context: Any, _builder: Any, of: _StepType, _value: Any, name: str) -> ir.Value:
    return context.get_constant(types.intp, int(getattr(of.step, name)))


class _BlockType(types.Type):  # type: ignore[misc]
    """Some vectors of a dtype, which LLVM keeps in registers."""

    def __init__(self, dtype: types.Type, count: int) -> None:
        self.dtype = dtype
        self.count = count
        self.lanes = registers().bytes * 8 // dtype.bitwidth
        super().__init__(name=f"block of {count} x {self.lanes} {dtype}")


@register_model(_BlockType)
class _BlockModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, block: _BlockType) -> None:
        scalar = manager.lookup(block.dtype).get_value_type()
        vector = ir.VectorType(scalar, block.lanes)
        super().__init__(manager, block, ir.ArrayType(vector, block.count))


@intrinsic(prefer_literal=True)
def load(_typing: Any, array: Any, at: Any, count: Any) -> tuple[Any, Callable[..., Any]]:
    """Load `count` vectors, a constant, from `array[at:]` (flat, however aligned)."""
    block = _BlockType(array.dtype, count.literal_value)

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> ir.Value:
        addresses = _vectors_at(context, builder, array, values[0], values[1], block)
        vectors = [builder.load(one, align=block.dtype.bitwidth // 8) for one in addresses]
        return _pack(builder, context.get_value_type(block), vectors)

    return block(array, types.intp, count), generate


@intrinsic(prefer_literal=True)
def zeros(_typing: Any, array: Any, count: Any) -> tuple[Any, Callable[..., Any]]:
    """Make `count` vectors, a constant, of zeros of an array's dtype."""
    block = _BlockType(array.dtype, count.literal_value)

    def generate(context: Any, _builder: Any, _signature: Any, _values: Any) -> ir.Value:
        return context.get_value_type(block)(None)

    return block(array, count), generate


@intrinsic
def store(_typing: Any, array: Any, at: Any, block: Any) -> tuple[Any, Callable[..., Any]]:
    """Store all vectors of a block to `array[at:]` (flat, however aligned)."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> ir.Value:
        addresses = _vectors_at(context, builder, array, values[0], values[1], block)
        for i, address in enumerate(addresses):
            vector = builder.extract_value(values[2], i)
            builder.store(vector, address, align=block.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, block), generate


@intrinsic
def multiply_add(
    _typing: Any, step: Any, weights: Any, at: Any, operand: Any, sums: Any
) -> tuple[Any, Callable[..., Any]]:
    """Return `sums` plus the products of a step's weights, `weights[at:at + depth]`, and a block.

    One of `operand` and `sums` is wide and the other narrow: wide sums stay apart, narrow ones
    take the products of all the weights. Each product and its addition are rounded once where
    the processor can.
    """
    shape = step.step

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> ir.Value:
        vector = context.get_value_type(sums).element
        first = _address(context, builder, weights, values[1], values[2])
        totals = [builder.extract_value(values[4], i) for i in range(sums.count)]

        def add(to: int, of: int, weight: ir.Value) -> None:
            factor = builder.extract_value(values[3], of)
            totals[to] = _fused(builder, weight, factor, totals[to])

        for t in range(shape.depth):
            weight = _spread(builder, _load_vector(builder, first, t, 1), vector)
            for i in range(shape.vectors):
                add(_place(sums, shape, t, i), _place(operand, shape, t, i), weight)
        if shape.spills:
            weight = _spread(builder, _load_vector(builder, first, 0, shape.depth), vector)
            add(sums.count - 1, operand.count - 1, weight)
        return _pack(builder, context.get_value_type(sums), totals)

    return sums(step, weights, types.intp, operand, sums), generate


@intrinsic
def add(_typing: Any, one: Any, other: Any) -> tuple[Any, Callable[..., Any]]:
    """Return the sums of the vectors of two blocks."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> ir.Value:
        pairs = [[builder.extract_value(value, i) for value in values] for i in range(one.count)]
        sums = [builder.fadd(*pair) for pair in pairs]
        return _pack(builder, context.get_value_type(one), sums)

    return one(one, other), generate


@intrinsic
def prefetch(_typing: Any, array: Any, at: Any) -> tuple[Any, Callable[..., Any]]:
    """Ask for the cache line of `array[at]`, which need not exist."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> ir.Value:
        data = _address(context, builder, array, values[0], values[1])
        address = builder.bitcast(data, ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        function = _declared(builder, kind, "llvm.prefetch.p0")
        to_read, all_levels, data_cache = number(0), number(3), number(1)
        builder.call(function, [address, to_read, all_levels, data_cache])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def copy(
    _typing: Any, source: Any, at: Any, target: Any, to: Any, count: Any
) -> tuple[Any, Callable[..., Any]]:
    """Copy `count` values from `source[at:]` to `target[to:]` (flat, apart from each other)."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> ir.Value:
        origin = _address(context, builder, source, values[0], values[1])
        goal = _address(context, builder, target, values[2], values[3])
        cgutils.raw_memcpy(builder, goal, origin, values[4], source.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp, types.intp), generate


def _place(block: _BlockType, step: Step, t: int, i: int) -> int:
    """Return which vector of a block, wide or narrow, belongs to weight t and vector i."""
    return t * step.vectors + i if block.count == step.wide else i


def _spread(builder: Any, values: ir.Value, vector: ir.VectorType) -> ir.Value:
    """Repeat a few values until they fill a vector."""
    order = [i % values.type.count for i in range(vector.count)]
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), order)
    return builder.shuffle_vector(values, values.type(ir.Undefined), mask)


def _fused(builder: Any, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    vector = a.type
    suffix = "f32" if isinstance(vector.element, ir.FloatType) else "f64"
    kind = ir.FunctionType(vector, [vector] * 3)
    function = _declared(builder, kind, f"llvm.fmuladd.v{vector.count}{suffix}")
    return builder.call(function, [a, b, c])


def _load_vector(builder: Any, first: ir.Value, at: int, count: int) -> ir.Value:
    scalar = first.type.pointee
    address = builder.gep(first, [ir.IntType(64)(at)])
    vector = builder.bitcast(address, ir.VectorType(scalar, count).as_pointer())
    return builder.load(vector, align=4 if isinstance(scalar, ir.FloatType) else 8)


def _address(context: Any, builder: Any, array: Any, value: ir.Value, at: ir.Value) -> ir.Value:
    return builder.gep(context.make_array(array)(context, builder, value).data, [at])


def _vectors_at(
    context: Any, builder: Any, array: Any, value: ir.Value, at: ir.Value, block: _BlockType
) -> list[ir.Value]:
    """Return the addresses of a block's vectors in an array."""
    address = _address(context, builder, array, value, at)
    vector = context.get_value_type(block).element
    first = builder.bitcast(address, vector.as_pointer())
    return [builder.gep(first, [ir.IntType(32)(i)]) for i in range(block.count)]


def _pack(builder: Any, kind: ir.Type, vectors: list[ir.Value]) -> ir.Value:
    block = kind(ir.Undefined)
    for i, vector in enumerate(vectors):
        block = builder.insert_value(block, vector, i)
    return block


def _declared(builder: Any, kind: ir.FunctionType, name: str) -> ir.Function:
    return builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
