"""Vectors of a fixed number of lanes for compiled kernels, whose arithmetic has the same bits on every processor.

A compiler that vectorises a sum orders it by the width of the processor's vectors, and a library's ``log`` or ``exp``
differs between processors. Here a kernel names its lanes: 16 of single or 8 of double precision, which the compiler
maps to whatever vectors there are. Every operation is one that IEEE 754 rounds correctly, and none is fused or
reordered.

In compiled functions, lanes are added, subtracted, multiplied, divided and compared with each other and with scalars.
"""

# numba and llvmlite have no types.
# mypy: disable-error-code="untyped-decorator, no-untyped-call, misc, arg-type, union-attr"

import operator
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.caching import FunctionCache
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic as _untyped_intrinsic
from numba.extending import lower_builtin, models, register_model

from ebabench.system.compilation import cached_njit

PADDING = 16
"""Rows of a kernel are padded to a multiple of this."""

_Function = TypeVar("_Function", bound=Callable[..., Any])

# fastmath is off by name: numba lets a callee inherit its first caller's flags.
_EXACT = {"fastmath": False, "error_model": "numpy"}
_exact: Any = partial(njit, **_EXACT)


def compiled(function: _Function) -> _Function:
    """Compile a function that only compiled functions call."""
    made: _Function = _exact(no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    return made


def inlined(function: _Function) -> _Function:
    """Compile a function as a part of its callers: for what works on lanes."""
    made: _Function = _exact(no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)(function)
    return made


def cached(function: _Function) -> _Function:
    """Compile a function that Python calls, and keep it on disk until a file of this package changes.

    numba's cache knows of a change in the function's own file only, and would go on with an old version of what the
    function calls from another one. Where there is no place for a cache the function is compiled in every process.
    """
    made = cached_njit(**_EXACT)(function)
    cache: Any = made._cache  # type: ignore[attr-defined]
    if isinstance(cache, FunctionCache):
        stamps = [(path.name, path.stat().st_mtime, path.stat().st_size) for path in Path(__file__).parent.glob("*.py")]
        cache._cache_file._source_stamp = tuple(sorted(stamps))  # numba offers no other way
    return made


intrinsic: Any = _untyped_intrinsic
_INDEX = ir.IntType(32)


class LanesType(types.Type):
    """Lanes of float32 or float64, or (``mask``) of truth values of as many."""

    def __init__(self, real: Any, mask: bool = False) -> None:
        self.real, self.mask = real, mask
        self.count = 16 if real == types.float32 else 8
        super().__init__(name=f"{'Mask' if mask else 'Lanes'}({real})")

    @property
    def element(self) -> ir.Type:
        """The type of one lane."""
        return ir.IntType(1) if self.mask else _scalar(self.real)

    @property
    def llvm(self) -> ir.VectorType:
        """The type of all lanes."""
        return ir.VectorType(self.element, self.count)


def _scalar(real: Any) -> ir.Type:
    return ir.FloatType() if real == types.float32 else ir.DoubleType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: LanesType) -> None:
        super().__init__(manager, kind, kind.llvm)


def _splat(builder: Any, kind: LanesType, value: Any) -> Any:
    vector = builder.insert_element(ir.Constant(kind.llvm, ir.Undefined), value, ir.Constant(_INDEX, 0))
    zeros = ir.Constant(ir.VectorType(_INDEX, kind.count), None)
    return builder.shuffle_vector(vector, vector, zeros)


def _constant(kind: LanesType, value: float) -> Any:
    return ir.Constant(kind.llvm, [ir.Constant(kind.element, value)] * kind.count)


def _as_lanes(context: Any, builder: Any, kind: LanesType, given: Any, value: Any) -> Any:
    if isinstance(given, LanesType):
        return value
    return _splat(builder, kind, context.cast(builder, value, given, kind.real))


def _define(symbol: Any, emit: Callable[[Any, Any, Any], Any], mask: bool = False) -> None:
    """An operator of two lanes, or of lanes and a scalar."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = next(a for a in sig.args if isinstance(a, LanesType))
        a, b = (_as_lanes(context, builder, kind, *pair) for pair in zip(sig.args, args, strict=True))
        return emit(builder, a, b)

    class Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            kinds = [a for a in args if isinstance(a, LanesType)]
            if len(args) == 2 and kinds and not kws:
                return signature(LanesType(kinds[0].real, mask), *args)
            return None

    infer_global(symbol)(Typing)
    for pair in ((LanesType, LanesType), (LanesType, types.Number), (types.Number, LanesType)):
        lower_builtin(symbol, *pair)(lower)


for _symbols, _name in (
    ((operator.add, operator.iadd), "fadd"),
    ((operator.sub, operator.isub), "fsub"),
    ((operator.mul, operator.imul), "fmul"),
    ((operator.truediv, operator.itruediv), "fdiv"),
):
    for _symbol in _symbols:
        _define(_symbol, lambda builder, a, b, name=_name: getattr(builder, name)(a, b))
_define(operator.lt, lambda builder, a, b: builder.fcmp_ordered("<", a, b), mask=True)
_define(operator.gt, lambda builder, a, b: builder.fcmp_ordered(">", a, b), mask=True)


def _pointer(context: Any, builder: Any, array: Any, value: Any, start: Any) -> tuple[Any, LanesType]:
    kind = LanesType(array.dtype)
    data = builder.gep(context.make_array(array)(context, builder, value).data, [start])
    return builder.bitcast(data, ir.PointerType(kind.llvm)), kind


@intrinsic
def load(_context: Any, array: Any, start: Any) -> Any:
    """The lanes of a contiguous ``array`` [P] from ``start`` on."""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer, kind = _pointer(context, builder, sig.args[0], *args)
        return builder.load(pointer, align=kind.real.bitwidth // 8)

    return LanesType(array.dtype)(array, start), build


@intrinsic
def store(_context: Any, array: Any, start: Any, value: Any) -> Any:
    """Put lanes into a contiguous ``array`` [P] from ``start`` on."""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer, kind = _pointer(context, builder, sig.args[0], *args[:2])
        builder.store(args[2], pointer, align=kind.real.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, start, value), build


@intrinsic
def splat(_context: Any, value: Any) -> Any:
    """Lanes that all hold ``value``."""
    kind = LanesType(value)

    def build(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return _splat(builder, kind, args[0])

    return kind(value), build


@intrinsic
def total(_context: Any, lanes: Any) -> Any:
    """Sum of lanes: the upper half onto the lower, until one is left."""

    def build(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        summed, width = args[0], lanes.count
        while width > 1:
            width //= 2
            halves = [
                builder.shuffle_vector(summed, summed, ir.Constant(ir.VectorType(_INDEX, width), list(part)))
                for part in (range(width), range(width, 2 * width))
            ]
            summed = builder.fadd(*halves)
        return builder.extract_element(summed, ir.Constant(_INDEX, 0))

    return lanes.real(lanes), build


@intrinsic
def select(_context: Any, condition: Any, value: Any, other: Any) -> Any:
    """``value`` where ``condition`` holds, else the scalar or lanes ``other``."""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(args[0], args[1], _as_lanes(context, builder, value, sig.args[2], args[2]))

    return value(condition, value, other), build


@intrinsic
def larger(_context: Any, value: Any, other: Any) -> Any:
    """The larger of lanes and of the scalar or lanes ``other``."""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        b = _as_lanes(context, builder, value, sig.args[1], args[1])
        return builder.select(builder.fcmp_ordered(">", args[0], b), args[0], b)

    return value(value, other), build


def _unary(name: str) -> Any:
    @intrinsic
    def call(_context: Any, lanes: Any) -> Any:
        def build(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
            kind = ir.FunctionType(lanes.llvm, [lanes.llvm])
            suffix = f"v{lanes.count}f{lanes.real.bitwidth}"
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.{suffix}"), args)

        return lanes(lanes), build

    return call


root = _unary("sqrt")
magnitude = _unary("fabs")


@intrinsic
def _split(_context: Any, lanes: Any) -> Any:
    """Mantissa in [sqrt(1/2), sqrt(2)) and exponent of positive normal lanes."""
    width, mantissa, bias, root_half = (32, 23, 127, 0x3F3504F3)
    if lanes.real == types.float64:
        width, mantissa, bias, root_half = (64, 52, 1023, 0x3FE6A09E00000000)
    whole = ir.VectorType(ir.IntType(width), lanes.count)

    def number(value: int) -> Any:
        return ir.Constant(whole, [value] * lanes.count)

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        one = bias << mantissa
        shifted = builder.add(builder.bitcast(args[0], whole), number(one - root_half))
        part = builder.add(builder.and_(shifted, number((1 << mantissa) - 1)), number(root_half))
        # 2^mantissa plus the biased exponent, as a float: AVX2 cannot convert 64-bit integers.
        magic = builder.or_(builder.lshr(shifted, number(mantissa)), number((bias + mantissa) << mantissa))
        exponent = builder.fsub(builder.bitcast(magic, lanes.llvm), _constant(lanes, float(2**mantissa + bias)))
        return context.make_tuple(builder, sig.return_type, (builder.bitcast(part, lanes.llvm), exponent))

    return types.UniTuple(lanes, 2)(lanes), build


@intrinsic
def _power_of_two(_context: Any, lanes: Any) -> Any:
    """2^k where the low bits of the lanes' mantissas hold the integers k."""
    width, mantissa, bias = (32, 23, 127) if lanes.real == types.float32 else (64, 52, 1023)
    whole = ir.VectorType(ir.IntType(width), lanes.count)

    def build(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        k = builder.add(builder.bitcast(args[0], whole), ir.Constant(whole, [bias] * lanes.count))
        return builder.bitcast(builder.shl(k, ir.Constant(whole, [mantissa] * lanes.count)), lanes.llvm)

    return lanes(lanes), build


@intrinsic
def is_single(_context: Any, lanes: Any) -> Any:
    """Whether lanes are of single precision; known when a function is compiled."""
    single = lanes.real == types.float32

    def build(_ctx: Any, _builder: Any, _sig: Any, _args: Any) -> Any:
        return ir.Constant(ir.IntType(1), int(single))

    return types.boolean(lanes), build


@inlined
def log(x: Any) -> Any:
    """Natural logarithm of positive normal lanes, to 2 ulp of 1: 2 artanh((m - 1) / (m + 1)) of the mantissa."""
    m, exponent = _split(x)
    f = (m - 1.0) / (m + 1.0)
    s = f * f
    if is_single(x):
        p = s * (1.0 / 9.0) + (1.0 / 7.0)
    else:
        p = s * (1.0 / 21.0) + (1.0 / 19.0)
        p = p * s + (1.0 / 17.0)
        p = p * s + (1.0 / 15.0)
        p = p * s + (1.0 / 13.0)
        p = p * s + (1.0 / 11.0)
        p = p * s + (1.0 / 9.0)
        p = p * s + (1.0 / 7.0)
    p = p * s + (1.0 / 5.0)
    p = p * s + (1.0 / 3.0)
    return exponent * 0.6931471805599453 + 2.0 * f * (p * s + 1.0)


@inlined
def exp(x: Any) -> Any:
    """Exponential of lanes <= 0 (never below that of -700, in single precision of -87), to 2 ulp."""
    if is_single(x):
        x = larger(x, -87.0)
        t = x * 1.4426950408889634 + 12582912.0
        k = t - 12582912.0
        r = (x - k * 0.693359375) - k * -2.12194440e-4
        p = r * (1.0 / 720.0) + (1.0 / 120.0)
    else:
        x = larger(x, -700.0)
        t = x * 1.4426950408889634 + 6755399441055744.0
        k = t - 6755399441055744.0
        r = (x - k * 0.693145751953125) - k * 1.4286068203094172321e-06
        p = r * (1.0 / 479001600.0) + (1.0 / 39916800.0)
        p = p * r + (1.0 / 3628800.0)
        p = p * r + (1.0 / 362880.0)
        p = p * r + (1.0 / 40320.0)
        p = p * r + (1.0 / 5040.0)
        p = p * r + (1.0 / 720.0)
        p = p * r + (1.0 / 120.0)
    p = p * r + (1.0 / 24.0)
    p = p * r + (1.0 / 6.0)
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * _power_of_two(t)
