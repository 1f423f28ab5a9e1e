"""Published element sets: reading them with every fault named, finding shells and planes in them, writing them.

References
[1] D. A. Vallado, P. J. Cefola, Two-line element sets: practice and use, IAC-12, 2012 (columns and checksum).
[2] CCSDS 502.0-B-3, Orbit Data Messages, 2023 (mean element message, OMM).
[3] T. S. Kelso, A new way to obtain GP data, CelesTrak, 2020 (OMM in JSON and CSV, their field names).
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from aether.base.clock import DAY_S, UNIX_DAYS, julian_date
from aether.base.errors import InputError, Problem, unknown
from aether.base.tables import Elements, Floats, Ints
from aether.space.motion import LONGEST_PERIOD_S, prepare
from aether.space.orbits import mean_altitude

_DAY_RAD = 2.0 * math.pi / DAY_S
_NEEDED = (
    "EPOCH", "MEAN_MOTION", "ECCENTRICITY", "INCLINATION", "RA_OF_ASC_NODE", "ARG_OF_PERICENTER", "MEAN_ANOMALY",
    "BSTAR",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What was read: element sets (S,), their names and catalogue numbers, and every record that was refused."""

    elements: Elements
    names: tuple[str, ...]
    numbers: tuple[str, ...]  # as written: five characters in TLE, which may begin with a letter
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    """One element set, its epoch as whole days and a rest, since a Julian date alone resolves 40 microseconds."""

    name: str
    number: str
    day_jd: float
    rest_s: float
    motion_rad_s: float
    eccentricity: float
    angles_rad: tuple[float, float, float, float]  # inclination, node, perigee, mean anomaly
    bstar: float


def read(text: str, epoch_jd: float, form: str = "", file: str = "") -> Catalogue:
    """Element sets from text; records with faults are left out and reported.

    text: two- or three-line sets, or OMM as JSON or CSV. epoch_jd: Julian date [days] from which `epoch_s` counts.
    form: "tle", "json", "csv", or "" to tell from the content. file: its name, for the messages.
    Returns a Catalogue; the caller decides whether its problems are fatal. Raises InputError on an unknown form.
    References [1], [2], [3].
    """
    form = form or _form_of(text)
    readers: dict[str, Callable[[str, str], tuple[list[_Row], list[Problem]]]] = {
        "tle": _read_tle, "json": _read_json, "csv": _read_csv,
    }  # fmt: skip
    if form not in readers:
        raise InputError(unknown("form", "form of element sets", form, readers))
    rows, problems = readers[form](text, file) if text.strip() else ([], [])
    if not rows and not problems:
        problems = [Problem("", "no element set found", next="Expected TLE lines, OMM JSON or OMM CSV", file=file)]
    return Catalogue(
        elements=_table(rows, epoch_jd),
        names=tuple(row.name for row in rows),
        numbers=tuple(row.number for row in rows),
        problems=tuple(problems),
    )


def _form_of(text: str) -> str:
    head = text.lstrip("\ufeff \t\r\n")[:2000]
    if head.startswith(("[", "{")):
        return "json"
    first = head.split("\n", 1)[0]
    return "csv" if "," in first and "MEAN_MOTION" in first.upper() else "tle"


def _table(rows: list[_Row], epoch_jd: float) -> Elements:
    def column(values: Iterable[float]) -> Floats:
        return np.array(list(values), dtype=np.float64)

    none = np.full(len(rows), -1, dtype=np.int64)
    return Elements(
        epoch_s=column((row.day_jd - epoch_jd) * DAY_S + row.rest_s for row in rows),
        mean_motion_rad_s=column(row.motion_rad_s for row in rows),
        eccentricity=column(row.eccentricity for row in rows),
        inclination_rad=column(row.angles_rad[0] for row in rows),
        node_rad=column(row.angles_rad[1] for row in rows),
        perigee_rad=column(row.angles_rad[2] for row in rows),
        mean_anomaly_rad=column(row.angles_rad[3] for row in rows),
        bstar=column(row.bstar for row in rows),
        plane=none,
        slot=none.copy(),
        shell=none.copy(),
    )


# --- two-line sets ----------------------------------------------------------------------------------------------------


def checksum(line: str) -> int:
    """The check digit of a line: digits summed, a minus counting one, modulo ten. Reference [1]."""
    return sum(int(sign) if sign.isdigit() else sign == "-" for sign in line[:68]) % 10


def _read_tle(text: str, file: str) -> tuple[list[_Row], list[Problem]]:
    rows: list[_Row] = []
    problems: list[Problem] = []
    name, first, where, titled = "", "", 0, 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip("\ufeff\r\n ")
        kind = line[:2] if len(line) > 60 else ""
        if first and kind != "2 ":
            problems.append(Problem(name, "line 1 is not followed by a line 2", file=file, line=where))
            first = ""
        if kind == "1 ":
            first, where = line, number
        elif kind == "2 " and first:
            try:
                rows.append(_tle_row(name, first, line))
            except ValueError as error:
                problems.append(Problem(name or first[2:7].strip(), str(error), file=file, line=where))
            name, first = "", ""
        elif kind == "2 ":
            problems.append(Problem(name, "line 2 without a line 1", file=file, line=number))
        elif line and not line.startswith("#"):
            if name:
                problems.append(Problem(name, "no line 1 of 69 characters after this", file=file, line=titled))
            name, titled = line.removeprefix("0 ").strip(), number
    if first:
        problems.append(Problem(name, "line 1 is not followed by a line 2", file=file, line=where))
    elif name:
        problems.append(Problem(name, "no line 1 of 69 characters after this", file=file, line=titled))
    return rows, problems


def _tle_row(name: str, first: str, second: str) -> _Row:
    for number, line in ((1, first), (2, second)):
        if len(line) != 69:
            raise ValueError(f"line {number} has {len(line)} characters, 69 expected")
        if not line[68].isdigit() or checksum(line) != int(line[68]):
            raise ValueError(f"bad checksum on line {number}: '{line[68]}' written, {checksum(line)} computed")
    if first[2:7] != second[2:7]:
        raise ValueError(f"line 1 is of object {first[2:7].strip()}, line 2 of {second[2:7].strip()}")
    year = int(_number("epoch year", first[18:20]))
    day = _number("epoch day", first[20:32])
    mantissa = _number("BSTAR", f"{first[53]}.{first[54:59].strip()}".replace(" ", ""))
    start = datetime(year + (2000 if year < 57 else 1900), 1, 1, tzinfo=UTC)  # [1]: sets begin with Sputnik
    degrees = [second[8:16], second[17:25], second[34:42], second[43:51]]
    names = ("inclination", "node", "argument of perigee", "mean anomaly")
    angles = [math.radians(_number(what, text)) for what, text in zip(names, degrees, strict=True)]
    return _checked(
        _Row(
            name=name or first[2:7].strip(),
            number=first[2:7].strip(),
            day_jd=julian_date(start) + math.floor(day) - 1.0,
            rest_s=(day % 1.0) * DAY_S,
            motion_rad_s=_number("mean motion", second[52:63]) * _DAY_RAD,
            eccentricity=_number("eccentricity", "0." + second[26:33].replace(" ", "0")),
            angles_rad=(angles[0], angles[1], angles[2], angles[3]),
            bstar=mantissa * 10.0 ** _number("BSTAR exponent", first[59:61]),
        )
    )


def _number(what: str, text: object) -> float:
    try:
        value = float(str(text))
    except ValueError:
        raise ValueError(f"{what}: '{str(text).strip()[:30]}' is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{what}: '{text}' is not finite")
    return value


def _checked(row: _Row) -> _Row:
    """The row itself, or ValueError where the theory does not hold."""
    if row.motion_rad_s <= 0.0:
        raise ValueError("mean motion is not positive")
    if not 0.0 <= row.eccentricity < 1.0:
        raise ValueError(f"eccentricity {row.eccentricity:g} is outside 0 to 1")
    if not 0.0 <= row.angles_rad[0] <= math.pi:
        raise ValueError(f"inclination {math.degrees(row.angles_rad[0]):g} deg is outside 0 to 180")
    minutes = 2.0 * math.pi / row.motion_rad_s / 60.0
    if minutes >= LONGEST_PERIOD_S / 60.0:
        raise ValueError(f"not near-Earth: a period of {minutes:.0f} min, below 225 min is modelled")
    return row


# --- orbit mean-element messages --------------------------------------------------------------------------------------


def _read_json(text: str, file: str) -> tuple[list[_Row], list[Problem]]:
    try:
        found: Any = json.loads(text.lstrip("\ufeff"))
    except json.JSONDecodeError as error:
        return [], [Problem("", f"not JSON: {error.msg}", file=file, line=error.lineno)]
    records = found if isinstance(found, list) else [found]
    return _read_records(((f"[{index}]", record, 0) for index, record in enumerate(records)), file)


def _read_csv(text: str, file: str) -> tuple[list[_Row], list[Problem]]:
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff")))
    reader.fieldnames = [name.strip().upper() for name in reader.fieldnames or ()]
    records = [(f"[{index}]", record, reader.line_num) for index, record in enumerate(reader)]
    return _read_records(records, file)


def _read_records(records: Iterable[tuple[str, Any, int]], file: str) -> tuple[list[_Row], list[Problem]]:
    rows: list[_Row] = []
    problems: list[Problem] = []
    for path, record, line in records:
        try:
            rows.append(_omm_row(record))
        except ValueError as error:
            named = record.get("OBJECT_NAME") if isinstance(record, Mapping) else None
            problems.append(Problem(f"{path} {named}" if named else path, str(error), file=file, line=line))
    return rows, problems


def _omm_row(record: Any) -> _Row:
    if not isinstance(record, Mapping):
        raise ValueError("not a record of fields")
    missing = [name for name in _NEEDED if record.get(name) in (None, "")]
    if missing:
        raise ValueError(f"missing field {', '.join(missing)}")
    try:
        date = datetime.fromisoformat(str(record["EPOCH"]))
    except ValueError:
        raise ValueError(f"EPOCH: '{str(record['EPOCH'])[:40]}' is not a date") from None
    date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    day = date.replace(hour=0, minute=0, second=0, microsecond=0)
    value = {name: _number(name, record[name]) for name in _NEEDED[1:]}
    angles = [math.radians(value[name]) for name in _NEEDED[3:7]]
    number = str(record.get("NORAD_CAT_ID") or "").strip()
    return _checked(
        _Row(
            name=str(record.get("OBJECT_NAME") or number).strip(),
            number=number,
            day_jd=julian_date(day),
            rest_s=(date - day).total_seconds(),
            motion_rad_s=value["MEAN_MOTION"] * _DAY_RAD,
            eccentricity=value["ECCENTRICITY"],
            angles_rad=(angles[0], angles[1], angles[2], angles[3]),
            bstar=value["BSTAR"],
        )
    )


# --- writing ----------------------------------------------------------------------------------------------------------


def write_tle(elements: Elements, names: Iterable[str], epoch_jd: float) -> str:
    """Three-line element sets, numbered from 1, that any reader of the format takes.

    elements: (S,). names: (S,), cut to 24 characters. epoch_jd: Julian date of second 0 [days]. The format keeps 1e-4
    degrees (12 m in place), 1e-8 days and 1e-8 turns a day. Raises InputError above 99,999 sets. Reference [1].
    """
    count = len(elements.epoch_s)
    if count > 99_999:
        raise InputError(f"{count} element sets: the format numbers 99,999; write fewer")
    angles = np.degrees(
        np.stack([elements.inclination_rad, elements.node_rad, elements.perigee_rad, elements.mean_anomaly_rad])
    )
    angles[1:] %= 360.0
    angles[1:][angles[1:] >= 359.99995] = 0.0  # would print as 360
    motion = elements.mean_motion_rad_s / _DAY_RAD
    lines = []
    for index, name in enumerate(names):
        inclination, node, perigee, anomaly = angles[:, index]
        epoch, shape = _tle_epoch(epoch_jd, float(elements.epoch_s[index])), round(elements.eccentricity[index] * 1e7)
        first = (
            f"1 {index + 1:05d}U 00000A   {epoch}  .00000000  00000+0 {_tle_power(float(elements.bstar[index]))} 0  999"
        )
        second = f"2 {index + 1:05d} {inclination:8.4f} {node:8.4f} {shape:07d} {perigee:8.4f} {anomaly:8.4f} "
        second += f"{motion[index]:11.8f}    0"
        lines += [name[:24], f"{first}{checksum(first)}", f"{second}{checksum(second)}"]
    return "\n".join(lines) + "\n"


def _tle_epoch(epoch_jd: float, seconds: float) -> str:
    whole = math.floor(epoch_jd - UNIX_DAYS)
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=whole)
    days = (epoch_jd - UNIX_DAYS - whole) + seconds / DAY_S
    date = start + timedelta(days=math.floor(days + 5e-9))
    return f"{date:%y}{date.timetuple().tm_yday + max(0.0, days - math.floor(days + 5e-9)):012.8f}"


def _tle_power(value: float) -> str:
    if value == 0.0:
        return " 00000+0"
    exponent = math.floor(math.log10(abs(value))) + 1
    mantissa = round(abs(value) / 10.0**exponent * 1e5)
    if mantissa == 100_000:
        mantissa, exponent = 10_000, exponent + 1
    return f"{'-' if value < 0 else ' '}{mantissa:05d}{exponent:+d}"


# --- shells and planes ------------------------------------------------------------------------------------------------

_INCLINATION_BIN_RAD = math.radians(0.1)  # a shell's inclinations agree to some 0.05 degrees in published sets
_ALTITUDE_BIN_M = 2000.0  # and its mean altitudes to 1 or 2 km
_LEAST_SHELL = 20  # satellites near one another that make a shell of a large fleet; fewer are on their way
_NODE_NOISE_RAD = math.radians(0.2)  # nodes within a plane agree to this
_LEAST_GAP_RAD = math.radians(0.4)  # and planes closer than this are not told apart


def find_planes(elements: Elements) -> Elements:
    """The elements with shell, plane and slot found from the orbits themselves.

    Shells are connected dense regions of inclination and mean altitude; in each, nodes are brought to one epoch by
    their secular rates and parted where the sorted gaps between them drop most sharply (over a noise of 0.2 degrees);
    slots are the order of mean argument of latitude in a plane. Shells are numbered by inclination, then altitude;
    planes by node. A satellite outside every dense region (raising, decaying) keeps -1 in all three.

    elements: (S,). The nodes' common epoch is the median one, so sets should be of the same days.
    Returns elements (S,).
    """
    if len(elements.epoch_s) == 0:
        return elements
    made = prepare(elements)
    elapsed = float(np.median(elements.epoch_s)) - elements.epoch_s
    node = np.mod(elements.node_rad + made.node_rate_rad_s * elapsed, 2.0 * math.pi)
    latitude = elements.mean_anomaly_rad + elements.perigee_rad + made.latitude_rate_rad_s * elapsed
    latitude = np.mod(latitude, 2.0 * math.pi)
    shell = _shells(elements.inclination_rad, mean_altitude(elements))
    plane = np.full(len(shell), -1, dtype=np.int64)
    slot = plane.copy()
    for number in range(int(shell.max()) + 1):
        members = np.flatnonzero(shell == number)
        plane[members] = _planes(node[members])
        for index in range(int(plane[members].max()) + 1):
            within = members[plane[members] == index]
            slot[within[np.argsort(latitude[within], kind="stable")]] = np.arange(len(within))
    return replace(elements, shell=shell, plane=plane, slot=slot)


def _shells(inclination_rad: Floats, altitude_m: Floats) -> Ints:
    """The shell of each satellite, -1 outside every dense region."""
    row = np.floor(inclination_rad / _INCLINATION_BIN_RAD + 0.5).astype(np.int64)  # designs are round numbers
    column = np.floor(altitude_m / _ALTITUDE_BIN_M).astype(np.int64)
    row, column = row - row.min(), np.minimum(column - column.min(), 20_000)
    count = np.zeros((int(row.max()) + 1, int(column.max()) + 1))
    np.add.at(count, (row, column), 1.0)
    from scipy import ndimage  # a tenth of a second that scenarios without element sets need not pay

    near = ndimage.uniform_filter(count, (3, 3), mode="constant") * 9.0
    least = max(1, min(_LEAST_SHELL, len(row) // 50))
    label, _ = ndimage.label(near > least - 0.5, np.ones((3, 3)))
    return np.asarray(np.unique(np.append(label[row, column], 0), return_inverse=True)[1][:-1] - 1, dtype=np.int64)


def _planes(node_rad: Floats) -> Ints:
    """The plane of each node on the circle, numbered from the first plane after 0."""
    order = np.argsort(node_rad, kind="stable")
    gap = np.diff(node_rad[order], append=node_rad[order[0]] + 2.0 * math.pi)  # after each, the last across 0
    falling = np.append(np.sort(gap)[::-1], 0.0)
    sharpness = falling[:-1] / np.maximum(falling[1:], _NODE_NOISE_RAD)
    sharpness[falling[:-1] < _LEAST_GAP_RAD] = 0.0
    cut = gap >= falling[int(np.argmax(sharpness))] - 1e-12
    if not sharpness.any():
        return np.zeros(len(node_rad), dtype=np.int64)
    plane = np.append(0, np.cumsum(cut)[:-1])
    plane = plane % int(cut.sum())  # the nodes before the first gap belong to the plane that ends across 0
    found = np.empty(len(node_rad), dtype=np.int64)
    found[order] = plane
    return found
