"""A tile of a product, C += A B, held in registers while k runs: LLVM instructions for each shape of tile.

A step of k loads one row of B and, for each row of the tile, one number of A; each element of C is summed over k in
ascending order, one fused multiply-add at a time, whatever the tile's shape. Compiled code only. The arrays of a call
are all float32 or all float64, and W is the number of such elements in a register of 64 bytes, 16 or 8.
"""

from typing import Any

from rnncli.kernels._jit import NOTHING, element_pointer, emits, llvm
from rnncli.kernels.lanes import FLAGS, masked_load, masked_store, prefetch_of, register_of, splat_of

I64 = llvm.IntType(64)


def _register_pointer(context, builder, array_type, array, at):
    pointer = element_pointer(context, builder, array_type, array, at)
    return builder.bitcast(pointer, register_of(pointer.type.pointee).as_pointer())


@emits
def copy(typing, out, at_out, array, at):
    """out[at_out : at_out + W] = array[at : at + W]."""

    def emit(context, builder, signature, args):
        value = builder.load(_register_pointer(context, builder, signature.args[2], *args[2:]), align=4)
        builder.store(value, _register_pointer(context, builder, signature.args[0], *args[:2]), align=4)
        return context.get_dummy_value()

    return NOTHING(out, at_out, array, at), emit


@emits
def copy_first(typing, out, at_out, array, at, n):
    """The same of the first n elements (int64, at most W); zeros in the place of the others."""

    def emit(context, builder, signature, args):
        value = masked_load(builder, _register_pointer(context, builder, signature.args[2], *args[2:4]), args[4])
        builder.store(value, _register_pointer(context, builder, signature.args[0], *args[:2]), align=4)
        return context.get_dummy_value()

    return NOTHING(out, at_out, array, at, n), emit


def make_tile(rows: int, vectors: int, masked: bool) -> Any:
    """A tile of `rows` rows by `vectors` x W columns; if masked, only the first `last` columns of the last vector exist.

    The function's arguments: c, first element, distance of rows; a, first element, distances of rows and of steps of k;
    b, first element, distance of steps of k; steps, at least 1; last, 1 to W. B has all columns.
    """

    def tile(typing, c, at_c, row_c, a, at_a, row_a, k_a, b, at_b, row_b, steps, last):
        def emit(context, builder, signature, args):
            c, at_c, row_c, a, at_a, row_a, k_a, b, at_b, row_b, steps, last = args

            def pointer(number, array, at):
                return element_pointer(context, builder, signature.args[number], array, at)

            a_first, b_first = pointer(3, a, at_a), pointer(7, b, at_b)
            lanes = register_of(b_first.type.pointee)
            width = lanes.count

            def places(row, v):
                at = builder.add(builder.add(at_c, builder.mul(row_c, I64(row))), I64(width * v))
                return builder.bitcast(pointer(0, c, at), lanes.as_pointer())

            shape = [(row, v) for row in range(rows) for v in range(vectors)]
            at = {place: places(*place) for place in shape}
            partial = {place: masked and place[1] == vectors - 1 for place in shape}
            first = {
                place: masked_load(builder, at[place], last) if partial[place] else builder.load(at[place], align=4)
                for place in shape
            }
            for row, v in shape:  # the tile to the right comes soon
                following_tile = pointer(
                    0, c, builder.add(builder.add(at_c, builder.mul(row_c, I64(row))), I64(width * (vectors + v)))
                )
                prefetch_of(builder, following_tile)
            rows_a = [builder.mul(row_a, I64(row)) for row in range(rows)]
            before, loop, after = builder.block, builder.append_basic_block("steps"), builder.append_basic_block("end")
            builder.branch(loop)

            builder.position_at_end(loop)

            def running(kind, start):
                value = builder.phi(kind)
                value.add_incoming(start, before)
                return value

            k, a_k, b_k = running(I64, I64(0)), running(a_first.type, a_first), running(b_first.type, b_first)
            sums = {place: running(lanes, first[place]) for place in shape}
            y = [
                builder.load(builder.bitcast(builder.gep(b_k, [I64(width * v)]), lanes.as_pointer()), align=4)
                for v in range(vectors)
            ]
            done = {}
            for row in range(rows):
                s = splat_of(builder, builder.load(builder.gep(a_k, [rows_a[row]])))
                for v in range(vectors):
                    product = builder.fmul(s, y[v], flags=FLAGS)
                    done[row, v] = builder.fadd(product, sums[row, v], flags=FLAGS)
            following = builder.add(k, I64(1))
            k.add_incoming(following, loop)
            a_k.add_incoming(builder.gep(a_k, [k_a]), loop)
            b_k.add_incoming(builder.gep(b_k, [row_b]), loop)
            for place in shape:
                sums[place].add_incoming(done[place], loop)
            builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)

            builder.position_at_end(after)
            for place in shape:
                if partial[place]:
                    masked_store(builder, done[place], at[place], last)
                else:
                    builder.store(done[place], at[place], align=4)
            return context.get_dummy_value()

        return NOTHING(c, at_c, row_c, a, at_a, row_a, k_a, b, at_b, row_b, steps, last), emit

    return emits(tile)
