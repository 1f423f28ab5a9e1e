"""Who asks when, and how much: people and hours, measured lengths, recorded traces."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import ArrayLike

from aether.base.errors import InputError, Problem
from aether.base.tables import Floats
from aether.scenario.catalog import Lengths

DAY_S = 86_400.0  # exact
_MOST_TOKENS = 1e8  # of one request: beyond it is a slip of the hand
_SHOWN = 10  # problems of a trace told one by one; the rest are counted
_COLUMNS = {  # what a column says: usual names, lower case with underscores
    "arrival time": ("timestamp", "time", "time_s", "arrival_time", "arrival_time_s", "arrived_at", "arrival_timestamp",
                     "arrival", "request_time", "start_time"),
    "input tokens": ("contexttokens", "context_tokens", "input_tokens", "input_length", "input_len", "input_toks",
                     "prompt_tokens", "prompt_length", "prompt_len", "request_tokens", "num_prefill_tokens"),
    "output tokens": ("generatedtokens", "generated_tokens", "output_tokens", "output_length", "output_len", "output_toks",
                      "completion_tokens", "response_tokens", "decode_tokens", "num_decode_tokens"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests of a recorded service, in order of time (N,)."""

    time_s: Floats  # from the first request
    input_tokens: Floats
    output_tokens: Floats


def profile(local_hour: ArrayLike, swing: ArrayLike, peak_hour: ArrayLike) -> Floats:
    """How the hour of day changes demand.

    f = 1 + swing cos(2 pi (hour - peak) / 24), mean 1 over a day.
    local_hour: local time [h], any shape. swing: 0 to 1 [1]. peak_hour: [h]. Returns the factor [1], as broadcast.
    Valid for large populations without a weekly rhythm. Reference: [1] arXiv 2401.17644, figures of daily load.
    """
    angle = 2.0 * np.pi * (np.asarray(local_hour, float) - np.asarray(peak_hour, float)) / 24.0
    return 1.0 + np.asarray(swing, float) * np.cos(angle)


def rates(people: ArrayLike, per_person_day: float, local_hour: ArrayLike, swing: float, peak_hour: float) -> Floats:
    """Requests per second from each place through time.

    r = N q / 86,400 s f(hour). people: N (C,) [1]. per_person_day: q [1]. local_hour: (T, C) [h]. swing, peak_hour: as in
    `profile`. Returns (T, C) [1/s]. Valid where all people ask alike. Reference: [1] NBER working paper 34255 for q.
    """
    return np.asarray(people, float) * (per_person_day / DAY_S) * profile(local_hour, swing, peak_hour)


def arrivals(rng: np.random.Generator, rates: ArrayLike, step_s: float) -> Floats:
    """How many requests come in each tick, by chance.

    n ~ Poisson(r step). rng: its own stream. rates: any shape [1/s]. step_s: tick [s]. Returns whole numbers, shape of
    rates [1]. Valid for many independent people; real services burst more. Reference: [1] Kingman, Poisson Processes.
    """
    return rng.poisson(np.asarray(rates, float) * step_s).astype(float)


def sample(lengths: Lengths, rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Lengths of requests and answers, drawn from quantiles.

    x = Q(u), u uniform, Q linear between the quantiles given; input and output independent, as measured services
    nearly are. lengths: of the catalog. rng: its own stream. count: N. Returns input and output tokens (N,), whole, at
    least 1 [1]. Raises InputError where the quantiles are not in order. Valid to some 4 % in the mean for the packaged
    ones. Reference: [1] Devroye 1986, II.2.
    """
    shares = np.asarray(lengths.shares)
    columns = {"input_tokens": np.asarray(lengths.input_tokens), "output_tokens": np.asarray(lengths.output_tokens)}
    problems = []
    if not shares.size or (np.diff(shares) <= 0).any() or shares[0] < 0 or shares[-1] > 1:
        problems.append(Problem(f"{lengths.name}.shares", "must rise from 0 or more to 1 at most"))
    for name, values in columns.items():
        if values.size != shares.size or (np.diff(values) < 0).any() or (values <= 0).any():
            what = f"must be {shares.size} numbers above 0 that never fall, one for each share"
            problems.append(Problem(f"{lengths.name}.{name}", what))
    if problems:
        raise InputError(problems)
    drawn = (np.interp(rng.random(count), shares, values) for values in columns.values())
    first, second = (np.maximum(np.rint(values), 1.0) for values in drawn)
    return first, second


def read_trace(text: str, file: str) -> Trace:
    """The requests of a CSV file with a header.

    text: of the file. file: its name, for messages. Columns are known by usual names (`TIMESTAMP`, `arrived_at`,
    `ContextTokens`, `prompt_tokens`, `output_length`, ...); times are dates (UTC unless they say otherwise) or seconds.
    Returns a Trace, sorted by time. Raises InputError with the first ten bad rows, by line, and a count of the others.
    Valid for tokens above 0 and times of 0 s or later. Reference: [1] github.com/Azure/AzurePublicDataset.
    """
    text = text.removeprefix("\ufeff")
    rows = csv.reader(io.StringIO(text))
    try:
        header = next((row for row in rows if row), [])
        columns = _find(header, file, rows.line_num)
        read = _fast(text, columns, len(header)) or _slow(rows, columns, file)
    except csv.Error as error:
        raise InputError(Problem("", f"not a CSV file: {error}", file=file, line=rows.line_num)) from error
    time_s, asked, answered = read
    order = np.argsort(time_s, kind="stable")
    return Trace(time_s[order] - time_s[order[0]], asked[order], answered[order])


def _find(header: list[str], file: str, line: int) -> list[int]:
    """The places of the three columns."""
    if not header:
        raise InputError(Problem("", "the file is empty", next="A trace is a CSV file with a header", file=file))
    names = [name.strip().lower().replace(" ", "_").replace("-", "_") for name in header]
    found, problems = [], []
    for what, known in _COLUMNS.items():
        place = next((names.index(name) for name in known if name in names), -1)
        found.append(place)
        if place < 0:
            told = f"there is no column of {what}; the columns are {', '.join(header)[:200]}"
            problems.append(
                Problem("", told, next=f"Name it {known[0]}, {known[1]} or {known[2]}", file=file, line=line)
            )
    if problems:
        raise InputError(problems)
    return found


_Read = tuple[Floats, Floats, Floats]


def _fast(text: str, columns: list[int], width: int) -> _Read | None:
    """The three columns where every row is in order, else None: then `_slow` says what is wrong, or copes."""
    names = [str(i) for i in range(width)]
    wanted = [names[i] for i in columns]
    try:
        table = pa_csv.read_csv(
            io.BytesIO(text.encode()),
            read_options=pa_csv.ReadOptions(column_names=names, skip_rows_after_names=1),
            convert_options=pa_csv.ConvertOptions(
                include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())
            ),
        )
        times, asked, answered = (table.column(name).combine_chunks() for name in wanted)
        try:
            time_s = pc.cast(times, pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            stamps = pc.cast(times, pa.timestamp("ns"))
            ticks = pc.cast(stamps, pa.int64()).to_numpy()
            time_s = (ticks - ticks.min()) / 1e9
        tokens = [pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False) for values in (asked, answered)]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    if not time_s.size:
        return None
    good = np.isfinite(time_s).all() and (time_s >= 0).all()
    if not good or not all(((values > 0) & (values <= _MOST_TOKENS)).all() for values in tokens):
        return None
    return time_s, tokens[0], tokens[1]


def _slow(rows: Any, columns: list[int], file: str) -> _Read:
    """The three columns row by row, with every problem."""
    values: list[tuple[float, ...]] = []
    problems: list[Problem] = []
    bad = 0
    dates: bool | None = None  # what the first readable time is, all must be
    for row in rows:
        if not row:
            continue
        try:
            if len(row) <= max(columns):
                raise ValueError(f"has {len(row)} columns; {max(columns) + 1} are needed")
            dates = _is_date(row[columns[0]]) if dates is None else dates
            stamp = _date(row[columns[0]]) if dates else _number(row[columns[0]], "time", least=0.0)
            asked = _number(row[columns[1]], "input tokens", most=_MOST_TOKENS)
            values.append((stamp, asked, _number(row[columns[2]], "output tokens", most=_MOST_TOKENS)))
        except ValueError as error:
            bad += 1
            if len(problems) < _SHOWN:
                problems.append(Problem("", str(error), file=file, line=rows.line_num))
    if bad > _SHOWN:
        problems.append(Problem("", f"and {bad - _SHOWN} more", file=file))
    if not problems and not values:
        problems.append(Problem("", "the file holds no requests, only a header", file=file))
    if problems:
        raise InputError(problems)
    table = np.array(values)
    return table[:, 0], table[:, 1], table[:, 2]


def _number(text: str, what: str, least: float = math.ulp(0.0), most: float = math.inf) -> float:
    """A finite number within limits; by default above 0."""
    try:
        value = float(text.replace("_", "?"))
    except ValueError:
        raise ValueError(f"{what} '{text[:40]}' is not a number") from None
    if not math.isfinite(value) or not least <= value <= most:
        limits = "0 or later" if least == 0.0 else f"above 0 and at most {most:,.0f}"
        raise ValueError(f"{what} must be {limits}, got {text.strip()[:40]}")
    return value


def _is_date(text: str) -> bool:
    """Whether a time is a date; ValueError where it is no number either."""
    try:
        float(text)
    except ValueError:
        _date(text)
        return True
    return False


def _date(text: str) -> float:
    """Seconds of a date since 1970."""
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"time '{text[:40]}' is neither a date such as '2023-11-16 18:15:46.68' nor seconds") from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def replay(
    trace: Trace, times_s: ArrayLike, step_s: float, scale: float = 1.0, repeat: bool = True
) -> tuple[Floats, Floats, Floats]:
    """A trace's requests tick by tick.

    Each falls into the tick [t - step/2, t + step/2) of its time, the first request at 0 s. Repeated, the trace starts
    again one mean gap after its last request. scale: times its own rate [1]. times_s: middles of ticks in a row (T,) [s].
    step_s: [s]. Returns requests, mean input and mean output tokens of each tick (T,) [1]; means of the whole trace
    where none comes. No request is lost or doubled when the ticks cover the trace. Valid for ticks without gaps.
    Reference: [1] github.com/Azure/AzurePublicDataset.
    """
    times = np.asarray(times_s, float)
    edges = np.append(times - step_s / 2.0, times[-1] + step_s / 2.0)
    count, last = trace.time_s.size, float(trace.time_s[-1])
    rounds = np.zeros_like(edges)
    if repeat:
        period = last + (last / (count - 1) if last > 0.0 else step_s)
        rounds = np.floor(np.maximum(edges, 0.0) / period)
        edges = edges - rounds * period
    upto = np.searchsorted(trace.time_s, edges, side="left")
    came = np.diff(rounds * count + upto)
    means = []
    for tokens in (trace.input_tokens, trace.output_tokens):
        total = np.concatenate(([0.0], np.cumsum(tokens)))
        sums = np.diff(rounds * total[-1] + total[upto])
        means.append(np.where(came > 0, sums / np.maximum(came, 1.0), total[-1] / count))
    return came * scale, means[0], means[1]
