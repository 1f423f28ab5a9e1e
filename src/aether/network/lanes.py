"""Operations on rows of lanes, held in vector registers: what a latency field is relaxed with and read out by.

A field of N nodes and L lanes is flat, row n at field[n * L]; each lane is a source of its own. L is a multiple of
WIDTH, and is told by a tuple of as many numbers as a row has registers, `registers(L)`: its type is known to the
compiler, so that a row is read, lowered and written without a loop. Written as LLVM's vectors, since a loop over lanes
that reads and writes one array is guarded, masked and kept in memory: that took two to three times as long.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from aether.base.tables import Floats32

WIDTH = 16  # float32 in a register of 512 bits; two or four registers stand for one on smaller machines

_LARGE = 1 << 20  # from 4 MiB on numpy asks for large pages

_FLOATS = ir.VectorType(ir.FloatType(), WIDTH)
_INDEX = ir.IntType(64)


def registers(lanes: int) -> tuple[int, ...]:
    """How a kernel is told the number of lanes, by type: one zero for each register of WIDTH lanes."""
    return (0,) * (lanes // WIDTH)


def memory(count: int) -> Floats32:
    """Room for a number of registers, each in one line of the cache, which a sixth of a field's time hangs on."""
    size = WIDTH * count
    room = np.empty((max(size, _LARGE) if size > _LARGE // 4 else size) + WIDTH, np.float32)
    return room[-room.ctypes.data // room.itemsize % WIDTH :]


def _data(context: Any, builder: Any, signature: Any, arguments: Any, which: int) -> Any:
    return context.make_array(signature.args[which])(context, builder, arguments[which]).data


def _row(builder: Any, field: Any, row: Any, count: int) -> list[Any]:
    """Where the registers of a row begin."""
    first = builder.mul(row, _INDEX(WIDTH * count))
    places = [builder.gep(field, [builder.add(first, _INDEX(WIDTH * k))]) for k in range(count)]
    return [builder.bitcast(place, _FLOATS.as_pointer()) for place in places]


def _lower(builder: Any, places: list[Any], source: list[Any], cost: Any) -> tuple[list[Any], Any]:
    """Store min(row, source + cost): the new row, and whether any lane fell.

    The least is taken by minnum and compared beside: a select would become a masked store, which the next load of the
    row must wait for. Latencies are never NaN.
    """
    least = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_FLOATS, [_FLOATS, _FLOATS]), f"llvm.minnum.v{WIDTH}f32"
    )
    empty, zero = ir.Constant(_FLOATS, ir.Undefined), ir.IntType(32)(0)
    alike = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    step = builder.shuffle_vector(builder.insert_element(empty, cost, zero), empty, alike)
    lowered, fell = [], ir.Constant(ir.VectorType(ir.IntType(1), WIDTH), [0] * WIDTH)
    for place, before in zip(places, source, strict=True):
        via, now = builder.fadd(before, step), builder.load(place, align=4)
        lowered.append(builder.call(least, [via, now], fastmath=("nnan", "nsz")))
        builder.store(lowered[-1], place, align=4)
        fell = builder.or_(fell, builder.fcmp_ordered("<", via, now))
    bits = builder.bitcast(fell, ir.IntType(WIDTH))
    return lowered, builder.icmp_unsigned("!=", bits, bits.type(0))


@intrinsic
def relax(typing: Any, field: Any, to: Any, source: Any, cost: Any, width: Any) -> Any:  # noqa: ARG001 - numba's form
    """relax(field, to, source, cost, width): field[to] = min(field[to], field[source] + cost); whether a lane fell."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, count = _data(context, builder, signature, arguments, 0), signature.args[4].count
        _, to, source, cost, _ = arguments
        rows = [builder.load(place, align=4) for place in _row(builder, data, source, count)]
        return _lower(builder, _row(builder, data, to, count), rows, cost)[1]

    return types.boolean(field, types.int64, types.int64, types.float32, width), build


@intrinsic
def carry(
    typing: Any, field: Any, fresh: Any, weight: Any, begin: Any, end: Any, step: Any, offset: Any, width: Any  # noqa: ARG001
) -> Any:  # fmt: skip
    """carry(field, fresh, weight, begin, end, step, offset, width): a row's latency handed on from row to row.

    Rows i = begin + step, begin + 2 step, ... are each relaxed from the one before at weight[i + offset], which stays
    in registers, and marked in `fresh` where a lane fell; on to `end` (not included), or to the first row that neither
    fell nor was fresh. Returns where it stopped.
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, flags, weights = (_data(context, builder, signature, arguments, n) for n in range(3))
        _, _, _, begin, end, step, offset, _ = arguments
        count = signature.args[7].count
        held = [cgutils.alloca_once(builder, _FLOATS) for _ in range(count)]
        for slot, place in zip(held, _row(builder, data, begin, count), strict=True):
            builder.store(builder.load(place, align=4), slot)
        at = cgutils.alloca_once(builder, _INDEX)
        builder.store(builder.add(begin, step), at)
        test, body, on, done = (builder.append_basic_block(name) for name in ("test", "body", "on", "done"))
        builder.branch(test)
        builder.position_at_end(test)
        row = builder.load(at)
        builder.cbranch(builder.icmp_signed("==", row, end), done, body)
        builder.position_at_end(body)
        cost = builder.load(builder.gep(weights, [builder.add(row, offset)]))
        rows, fell = _lower(
            builder, _row(builder, data, row, count), [builder.load(slot) for slot in held], cost
        )  # fmt: skip
        for slot, value in zip(held, rows, strict=True):
            builder.store(value, slot)
        flag = builder.gep(flags, [row])
        marked = builder.or_(builder.load(flag), builder.zext(fell, ir.IntType(8)))
        builder.store(marked, flag)
        builder.cbranch(builder.icmp_unsigned("!=", marked, marked.type(0)), on, done)
        builder.position_at_end(on)
        builder.store(builder.add(row, step), at)
        builder.branch(test)
        builder.position_at_end(done)
        return builder.load(at)

    number = types.int64
    return types.int64(field, fresh, weight, number, number, number, number, width), build


@intrinsic
def across(
    typing: Any, field: Any, fresh: Any, due: Any, chain: Any, other: Any, weight: Any, source: Any, begin: Any, end: Any,  # noqa: ARG001
    width: Any,
) -> Any:  # fmt: skip
    """across(field, fresh, due, chain, other, weight, source, begin, end, width): a row handed to its other neighbours.

    Rows other[e], e = begin .. end - 1, are each relaxed from the source at weight[e]; where a lane fell, the row is
    marked in `fresh` and its chain in `due`, without a branch: whether a neighbour falls is hard to foresee.
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, flags, chains, chain, ends, weights = (_data(context, builder, signature, arguments, n) for n in range(6))
        source, begin, end, _ = arguments[6:]
        count = signature.args[9].count
        rows = [builder.load(place, align=4) for place in _row(builder, data, source, count)]
        with cgutils.for_range_slice(builder, begin, end, _INDEX(1), _INDEX) as (edge, _):
            to = builder.sext(builder.load(builder.gep(ends, [edge])), _INDEX)
            cost = builder.load(builder.gep(weights, [edge]))
            fell = builder.zext(_lower(builder, _row(builder, data, to, count), rows, cost)[1], ir.IntType(8))
            of = builder.sext(builder.load(builder.gep(chain, [to])), _INDEX)
            for flag in (builder.gep(flags, [to]), builder.gep(chains, [of])):
                builder.store(builder.or_(builder.load(flag), fell), flag)
        return context.get_dummy_value()

    number = types.int64
    return types.none(field, fresh, due, chain, other, weight, number, number, number, width), build


@intrinsic
def turn(typing: Any, field: Any, source: Any, result: Any, into: Any) -> Any:  # noqa: ARG001 - numba's form
    """turn(field, source, result, into): result[into[k] + i] = field[source[i] + k] for i, k = 0 .. WIDTH - 1.

    source, into: WIDTH offsets each. A square of WIDTH rows is turned by exchanging halves, quarters and so on.
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, rows, out, columns = (_data(context, builder, signature, arguments, n) for n in range(4))

        def vector(base: Any, offsets: Any, which: int) -> Any:
            offset = builder.load(builder.gep(offsets, [_INDEX(which)]))
            return builder.bitcast(builder.gep(base, [offset]), _FLOATS.as_pointer())

        held = [builder.load(vector(data, rows, k), align=4) for k in range(WIDTH)]
        step = 1
        while step < WIDTH:
            low = [j if not j & step else WIDTH + j - step for j in range(WIDTH)]
            high = [j + step if not j & step else WIDTH + j for j in range(WIDTH)]
            masks = [ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), mask) for mask in (low, high)]
            for k in range(WIDTH):
                if not k & step:
                    a, b = held[k], held[k + step]
                    held[k], held[k + step] = (builder.shuffle_vector(a, b, mask) for mask in masks)
            step *= 2
        for k, row in enumerate(held):
            builder.store(row, vector(out, columns, k), align=4)
        return context.get_dummy_value()

    return types.none(field, source, result, into), build
