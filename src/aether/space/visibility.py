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

import numpy as np
from numba import int64, njit, uint64

from aether.base.tables import Access, Floats, Ints

_PARTS = 2  # of longitude in a band, for each band: cells are about as wide as high at middle latitudes
_A_CELL = 6.0  # satellites in a cell on average; 3 to 12 take as long
_SLACK = 1e-9  # by which angles' cosines are rounded outward
_CROWD = 1.5  # room for satellites seen, as a share of all by 1 - cos of the angle: a half if they stood evenly


@dataclass(frozen=True, slots=True)
class Sky:
    """Satellites at one time, from `sky`: cell after cell, and within one from south to north."""

    fixed_m: Floats  # (3, V) Earth-fixed x, y and z
    rank: Ints  # (V,) place of each in the order from south to north (by z; ties by number)
    number: Ints  # (V,) satellite at each place of that order
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
    number = _northward(satellites_m, np.argsort(satellites_m[:, 2]))
    if not len(number):
        number = _northward(satellites_m, np.argsort(satellites_m[:, 2], kind="stable"))
    return Sky(*_sort(satellites_m, number, bands))


def seen(horizon: Horizon, sky: Sky, max_slant_m: float = math.inf, threads: int = 1) -> Access:
    """Which satellites each place sees, as `ground.visible` has it, of what was made ready by `horizon` and `sky`.

    sin E = (s - p) . up / |s - p| >= sin E_min and |s - p| <= max.

    max_slant_m: [m]. threads: among which places are shared out; the result is the same bit for bit. Returns Access,
    each place's satellites from south to north. Reference [1].
    """
    places = len(horizon.place_m)
    if not len(sky.rank):
        return Access(np.zeros(places + 1, np.int64), np.empty(0, np.int64), np.empty(0))
    if threads == 1:
        parts = [_share(horizon, sky, max_slant_m, 0, places)]
    else:
        bounds = [places * t // threads for t in range(threads + 1)]
        with ThreadPoolExecutor(threads) as pool:
            parts = list(
                pool.map(lambda t: _share(horizon, sky, max_slant_m, bounds[t], bounds[t + 1]), range(threads))
            )
    count, number, slant_m = (np.concatenate(part) if threads > 1 else part[0] for part in zip(*parts, strict=True))
    return Access(np.concatenate([np.zeros(1, np.int64), np.cumsum(count)]), number, slant_m)


def _share(horizon: Horizon, sky: Sky, max_slant_m: float, first: int, end: int) -> tuple[Ints, Ints, Floats]:
    """How many satellites each of some places sees, which, and their slants."""
    part = slice(first, end)
    reach2, near = _limits(
        horizon.radius_m[part], horizon.level_m[part], horizon.rise_m[part], max_slant_m, sky.lowest_m, sky.highest_m
    )
    room = int(_CROWD * len(sky.rank) * (near.size - near.sum())) + 1024
    while True:
        # In one piece, and numpy's own: what is freed is then kept for the next call, and large pieces have large pages.
        piece = np.empty(2 * room, np.int64)
        number, slant_m = piece[:room], piece[room:].view(np.float64)
        count = _search(
            horizon.place_m[part], horizon.vertical[part], horizon.need[part], reach2, near, sky.fixed_m, sky.rank,
            sky.number, sky.start, sky.bands, number, slant_m,
        )  # fmt: skip
        filled = int(count.sum())
        if filled <= room:
            return count, number[:filled], slant_m[:filled]
        room = filled


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


@njit(cache=True, nogil=True)
def _northward(satellites: Floats, order: Ints) -> Ints:
    """Those of an order by z that are finite, ties by number; nothing if ties are so many that sorting them would take long."""
    number, count, moves = np.empty_like(order), 0, 0
    for r in range(order.size):
        own = order[r]
        x, y, z = satellites[own, 0], satellites[own, 1], satellites[own, 2]
        if not np.isfinite(x + y + z):
            continue
        at = count
        while at > 0 and number[at - 1] > own and satellites[number[at - 1], 2] == z:
            number[at] = number[at - 1]
            at -= 1
            moves += 1
        if moves > 8 * order.size:
            return number[:0]
        number[at] = own
        count += 1
    return number[:count]


@njit(cache=True, nogil=True, error_model="numpy")
def _around(x: float, y: float) -> float:
    """A stand-in for longitude, from 0 to 4 eastward, without an arctangent."""
    share = y / (abs(x) + abs(y) + 1e-300)
    return 2.0 - share if x < 0.0 else (share if share >= 0.0 else 4.0 + share)


@njit(cache=True, nogil=True, error_model="numpy")
def _part(around: float, parts: int) -> int:
    return min(int(around * 0.25 * parts), parts - 1)


@njit(cache=True, nogil=True, error_model="numpy")
def _sort(satellites: Floats, number: Ints, bands: int) -> tuple[Floats, Ints, Ints, Ints, int, float, float]:
    """Counting sort into cells: the parts of a Sky."""
    parts, lowest, highest = _PARTS * bands, np.inf, 0.0
    cell, start = np.empty(number.size, np.int64), np.zeros(bands * parts + 1, np.int64)
    for r in range(number.size):
        x, y, z = satellites[number[r], 0], satellites[number[r], 1], satellites[number[r], 2]
        radius = math.sqrt(x * x + y * y + z * z)
        lowest, highest = min(lowest, radius), max(highest, radius)
        band = min(int((z / radius + 1.0) * 0.5 * bands), bands - 1) if radius > 0.0 else 0
        cell[r] = band * parts + _part(_around(x, y), parts)
        start[cell[r] + 1] += 1
    for c in range(bands * parts):
        start[c + 1] += start[c]
    fill, fixed, rank = start[:-1].copy(), np.empty((3, number.size)), np.empty(number.size, np.int64)
    for r in range(number.size):
        at = fill[cell[r]]
        fill[cell[r]] += 1
        rank[at] = r
        for axis in range(3):
            fixed[axis, at] = satellites[number[r], axis]
    return fixed, rank, number, start, bands, lowest, highest


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


@njit(cache=True, nogil=True, error_model="numpy")
def _pass(
    place: Floats, vertical: Floats, need: float, reach2: float, fixed: Floats, rank: Ints, first: int, end: int,
    hit: Ints, square: Floats, hits: int,
) -> int:  # fmt: skip
    """Test a run of satellites; append the rank and the squared slant of those seen."""
    px, py, pz, ux, uy, uz = place[0], place[1], place[2], vertical[0], vertical[1], vertical[2]
    sx, sy, sz, top = fixed[0], fixed[1], fixed[2], uint64(hits)  # unsigned: no index may count from the end
    for j in range(uint64(first), uint64(end)):
        dx, dy, dz = sx[j] - px, sy[j] - py, sz[j] - pz
        away = dx * dx + dy * dy + dz * dz
        rise = dx * ux + dy * uy + dz * uz
        hit[top], square[top] = rank[j], away  # written in any case, kept if counted: no branch to foresee
        top += uint64((away <= reach2) & (rise * abs(rise) >= need * away))  # signed squares: need may be negative
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
    hit: Ints, square: Floats, hits: int, number: Ints, marks: Floats, before: Floats, found: Ints, slant: Floats,
    filled: int,
) -> None:  # fmt: skip
    """Write what a place sees by rank: a bit marks each rank, and the bits below it say how many come first."""
    low, high = marks.size, 0
    for k in range(uint64(hits)):
        word = hit[k] >> 6
        low, high = min(low, word), max(high, word)
        marks[uint64(word)] |= uint64(1) << uint64(hit[k] & 63)
    tally = uint64(filled)
    for w in range(uint64(low), uint64(high + 1)):
        before[w] = tally
        tally += _ones(marks[w])
    for k in range(uint64(hits)):
        rank = uint64(hit[k])
        word = rank >> uint64(6)
        at = before[word] + _ones(marks[word] & ((uint64(1) << (rank & uint64(63))) - uint64(1)))
        found[at], slant[at] = number[rank], square[k]
    for w in range(uint64(low), uint64(high + 1)):
        marks[w] = 0
    for k in range(uint64(filled), uint64(filled + hits)):
        slant[k] = math.sqrt(slant[k])


@njit(cache=True, nogil=True, error_model="numpy")
def _search(
    places: Floats, vertical: Floats, need: Floats, reach2: Floats, near: Floats, fixed: Floats, rank: Ints,
    number: Ints, start: Ints, bands: int, found: Ints, slant: Floats,
) -> Ints:  # fmt: skip
    """Write which satellites each place sees, as long as there is room; returns how many each sees."""
    count, size, filled = np.zeros(len(places), np.int64), rank.size, 0
    run, hit, square = np.empty((2 * bands, 2), np.int64), np.empty(size + 1, np.int64), np.empty(size + 1)
    marks, before = np.zeros(size // 64 + 1, np.uint64), np.empty(size // 64 + 1, np.uint64)
    for g in range(len(places)):
        hits = 0
        for k in range(_runs(places[g], near[g], bands, start, run)):
            hits = _pass(
                places[g], vertical[g], need[g], reach2[g], fixed, rank, run[k, 0], run[k, 1], hit, square, hits
            )  # fmt: skip
        if filled + hits <= found.size:
            _in_order(hit, square, hits, number, marks, before, found, slant, filled)
        count[g] = hits
        filled += hits
    return count
