"""Sixteen float32 numbers at a time, for loops that the compiler does not vectorise well by itself.

LLVM turns a value of sixteen lanes into one AVX-512 register, two AVX or four NEON/SSE ones. Sums of products are
contracted to fused multiply-adds where the machine has them; the order of additions is always the written one.
These functions exist in compiled code only.

Shapes   arrays are float32 with one axis, C-contiguous; `at` counts floats; lanes at .. at + 15 must lie inside.
"""

from rnncli.kernels._jit import LANES, LANES_LLVM, NOTHING, SINGLE, element_pointer, emits, llvm
from rnncli.kernels.scalar import (
    E2,
    E3,
    E4,
    E5,
    E6,
    E7,
    LN2_HIGH,
    LN2_LOW,
    LOG2E,
    P0,
    P1,
    P2,
    P3,
    P4,
    Q1,
    Q2,
    Q3,
    Q4,
    TANH_BOUND,
)

WIDTH = 16
FLAGS = ("contract", "nsz")
I32 = llvm.IntType(32)


def _constant(value):
    return llvm.Constant(LANES_LLVM, [float(value)] * WIDTH)


def register_of(element):
    """LLVM: the vector that fills a register, sixteen float32 or eight float64."""
    return llvm.VectorType(element, WIDTH if element == LANES_LLVM.element else WIDTH // 2)


def _shuffle(builder, a, b, order):
    return builder.shuffle_vector(a, b, llvm.Constant(llvm.VectorType(I32, WIDTH), list(order)))


def splat_of(builder, scalar):
    """LLVM: `scalar` in every lane of a register."""
    kind = register_of(scalar.type)
    first = builder.insert_element(llvm.Constant(kind, llvm.Undefined), scalar, I32(0))
    return builder.shuffle_vector(first, first, llvm.Constant(llvm.VectorType(I32, kind.count), [0] * kind.count))


def _vector_pointer(context, builder, array_type, array, at):
    return builder.bitcast(element_pointer(context, builder, array_type, array, at), LANES_LLVM.as_pointer())


@emits
def load(typing, array, at):
    """array[at : at + 16]."""

    def emit(context, builder, signature, args):
        pointer = _vector_pointer(context, builder, signature.args[0], *args)
        return builder.load(pointer, align=4)

    return LANES(array, at), emit


@emits
def store(typing, array, at, value):
    """array[at : at + 16] = value."""

    def emit(context, builder, signature, args):
        pointer = _vector_pointer(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], pointer, align=4)
        return context.get_dummy_value()

    return NOTHING(array, at, value), emit


def _first_lanes(builder, n, width):
    """Mask of the first n of `width` lanes."""
    ints = llvm.VectorType(I32, width)
    count = builder.insert_element(llvm.Constant(ints, llvm.Undefined), builder.trunc(n, I32), I32(0))
    counts = builder.shuffle_vector(count, count, llvm.Constant(ints, [0] * width))
    return builder.icmp_unsigned("<", llvm.Constant(ints, list(range(width))), counts)


def _masked(builder, name, result, arguments):
    function = builder.module.globals.get(name)
    if function is None:
        kind = llvm.FunctionType(result, [a.type for a in arguments])
        function = llvm.Function(builder.module, kind, name=name)
    return builder.call(function, arguments)


def _suffix(kind):
    """What LLVM adds to the name of an operation on vectors of this kind."""
    return f"v{kind.count}f{512 // kind.count}.p0"


def masked_load(builder, pointer, n):
    """LLVM: the first n lanes of a register, zero in the others."""
    kind = pointer.type.pointee
    arguments = [pointer, I32(4), _first_lanes(builder, n, kind.count), llvm.Constant(kind, [0.0] * kind.count)]
    return _masked(builder, "llvm.masked.load." + _suffix(kind), kind, arguments)


def masked_store(builder, value, pointer, n):
    """LLVM: store the first n lanes of a register."""
    arguments = [value, pointer, I32(4), _first_lanes(builder, n, value.type.count)]
    _masked(builder, "llvm.masked.store." + _suffix(value.type), llvm.VoidType(), arguments)


@emits
def load_first(typing, array, at, n):
    """array[at : at + n] in the first n lanes (int64, at most 16), zero in the others; reads nothing else."""

    def emit(context, builder, signature, args):
        pointer = _vector_pointer(context, builder, signature.args[0], *args[:2])
        return masked_load(builder, pointer, args[2])

    return LANES(array, at, n), emit


@emits
def store_first(typing, array, at, n, value):
    """array[at : at + n] = the first n lanes; writes nothing else."""

    def emit(context, builder, signature, args):
        pointer = _vector_pointer(context, builder, signature.args[0], *args[:2])
        masked_store(builder, args[3], pointer, args[2])
        return context.get_dummy_value()

    return NOTHING(array, at, n, value), emit


@emits
def store_transposed(typing, out, at_out, row_out, array, at, row):
    """out[at_out + i row_out + j] = array[at + j row + i], i, j < 16: in four rounds, rows 1, 2, 4, 8 apart swap halves."""

    def emit(context, builder, signature, args):
        out, at_out, row_out, array, at, row = args
        places = [builder.add(at, builder.mul(row, row.type(i))) for i in range(WIDTH)]
        x = [
            builder.load(_vector_pointer(context, builder, signature.args[3], array, place), align=4)
            for place in places
        ]
        for step in (1, 2, 4, 8):
            low = [i if not i & step else i + WIDTH - step for i in range(WIDTH)]
            high = [i + step if not i & step else i + WIDTH for i in range(WIDTH)]
            for i in range(WIDTH):
                if not i & step:
                    x[i], x[i + step] = (
                        _shuffle(builder, x[i], x[i + step], low),
                        _shuffle(builder, x[i], x[i + step], high),
                    )
        for i in range(WIDTH):
            place = builder.add(at_out, builder.mul(row_out, row_out.type(i)))
            builder.store(x[i], _vector_pointer(context, builder, signature.args[0], out, place), align=4)
        return context.get_dummy_value()

    return NOTHING(out, at_out, row_out, array, at, row), emit


def prefetch_of(builder, pointer):
    """LLVM: ask for the cache line at `pointer`, to be written soon."""
    byte_pointer = llvm.IntType(8).as_pointer()
    call = builder.module.globals.get("llvm.prefetch.p0")
    if call is None:
        kind = llvm.FunctionType(llvm.VoidType(), [byte_pointer, I32, I32, I32])
        call = llvm.Function(builder.module, kind, name="llvm.prefetch.p0")
    builder.call(call, [builder.bitcast(pointer, byte_pointer), I32(1), I32(3), I32(1)])


@emits
def prefetch(typing, array, at):
    """Ask for the cache line of array[at], to be written soon."""

    def emit(context, builder, signature, args):
        prefetch_of(builder, element_pointer(context, builder, signature.args[0], *args))
        return context.get_dummy_value()

    return NOTHING(array, at), emit


@emits
def splat(typing, scalar):
    """The float32 `scalar` in every lane."""

    def emit(context, builder, signature, args):
        return splat_of(builder, args[0])

    return LANES(scalar), emit


@emits
def add(typing, a, b):
    """a + b."""
    return LANES(LANES, LANES), lambda context, builder, signature, args: builder.fadd(*args, flags=FLAGS)


@emits
def sub(typing, a, b):
    """a - b."""
    return LANES(LANES, LANES), lambda context, builder, signature, args: builder.fsub(*args, flags=FLAGS)


@emits
def mul(typing, a, b):
    """a * b."""
    return LANES(LANES, LANES), lambda context, builder, signature, args: builder.fmul(*args, flags=FLAGS)


@emits
def fma(typing, a, b, c):
    """a * b + c."""

    def emit(context, builder, signature, args):
        return builder.fadd(builder.fmul(args[0], args[1], flags=FLAGS), args[2], flags=FLAGS)

    return LANES(LANES, LANES, LANES), emit


@emits
def sums_of_twelve(typing, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11):
    """Lane i is the sum of the lanes of a_i, i < 12; lanes 12 .. 15 are zero.

    A transposition that adds on its way: two shuffles and an addition for every two vectors, instead of four for each.
    """

    def pairs(builder, a, b, low, high):
        return builder.fadd(_shuffle(builder, a, b, low), _shuffle(builder, a, b, high), flags=FLAGS)

    def emit(context, builder, signature, args):
        quarters = range(0, WIDTH, 4)
        a = [*args, *[_constant(0.0)] * 4]
        # a.low b.low a.high b.high in every quarter of the register, first by floats, then by pairs of floats
        low = [q + i for q in quarters for i in (0, 16, 1, 17)]
        high = [q + i for q in quarters for i in (2, 18, 3, 19)]
        a = [pairs(builder, a[i], a[i + 1], low, high) for i in range(0, 16, 2)]
        low = [q + i for q in quarters for i in (0, 1, 16, 17)]
        high = [q + i for q in quarters for i in (2, 3, 18, 19)]
        a = [pairs(builder, a[i], a[i + 1], low, high) for i in range(0, 8, 2)]
        # Now quarter q of a[i] holds parts of sums 4i .. 4i + 3: add the quarters.
        low = [4 * q + i for q in (0, 2, 4, 6) for i in range(4)]
        high = [4 * q + i for q in (1, 3, 5, 7) for i in range(4)]
        a = [pairs(builder, a[i], a[i + 1], low, high) for i in range(0, 4, 2)]
        return pairs(builder, a[0], a[1], low, high)

    return LANES(*[LANES] * 12), emit


@emits
def sigmoid(typing, a):
    """1 / (1 + e^-a) by the rational tanh of kernels/scalar.py."""

    def emit(context, builder, signature, args):
        def times(x, y):
            return builder.fmul(x, y, flags=FLAGS)

        def plus(x, y):
            return builder.fadd(x, y, flags=FLAGS)

        def clamp(x, bound):
            x = builder.select(builder.fcmp_ordered("<", x, _constant(bound)), x, _constant(bound))
            return builder.select(builder.fcmp_ordered(">", x, _constant(-bound)), x, _constant(-bound))

        def polynomial(s, *coefficients):
            value = _constant(coefficients[0])
            for c in coefficients[1:]:
                value = plus(times(value, s), _constant(c))
            return value

        x = clamp(times(args[0], _constant(0.5)), TANH_BOUND)
        s = times(x, x)
        p, q = polynomial(s, P4, P3, P2, P1, P0), polynomial(s, Q4, Q3, Q2, Q1, 1.0)
        tanh = clamp(builder.fdiv(times(x, p), q, flags=FLAGS), 1.0)
        return plus(times(tanh, _constant(0.5)), _constant(0.5))

    return LANES(LANES), emit


@emits
def inverse_sqrt(typing, a):
    """1 / sqrt(a) of positive normal numbers, to 5e-6: a first guess from the exponent, two Newton steps.

    Three times as fast as a root and a division. Source: Lomont 2003, "Fast inverse square root".
    """

    def emit(context, builder, signature, args):
        ints = llvm.VectorType(I32, WIDTH)
        half = builder.fmul(args[0], _constant(0.5), flags=FLAGS)
        bits = builder.lshr(builder.bitcast(args[0], ints), llvm.Constant(ints, [1] * WIDTH))
        y = builder.bitcast(builder.sub(llvm.Constant(ints, [0x5F375A86] * WIDTH), bits), LANES_LLVM)
        for _ in range(2):
            square = builder.fmul(builder.fmul(half, y, flags=FLAGS), y, flags=FLAGS)
            y = builder.fmul(y, builder.fsub(_constant(1.5), square, flags=FLAGS), flags=FLAGS)
        return y

    return LANES(LANES), emit


@emits
def exp_negative(typing, a):
    """e^min(a, 0), to 3e-7; 1e-38 at and below -87. e^a = 2^n e^r, |r| <= ln(2)/2, e^r by its Taylor polynomial."""

    def emit(context, builder, signature, args):
        ints = llvm.VectorType(I32, WIDTH)

        def times(x, y):
            return builder.fmul(x, y, flags=FLAGS)

        def plus(x, y):
            return builder.fadd(x, y, flags=FLAGS)

        x = builder.select(builder.fcmp_ordered("<", args[0], _constant(0.0)), args[0], _constant(0.0))
        x = builder.select(builder.fcmp_ordered(">", x, _constant(-87.0)), x, _constant(-87.0))
        # x <= 0: cutting off after adding -1/2 rounds to the nearest whole number.
        n = builder.fptosi(plus(times(x, _constant(LOG2E)), _constant(-0.5)), ints)
        whole = builder.sitofp(n, LANES_LLVM)
        r = plus(times(whole, _constant(-LN2_LOW)), plus(times(whole, _constant(-LN2_HIGH)), x))
        series = _constant(E7)
        for c in (E6, E5, E4, E3, E2, 1.0, 1.0):
            series = plus(times(series, r), _constant(c))
        exponent = builder.shl(builder.add(n, llvm.Constant(ints, [127] * WIDTH)), llvm.Constant(ints, [23] * WIDTH))
        return times(series, builder.bitcast(exponent, LANES_LLVM))

    return LANES(LANES), emit


@emits
def total(typing, a):
    """The sum of the sixteen lanes as a float32, halves added to halves."""

    def emit(context, builder, signature, args):
        a = args[0]
        for step in (8, 4, 2, 1):
            a = builder.fadd(a, _shuffle(builder, a, a, [(i + step) % WIDTH for i in range(WIDTH)]), flags=FLAGS)
        return builder.extract_element(a, I32(0))

    return SINGLE(LANES), emit


@emits
def survival(typing, error):
    """max(1 - |error|, 1e-8): the likelihood of an outcome whose probability is off by `error`."""

    def emit(context, builder, signature, args):
        e = args[0]
        distance = builder.select(builder.fcmp_ordered("<", e, _constant(0.0)), builder.fneg(e), e)
        p = builder.fsub(_constant(1.0), distance, flags=FLAGS)
        return builder.select(builder.fcmp_ordered(">", p, _constant(1e-8)), p, _constant(1e-8))

    return LANES(LANES), emit


@emits
def log(typing, a):
    """Natural logarithm of positive normal numbers, to 2e-7.

    a = 2^e m, sqrt(1/2) <= m < sqrt(2); log m = 2 artanh(t), t = (m - 1) / (m + 1), by its series to t^9.
    """

    def emit(context, builder, signature, args):
        ints = llvm.VectorType(I32, WIDTH)

        def whole(value):
            return llvm.Constant(ints, [value] * WIDTH)

        def times(x, y):
            return builder.fmul(x, y, flags=FLAGS)

        def plus(x, y):
            return builder.fadd(x, y, flags=FLAGS)

        bits = builder.bitcast(args[0], ints)
        shifted = builder.sub(bits, whole(0x3F3504F3))  # so that the exponent steps at sqrt(1/2)
        exponent = builder.ashr(shifted, whole(23))
        m = builder.bitcast(builder.sub(bits, builder.shl(exponent, whole(23))), LANES_LLVM)
        t = builder.fdiv(builder.fsub(m, _constant(1.0)), plus(m, _constant(1.0)))
        s = times(t, t)
        series = _constant(2.0 / 9.0)
        for c in (2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0):
            series = plus(times(series, s), _constant(c))
        return plus(times(builder.sitofp(exponent, LANES_LLVM), _constant(0.6931471805599453)), times(t, series))

    return LANES(LANES), emit


@emits
def above(typing, array, at, bound):
    """Bit i of the result is 1 where array[at + i] > bound, i < 16; NaN is above nothing."""

    def emit(context, builder, signature, args):
        values = builder.load(_vector_pointer(context, builder, signature.args[0], *args[:2]), align=4)
        mask = builder.fcmp_ordered(">", values, splat_of(builder, args[2]))
        bits = builder.bitcast(mask, llvm.IntType(WIDTH))
        return builder.zext(bits, context.get_value_type(signature.return_type))

    return at(array, at, bound), emit
