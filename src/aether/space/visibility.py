"""Which of many satellites each of many places sees: only those near a place are looked at.

Satellites are sorted into cells of equal area, bands of equal height in z / r (the sine of geocentric latitude), each
cut into parts of longitude, so that those of neighbouring parts lie side by side. A place goes through the bands its
horizon reaches and tests one or two runs of satellites in each. The test is the definition itself, in float64; cells
only leave out what cannot pass it.

References
[1] D. A. Vallado, Fundamentals of Astrodynamics and Applications, 4th ed., 2013, sections 4.4 and 11.2.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import int64, njit, types, uint64
from numba.core import cgutils
from numba.extending import intrinsic

from aether.base.tables import Access, Floats, Floats32, Ints

_PARTS = 4  # of longitude in a band, for each band: few bands, for one costs more than a few satellites
_A_CELL = 6.0  # satellites in a cell on average; 3 to 12 take as long
_LANES = 8  # satellites tested together: float64 in a register of 512 bits
_RUN = 4  # values that rise or fall together, on average, for which sorting by runs is quicker
_SLACK = 1e-9  # by which angles' cosines are rounded outward
_CROWD = 1.5  # room for satellites seen, as a share of all by 1 - cos of the angle: a half if they stood evenly


@dataclass(frozen=True, slots=True)
class Sky:
    """Satellites at one time, from `sky`: cell after cell, and within one by number."""

    fixed_m: Floats  # (3, V + 8) Earth-fixed x, y and z; eight more, for those that are tested together
    key: Ints  # (V + 8,) place of each in the order from south to north (by z; ties by number) x 2^32 + its number
    start: Ints  # cell c holds start[c] to start[c + 1]; band by band, in a band by longitude
    bands: int
    lowest_m: float  # distance from the Earth's centre
    highest_m: float


@dataclass(frozen=True, slots=True)
class Horizon:
    """What does not change about places from tick to tick, from `ground.horizon`."""

    place_m: Floats  # (G, 3) Earth-fixed
    vertical: Floats  # (G, 3) unit vectors
    need: Floats  # (G,) sine of the lowest elevation, squared with its sign
    radius_m: Floats  # (G,) from the Earth's centre
    level_m: Floats  # (G,) radius x cosine and sine of an elevation over the geocentric horizon that is surely lower
    rise_m: Floats


def sky(satellites_m: Floats) -> Sky:
    """Satellites sorted into cells, once for all places that look at them.

    satellites_m: (S, 3) Earth-fixed [m]; those that are not finite are left out. Returns Sky. Reference [1].
    """
    satellites_m = np.ascontiguousarray(satellites_m, np.float64)
    bands = max(1, round(math.sqrt(len(satellites_m) / (_A_CELL * _PARTS))))
    return Sky(*_sort(satellites_m, _northward(satellites_m[:, 2]), bands))


def _northward(z_m: Floats) -> Ints:
    """The order of heights, ties by number, what is not finite last: by runs where plane follows plane, else by parts."""
    falls = z_m[1:] < z_m[:-1]
    if _RUN * np.count_nonzero(falls[1:] != falls[:-1]) > len(z_m):
        order = np.argsort(z_m)
        if (z_m[order[1:]] != z_m[order[:-1]]).all():
            return order
    return np.argsort(z_m, kind="stable")


def seen(
    horizon: Horizon, sky: Sky, max_slant_m: float = math.inf, threads: int = 1, out: Ints | None = None
) -> Access:  # fmt: skip
    """Which satellites each place sees, as `ground.visible` has it, of what was made ready by `horizon` and `sky`.

    sin E = (s - p) . up / |s - p| >= sin E_min and |s - p| <= max.

    max_slant_m: [m]. threads: among which places are shared out; the result is the same bit for bit. out: (2 M,) memory
    that the result is written to if up to M are seen, by one thread, and that the next call may be given again. Returns
    Access, each place's satellites from south to north. Reference [1].
    """
    places = len(horizon.place_m)
    if not sky.start[-1]:
        return Access(np.zeros(places + 1, np.int64), np.empty(0, np.int64), np.empty(0))
    if threads == 1:
        parts = [_share(horizon, sky, max_slant_m, 0, places, out)]
    else:
        bounds = [places * t // threads for t in range(threads + 1)]
        with ThreadPoolExecutor(threads) as pool:
            parts = list(
                pool.map(lambda t: _share(horizon, sky, max_slant_m, bounds[t], bounds[t + 1]), range(threads))
            )
    count, number, slant_m = (np.concatenate(part) if threads > 1 else part[0] for part in zip(*parts, strict=True))
    return Access(np.concatenate([np.zeros(1, np.int64), np.cumsum(count)]), number, slant_m)


def _share(
    horizon: Horizon, sky: Sky, max_slant_m: float, first: int, end: int, out: Ints | None = None
) -> tuple[Ints, Ints, Floats]:  # fmt: skip
    """How many satellites each of some places sees, which, and their slants."""
    part = slice(first, end)
    reach2, near = _limits(
        horizon.radius_m[part], horizon.level_m[part], horizon.rise_m[part], max_slant_m, sky.lowest_m, sky.highest_m
    )
    room = int(_CROWD * sky.start[-1] * (near.size - near.sum())) + 1024 if out is None else out.size // 2
    while True:
        # In one piece, and numpy's own: what is freed is then kept for the next call, and large pieces have large pages.
        piece, out = np.empty(2 * room, np.int64) if out is None else out, None
        number, slant_m = piece[:room], piece[room : 2 * room].view(np.float64)
        count = _search(
            horizon.place_m[part], horizon.vertical[part], horizon.need[part], reach2, near, sky.fixed_m, sky.key,
            sky.start, sky.bands, number, slant_m,
        )  # fmt: skip
        filled = int(count.sum())
        if filled <= room:
            return count, number[:filled], slant_m[:filled]
        room = filled


def least(
    horizon: Horizon, sky: Sky, time_s: Floats32, speed_m_s: float, max_slant_m: float = math.inf
) -> Floats32:  # fmt: skip
    """The least time from each place to what satellites are near to, over those it sees; no list of them is made.

    t[g] = min over satellites s seen from g of |s - p| / v + time[s], in float32.
    time_s: (S,) [s], infinity for never. speed_m_s: v. max_slant_m: [m]. Returns (G,) [s], infinity where there is none.
    Reference [1].
    """
    if not sky.start[-1]:
        return np.full(len(horizon.place_m), np.inf, np.float32)
    reach2, near = _limits(
        horizon.radius_m, horizon.level_m, horizon.rise_m, max_slant_m, sky.lowest_m, sky.highest_m
    )  # fmt: skip
    return _least(
        horizon.place_m, horizon.vertical, horizon.need, reach2, near, sky.fixed_m, sky.key, sky.start, sky.bands,
        np.ascontiguousarray(time_s, np.float32), speed_m_s,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _limits(
    radius: Floats, level: Floats, rise: Floats, most: float, lowest: float, highest: float
) -> tuple[Floats, Floats]:
    """The square of a slant that no visible satellite exceeds, that of the highest one at the lowest elevation; and the
    cosine of the angle at the Earth's centre between a place and the farthest satellite within it."""
    reach2, near = np.empty(radius.size), np.empty(radius.size)
    for g in range(radius.size):
        reach = min(math.sqrt(max(highest * highest - level[g] * level[g], 0.0)) - rise[g] + 1.0, most)
        rest = radius[g] * radius[g] - reach * reach
        widest = min(max(math.sqrt(max(rest, 0.0)), lowest), highest)  # where one slant spans the widest angle
        near[g] = min(max((rest + widest * widest) / (2.0 * radius[g] * widest) - _SLACK, -1.0), 1.0)
        reach2[g] = reach * reach
    return reach2, near


@njit(cache=True, nogil=True, error_model="numpy")
def _around(x: float, y: float) -> float:
    """A stand-in for longitude, from 0 to 4 eastward, without an arctangent."""
    share = y / (abs(x) + abs(y) + 1e-300)
    return 2.0 - share if x < 0.0 else (share if share >= 0.0 else 4.0 + share)


@njit(cache=True, nogil=True, error_model="numpy")
def _part(around: float, parts: int) -> int:
    return min(int(around * 0.25 * parts), parts - 1)


@njit(cache=True, nogil=True, error_model="numpy")
def _sort(satellites: Floats, order: Ints, bands: int) -> tuple[Floats, Ints, Ints, int, float, float]:
    """Counting sort into cells: the parts of a Sky."""
    parts, lowest, highest, count = _PARTS * bands, np.inf, 0.0, 0
    cell, rank, start = (
        np.empty(order.size, np.int64),
        np.empty(order.size, np.int64),
        np.zeros(bands * parts + 1, np.int64),
    )
    for s in range(order.size):
        x, y, z = satellites[s, 0], satellites[s, 1], satellites[s, 2]
        cell[s] = -1
        if np.isfinite(x + y + z):
            radius = math.sqrt(x * x + y * y + z * z)
            lowest, highest = min(lowest, radius), max(highest, radius)
            band = min(int((z / radius + 1.0) * 0.5 * bands), bands - 1) if radius > 0.0 else 0
            cell[s] = band * parts + _part(_around(x, y), parts)
            start[cell[s] + 1] += 1
    for s in order:
        if cell[s] >= 0:
            rank[s] = count
            count += 1
    for c in range(bands * parts):
        start[c + 1] += start[c]
    fill, fixed, key = start[:-1].copy(), np.zeros((3, count + _LANES)), np.zeros(count + _LANES, np.int64)
    for s in range(order.size):
        if cell[s] >= 0:
            at = fill[cell[s]]
            fill[cell[s]] += 1
            key[at] = rank[s] << 32 | s
            for axis in range(3):
                fixed[axis, at] = satellites[s, axis]
    return fixed, key, start, bands, lowest, highest


@njit(cache=True, nogil=True, error_model="numpy")
def _runs(place: Floats, near: float, bands: int, start: Ints, run: Ints) -> int:
    """Runs of satellites in the cells within an angle of a place; returns how many runs.

    near: cosine of the angle, C. At sin(latitude) s longitudes differ by no more than acos((C - sin p s) / (cos p
    sqrt(1 - s^2))), p the place's geocentric latitude; in a band that is widest at s = sin p / C or at the edge next to
    it.
    """
    level = math.hypot(place[0], place[1])
    radius = math.hypot(level, place[2])
    sine, cosine, far = place[2] / radius, level / radius, math.sqrt(max(1.0 - near * near, 0.0))
    east, north = (place[0] / level, place[1] / level) if level > 0.0 else (1.0, 0.0)
    low = -1.0 if -sine >= near else sine * near - cosine * far - _SLACK
    high = 1.0 if sine >= near else sine * near + cosine * far + _SLACK
    parts, found = _PARTS * bands, 0
    for band in range(max(int((low + 1.0) * 0.5 * bands), 0), min(int((high + 1.0) * 0.5 * bands), bands - 1) + 1):
        bottom, top = 2.0 * band / bands - 1.0, 2.0 * (band + 1) / bands - 1.0
        widest = min(max(sine / near, bottom), top) if near > 0.0 else 1.0
        across = cosine * math.sqrt(max(1.0 - widest * widest, 0.0))
        turn = (near - sine * widest) / across - _SLACK if across > _SLACK else -1.0
        if turn >= 1.0:
            continue
        here, aside = band * parts, math.sqrt(max(1.0 - turn * turn, 0.0))
        begin = _around(east * turn + north * aside, north * turn - east * aside)
        end = _around(east * turn - north * aside, north * turn + east * aside)
        first, last = _part(begin, parts), _part(end, parts)
        if turn <= -1.0 or (begin > end and first <= last):
            run[found, 0], run[found, 1] = start[here], start[here + parts]
        elif begin <= end:
            run[found, 0], run[found, 1] = start[here + first], start[here + last + 1]
        else:  # across the meridian where parts begin
            run[found, 0], run[found, 1] = start[here], start[here + last + 1]
            found += 1
            run[found, 0], run[found, 1] = start[here + first], start[here + parts]
        found += 1
    return found


@intrinsic
def _test(typing: Any, fixed: Any, first: Any, stride: Any, six: Any, limits: Any, square: Any) -> Any:  # noqa: ARG001 - numba's form
    """_test(fixed, first, stride, (px, py, pz, ux, uy, uz), (reach2, need), square): eight satellites at once.

    The squared distances of satellites first to first + 7 from p go to `square`, eight floats. Returns eight bits: set
    where (s - p)^2 <= reach2 and r |r| >= need (s - p)^2, r = (s - p) . u.
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        fixed, first, stride, six, limits, square = arguments
        data = context.make_array(signature.args[0])(context, builder, fixed).data
        into = context.make_array(signature.args[5])(context, builder, square).data
        vector, zero = ir.VectorType(ir.DoubleType(), _LANES), ir.IntType(32)(0)
        alike = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)

        def all_of(values: Any, which: int) -> Any:
            one = builder.insert_element(
                ir.Constant(vector, ir.Undefined), builder.extract_value(values, which), zero
            )  # fmt: skip
            return builder.shuffle_vector(one, one, alike)

        def product(a: list[Any], b: list[Any]) -> Any:
            x, y, z = (builder.fmul(p, q) for p, q in zip(a, b, strict=True))
            return builder.fadd(builder.fadd(x, y), z)

        apart = []
        for axis in range(3):
            place = builder.gep(data, [builder.add(first, builder.mul(stride, stride.type(axis)))])
            spots = builder.load(builder.bitcast(place, vector.as_pointer()), align=8)
            apart.append(builder.fsub(spots, all_of(six, axis)))
        away, rise = product(apart, apart), product(apart, [all_of(six, 3 + axis) for axis in range(3)])
        builder.store(away, builder.bitcast(into, vector.as_pointer()), align=8)
        size = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector]), f"llvm.fabs.v{_LANES}f64"
        )  # fmt: skip
        signed = builder.fmul(rise, builder.call(size, [rise]))  # signed squares: need may be negative
        near = builder.fcmp_ordered("<=", away, all_of(limits, 0))
        high = builder.fcmp_ordered(">=", signed, builder.fmul(all_of(limits, 1), away))
        return builder.zext(builder.bitcast(builder.and_(near, high), ir.IntType(_LANES)), ir.IntType(64))

    return types.uint64(fixed, types.int64, types.int64, six, limits, square), build


@njit(cache=True, nogil=True, error_model="numpy")
def _pass(
    place: Floats, vertical: Floats, need: float, reach2: float, fixed: Floats, key: Ints, first: int, end: int,
    hit: Ints, square: Floats, eight: Floats, hits: int,
) -> int:  # fmt: skip
    """Test a run of satellites; append the key and the squared slant of those seen."""
    six = (place[0], place[1], place[2], vertical[0], vertical[1], vertical[2])
    top, one = uint64(hits), uint64(1)  # unsigned: no index may count from the end
    for j in range(first, end, _LANES):
        bits = _test(fixed, j, fixed.shape[1], six, (reach2, need), eight)
        bits &= (one << uint64(min(end - j, _LANES))) - one
        for lane in range(uint64(_LANES)):
            at = top + _ones(bits & ((one << lane) - one))
            hit[at], square[at] = (
                key[uint64(j) + lane],
                eight[lane],
            )  # in any case, kept if counted: no branch to foresee
        top += _ones(bits)
    return int64(top)


@njit(cache=True, nogil=True, error_model="numpy")
def _ones(word: np.uint64) -> np.uint64:
    """How many bits are set; compilers know this pattern for the processor's own instruction."""
    pairs = word - ((word >> uint64(1)) & uint64(0x5555555555555555))
    fours = (pairs & uint64(0x3333333333333333)) + ((pairs >> uint64(2)) & uint64(0x3333333333333333))
    bytes_ = (fours + (fours >> uint64(4))) & uint64(0x0F0F0F0F0F0F0F0F)
    return (bytes_ * uint64(0x0101010101010101)) >> uint64(56)


@njit(cache=True, nogil=True, error_model="numpy")
def _in_order(
    hit: Ints, square: Floats, hits: int, marks: Floats, before: Floats, found: Ints, slant: Floats, filled: int
) -> None:  # fmt: skip
    """Write what a place sees by rank: a bit marks each rank, and the bits below it say how many come first."""
    low, high = marks.size, 0
    for k in range(uint64(hits)):
        word = hit[k] >> 38
        low, high = min(low, word), max(high, word)
        marks[uint64(word)] |= uint64(1) << (uint64(hit[k] >> 32) & uint64(63))
    tally = uint64(filled)
    for w in range(uint64(low), uint64(high + 1)):
        before[w] = tally
        tally += _ones(marks[w])
    for k in range(uint64(hits)):
        rank = uint64(hit[k] >> 32)
        word = rank >> uint64(6)
        at = before[word] + _ones(marks[word] & ((uint64(1) << (rank & uint64(63))) - uint64(1)))
        found[at], slant[at] = hit[k] & 0xFFFFFFFF, square[k]
    for w in range(uint64(low), uint64(high + 1)):
        marks[w] = 0
    for k in range(uint64(filled), uint64(filled + hits)):
        slant[k] = math.sqrt(slant[k])


@njit(cache=True, nogil=True, error_model="numpy")
def _search(
    places: Floats, vertical: Floats, need: Floats, reach2: Floats, near: Floats, fixed: Floats, key: Ints,
    start: Ints, bands: int, found: Ints, slant: Floats,
) -> Ints:  # fmt: skip
    """Write which satellites each place sees, as long as there is room; returns how many each sees."""
    count, size, filled, eight = np.zeros(len(places), np.int64), key.size, 0, np.empty(_LANES)
    run, hit, square = np.empty((2 * bands, 2), np.int64), np.empty(size + 1, np.int64), np.empty(size + 1)
    marks, before = np.zeros(size // 64 + 1, np.uint64), np.empty(size // 64 + 1, np.uint64)
    for g in range(len(places)):
        hits = 0
        for k in range(_runs(places[g], near[g], bands, start, run)):
            hits = _pass(
                places[g], vertical[g], need[g], reach2[g], fixed, key, run[k, 0], run[k, 1], hit, square, eight, hits
            )  # fmt: skip
        if filled + hits <= found.size:
            _in_order(hit, square, hits, marks, before, found, slant, filled)
        count[g] = hits
        filled += hits
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _least(
    places: Floats, vertical: Floats, need: Floats, reach2: Floats, near: Floats, fixed: Floats, key: Ints,
    start: Ints, bands: int, time_s: Floats32, speed: float,
) -> Floats32:  # fmt: skip
    """As `_search` goes, but only the least is kept of what each place sees."""
    best, eight = np.full(len(places), np.inf, np.float32), np.empty(_LANES)
    run, hit, square = np.empty((2 * bands, 2), np.int64), np.empty(key.size + 1, np.int64), np.empty(key.size + 1)
    for g in range(len(places)):
        for k in range(_runs(places[g], near[g], bands, start, run)):
            hits = _pass(
                places[g], vertical[g], need[g], reach2[g], fixed, key, run[k, 0], run[k, 1], hit, square, eight, 0
            )  # fmt: skip
            for h in range(uint64(hits)):
                via = np.float32(math.sqrt(square[h]) / speed) + time_s[uint64(hit[h] & 0xFFFFFFFF)]
                best[g] = min(best[g], via)
    return best
