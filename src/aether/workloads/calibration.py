"""What a real server's log says about a model on a GPU: the log replayed in discrete events, efficiencies fitted to it."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from aether.base.errors import InputError, Problem
from aether.base.tables import Floats
from aether.scenario.catalog import Accelerator, LanguageModel
from aether.workloads import batching
from aether.workloads.inference import Efficiency

_COLUMNS = {  # what a column says: usual names, lower case with underscores
    "arrival": ("queued_ts", "arrival_ts", "arrival_time_s", "arrival_time", "arrival", "start_time", "timestamp"),
    "first token": ("first_token_ts", "first_token_time", "first_token_s", "first_token"),
    "last token": ("last_token_ts", "last_token_time", "finish_ts", "finished_time", "finish_time", "end_time"),
    "input tokens": ("input_toks", "input_tokens", "prompt_tokens", "num_prompt_tokens", "prompt_len", "input_len"),
    "output tokens": ("output_toks", "output_tokens", "completion_tokens", "num_generation_tokens", "output_len"),
}
_PRECISION = {"bfloat16": "bf16", "float16": "bf16", "half": "bf16", "auto": "bf16", "fp8": "fp8", "nvfp4": "fp4"}
_LEAST, _MOST = (0.05, 0.05, 0.0), (1.0, 1.0, 0.05)  # shares of peak, and overheads beyond 50 ms would be another fault
_STEP = (0.01, 0.01, 2e-4)  # of the derivatives: a replay moves in whole iterations, so that tiny steps see noise
_SHOWN = 10  # problems of a log told one by one; the rest are counted


@dataclass(frozen=True, slots=True)
class Log:
    """Requests that a server has answered, in order of arrival (N,); seconds from the first arrival."""

    name: str
    time_s: Floats
    first_s: Floats
    last_s: Floats
    input_tokens: Floats
    output_tokens: Floats


@dataclass(frozen=True, slots=True)
class Deployment:
    """How the logged server was set up."""

    precision: str = "bf16"
    gpus: int = 1  # of one replica, tensor parallel
    ranks: int = 1  # replicas that take requests in turn
    max_batch: int = 256  # of each, vLLM's max_num_seqs
    chunk_tokens: int = 8192  # of each, vLLM's max_num_batched_tokens


@dataclass(frozen=True, slots=True)
class Times:
    """Means over a log's requests [s]; or how far two such are apart, as a share."""

    first_token: float  # from arrival
    per_token: float  # after the first
    whole: float  # from arrival to the last token


@dataclass(frozen=True, slots=True)
class Fit:
    """Efficiencies that replay a log best, and what is left."""

    efficiency: Efficiency
    measured: Times
    before: Times  # relative errors with the efficiencies given
    after: Times  # with those fitted
    spread: float  # root mean square of the residuals of all requests, relative to the means


def read_log(text: str, file: str) -> Log:
    """The requests of a server's log: JSON lines, or CSV with a header.

    text: of the file. file: its name, for messages. Columns by usual names: arrival (`queued_ts`, ...), first and last
    token, input and output tokens; times in seconds on one clock. Returns a Log. Raises InputError with the columns that
    are missing, or the first ten bad rows and a count of the others. Valid for logs of whole, finished requests.
    Reference: [1] docs.vllm.ai, per-request metrics.
    """
    rows = _rows(text.removeprefix("\ufeff"), file)
    names = _named(rows[0][1], file)
    made: list[tuple[float, ...]] = []
    problems: list[Problem] = []
    bad = 0
    for line, row in rows:
        try:
            made.append(_row(row, names))
        except ValueError as error:
            bad += 1
            if len(problems) < _SHOWN:
                problems.append(Problem("", str(error), file=file, line=line))
    if bad > _SHOWN:
        problems.append(Problem("", f"and {bad - _SHOWN} more", file=file))
    if problems:
        raise InputError(problems)
    values = np.array(made)
    values = values[np.argsort(values[:, 0], kind="stable")]
    begun = values[0, 0]
    name = file.replace("\\", "/").rpartition("/")[2]
    return Log(name, values[:, 0] - begun, values[:, 1] - begun, values[:, 2] - begun, values[:, 3], values[:, 4])


def _rows(text: str, file: str) -> list[tuple[int, Mapping[str, Any]]]:
    """Rows with their lines."""
    rows: list[tuple[int, Mapping[str, Any]]] = []
    if not text.lstrip().startswith("{"):
        reader = csv.DictReader(io.StringIO(text))
        try:
            rows = [(reader.line_num, row) for row in reader]
        except csv.Error as error:
            raise InputError(Problem("", f"not a CSV file: {error}", file=file)) from error
    else:
        for line, one in enumerate(text.splitlines(), 1):
            if not one.strip():
                continue
            try:
                row = json.loads(one)
            except (json.JSONDecodeError, RecursionError) as error:
                raise InputError(Problem("", f"not a JSON line: {error}", file=file, line=line)) from error
            if not isinstance(row, dict):
                raise InputError(Problem("", "a line of a log is a mapping of columns", file=file, line=line))
            rows.append((line, row))
    if not rows:
        raise InputError(Problem("", "the log holds no requests", next="JSON lines, or CSV with a header", file=file))
    return rows


def _named(row: Mapping[str, Any], file: str) -> list[str]:
    """The log's own names of the five columns."""
    there = {str(key).strip().lower().replace(" ", "_").replace("-", "_"): str(key) for key in row}
    found = {what: next((there[k] for k in known if k in there), "") for what, known in _COLUMNS.items()}
    problems = [
        Problem("", f"there is no column of {what}; the columns are {', '.join(there)[:200]}",
                next=f"Name it {', '.join(_COLUMNS[what][:3])}", file=file)
        for what, name in found.items() if not name
    ]  # fmt: skip
    if problems:
        raise InputError(problems)
    return list(found.values())


def _row(row: Mapping[str, Any], names: list[str]) -> tuple[float, ...]:
    """Arrival, first and last token, input and output tokens; ValueError in words."""
    values = []
    for name in names:
        try:
            value = float(row.get(name))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise ValueError(f"{name} '{str(row.get(name))[:40]}' is not a number") from None
        if not math.isfinite(value):
            raise ValueError(f"{name} must be finite, got {value}")
        values.append(value)
    came, first, last, asked, answered = values
    if not came <= first <= last:
        raise ValueError(f"times must rise: arrival {came:.3f}, first token {first:.3f}, last token {last:.3f} s")
    if asked < 1 or answered < 1:
        raise ValueError(f"at least one token in and out, got {asked:g} and {answered:g}")
    return tuple(values)


def read_meta(text: str, file: str) -> tuple[str, Deployment]:
    """What a file beside the log says about the server.

    text: JSON, vLLM's arguments at the top or under `engine_kwargs`: model, tensor_parallel_size, data_parallel_size,
    max_num_seqs, max_num_batched_tokens, dtype or quantization. file: its name, for messages. Returns the model's name as
    told ("" without) and a Deployment. Raises InputError for what is no such file.
    Valid for one server. Reference: [1] docs.vllm.ai, engine arguments.
    """
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(Problem("", f"not JSON: {error}", file=file)) from error
    if not isinstance(data, dict):
        raise InputError(Problem("", "a file of settings is a mapping of keys", file=file))
    said = {**data, **data["engine_kwargs"]} if isinstance(data.get("engine_kwargs"), dict) else data
    usual, problems = Deployment(), []
    wanted = {"gpus": "tensor_parallel_size", "ranks": "data_parallel_size", "max_batch": "max_num_seqs",
              "chunk_tokens": "max_num_batched_tokens"}  # fmt: skip
    numbers = {}
    for name, key in wanted.items():
        value = said.get(key)
        value = getattr(usual, name) if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            problems.append(Problem(key, f"must be a whole number above 0, got {str(value)[:40]!r}", file=file))
        else:
            numbers[name] = value
    kind = str(said.get("quantization") or said.get("dtype") or "auto")
    if kind not in (*_PRECISION, *_PRECISION.values()):
        problems.append(Problem("dtype", f"'{kind}' is not known; known are {', '.join(_PRECISION)}", file=file))
    if problems:
        raise InputError(problems)
    return str(said.get("model") or ""), Deployment(precision=_PRECISION.get(kind, kind), **numbers)


def joined(deployment: Deployment) -> Deployment:
    """Ranks as one replica of all their GPUs, as if weights were shared out over all: the other end of what is possible.

    Returns a Deployment of one rank. Valid as a bound for data parallel ranks that share their experts; attention's
    weights, which each rank holds, are then read once too seldom. Reference: [1] docs.vllm.ai, expert parallel deployment.
    """
    n = deployment.ranks
    return replace(deployment, gpus=n * deployment.gpus, ranks=1, max_batch=n * deployment.max_batch, chunk_tokens=n * deployment.chunk_tokens)  # fmt: skip


def replay(log: Log, model: LanguageModel, gpu: Accelerator, deployment: Deployment, efficiency: Efficiency) -> tuple[Floats, Floats]:  # fmt: skip
    """The log's requests through the event core.

    Ranks take requests in turn. Returns times of first and last tokens (N,) [s]. Raises InputError for requests longer
    than the model's context or than what memory holds, with the longest of them.
    Valid for servers without prefix cache hits. Reference: [1] `batching.serve`.
    """
    set_up = replace(efficiency, max_batch=float(deployment.max_batch), chunk_tokens=float(deployment.chunk_tokens))
    server = batching.server(model, gpu, deployment.gpus, deployment.precision, set_up)
    _check_lengths(log, model, server)
    first, last = np.empty_like(log.time_s), np.empty_like(log.time_s)
    for rank in range(deployment.ranks):
        mine = slice(rank, None, deployment.ranks)
        time_s = log.time_s[mine]
        done = batching.serve(server, [0, time_s.size], time_s, log.input_tokens[mine], log.output_tokens[mine])
        first[mine], last[mine] = done.first_s, done.finish_s
    return first, last


def _check_lengths(log: Log, model: LanguageModel, server: batching.Server) -> None:
    whole = log.input_tokens + log.output_tokens
    problems = []
    limits = {f"the context of {model.name}": server.context_tokens,
              "what memory holds beside the weights": server.cache_tokens - server.spare_tokens + 1.0}  # fmt: skip
    for what, most in limits.items():
        over = whole > most
        if over.any():
            told = f"{int(over.sum()):,} of {whole.size:,} requests are longer than {what}: up to {whole.max():,.0f} of {most:,.0f} tokens"
            problems.append(Problem(log.name, told))
    if problems:
        raise InputError(problems)


def times(log: Log, first_s: Floats, last_s: Floats) -> Times:
    """Mean time to first token, time per token after it, and end-to-end time.

    TPOT = (last - first) / (out - 1), of requests with two tokens at least. first_s, last_s: (N,) [s]. Returns Times [s].
    Valid for finished requests. Reference: [1] docs.vllm.ai, serving benchmarks.
    """
    return Times(*(float(v.mean()) for v in _each(log, first_s, last_s)))


def _each(log: Log, first_s: Floats, last_s: Floats) -> tuple[Floats, Floats, Floats]:
    more = log.output_tokens > 1.0
    gap = (last_s - first_s)[more] / (log.output_tokens[more] - 1.0)
    return first_s - log.time_s, gap if gap.size else np.zeros(1), last_s - log.time_s


def errors(log: Log, first_s: Floats, last_s: Floats) -> Times:
    """How far replayed means are from the log's, over the log's: above 0 where the replay is slower.

    first_s, last_s: replayed (N,) [s]. Returns Times as shares [1]. Valid for logs whose means are above 0.
    Reference: [1] `times`.
    """
    got, said = times(log, first_s, last_s), times(log, log.first_s, log.last_s)
    return Times(*(a / b - 1.0 if b > 0.0 else 0.0 for a, b in (
        (got.first_token, said.first_token), (got.per_token, said.per_token), (got.whole, said.whole))))  # fmt: skip


def fit(log: Log, model: LanguageModel, gpu: Accelerator, deployment: Deployment, start: Efficiency) -> Fit:
    """Shares of peak arithmetic and bandwidth and the overhead of an iteration that replay a log best.

    min sum of squares over requests of (TTFT - log) / mean end-to-end, (TPOT - log) / mean TPOT and (E2E - log) / mean
    end-to-end: waits for the first token weigh by what they are of the whole. start: where to begin, and what else an
    iteration takes. Returns a Fit. Raises InputError as `replay`. Valid where the log holds prompts and answers enough to
    tell the three apart; a share at a bound (0.05 or 1) says that it does not.
    Reference: [1] Branch, Coleman, Li 1999 (trust region reflective).
    """
    said = _each(log, log.first_s, log.last_s)
    scales = (said[2].mean(), said[1].mean() or 1.0, said[2].mean())

    def at(x: Floats) -> Efficiency:
        return replace(start, compute=float(x[0]), bandwidth=float(x[1]), overhead_s=float(x[2]))

    def left(x: Floats) -> Floats:
        got = _each(log, *replay(log, model, gpu, deployment, at(x)))
        return np.concatenate([(g - s) / scale for g, s, scale in zip(got, said, scales, strict=True)])

    def slopes(x: Floats) -> Floats:
        columns = []
        for i, step in enumerate(_STEP):
            ahead, behind = x.copy(), x.copy()
            ahead[i], behind[i] = min(x[i] + step, _MOST[i]), max(x[i] - step, _LEAST[i])
            columns.append((left(ahead) - left(behind)) / (ahead[i] - behind[i]))
        return np.stack(columns, axis=1)

    begin = np.clip([start.compute, start.bandwidth, start.overhead_s], np.add(_LEAST, 1e-4), np.subtract(_MOST, 1e-4))
    found = least_squares(left, begin, slopes, bounds=(_LEAST, _MOST), x_scale=(1.0, 1.0, 0.01), xtol=1e-6, max_nfev=60)
    made = at(found.x)
    before, after = (errors(log, *replay(log, model, gpu, deployment, e)) for e in (start, made))
    spread = math.sqrt(2.0 * float(found.cost) / found.fun.size)
    return Fit(made, times(log, log.first_s, log.last_s), before, after, spread)
