"""What the commands of a live fabric show: tables that fit the terminal, from plain data."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from aether.results.words import percent

Row = Mapping[str, Any]
PIPED = 240  # columns where nobody's terminal is in the way
GAP = 2  # between columns
COLOURS = {"running": "green", "preparing": "cyan", "stopping": "magenta", "queued": "yellow", "succeeded": "green",
           "failed": "red", "cancelled": "dim"}  # fmt: skip
_AGES = ((60.0, 1.0, "s"), (3600.0, 60.0, "min"), (172800.0, 3600.0, "h"), (float("inf"), 86400.0, "days"))
_SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
ZERO_C_K = 273.15  # definition


@dataclass(frozen=True)
class Column:
    """A column: its head, whether numbers stand in it, when it goes (the highest first; 0 stays), how narrow it may be."""

    name: str
    goes: int = 0
    right: bool = False
    least: int = 0


def console() -> Console:
    """Standard output, as wide as the terminal; wide where it is none and nobody says how wide."""
    free = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=PIPED) if free else Console()


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str | Text]], width: int) -> Table:
    """A table of the columns for which there is room: empty ones and those that matter least are left out, the rest is never folded."""
    natural = [max([len(c.name), *(len(row[i]) for row in rows)]) for i, c in enumerate(columns)]
    narrow = [max(min(n, c.least), len(c.name)) if c.least else n for n, c in zip(natural, columns, strict=True)]
    shown = [i for i, c in enumerate(columns) if not c.goes or any(len(row[i]) for row in rows)]
    while sum(narrow[i] + GAP for i in shown) - GAP > width and any(columns[i].goes for i in shown):
        shown.remove(max(shown, key=lambda i: (columns[i].goes, i)))
    excess = sum(natural[i] + GAP for i in shown) - GAP - width
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="bold", padding=(0, GAP, 0, 0))
    wide = dict(zip(range(len(columns)), natural, strict=True))
    for i in sorted(shown, key=lambda i: -columns[i].goes):  # what matters least is narrowed first
        cut = min(max(excess, 0), natural[i] - narrow[i])
        wide[i], excess = natural[i] - cut, excess - cut
    widest = max(shown, key=lambda i: wide[i])
    wide[widest] = max(wide[widest] - max(excess, 0), 1)
    for i in shown:
        c = columns[i]
        side: Literal["left", "right"] = "right" if c.right else "left"
        table.add_column(c.name, justify=side, no_wrap=True, overflow="ellipsis", width=wide[i])
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in (row[i] for i in shown)))
    return table


def age(seconds: float) -> str:
    """A stretch of time in one number: 45 s, 3 min, 2.5 h."""
    size = abs(seconds)
    _, unit_s, word = next(a for a in _AGES if size < a[0])
    value = seconds / unit_s
    return f"{value:.1f} {word}" if abs(value) < 10 and unit_s >= 3600.0 else f"{value:.0f} {word}"


def when(time_s: float) -> str:
    """A time of the fabric's clock, UTC."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def size(count: float) -> str:
    """Bytes: 12.3 MB."""
    unit, word = next((s for s in _SIZES if count >= s[0]), (1.0, "B"))
    return f"{count / unit:.3g} {word}"


def status(word: str) -> Text:
    """A status in its colour."""
    return Text(word, style=COLOURS.get(word, ""))


def glance(fabric: Row, ships: Row) -> list[Any]:
    """The fabric at a glance."""
    rows = ships["ships"]
    fleet = [r for r in rows if r["kind"] == "ship"]
    dark = [r for r in fleet if not r["lit"]]
    silent, out = ([r for r in rows if not r[k]] for k in ("contact", "up"))
    lines = [
        ("scenario", f"{fabric['scenario']}, aether {fabric['version']}"),
        ("time", f"{when(fabric['time_s'])} UTC, {fabric['speed']:g} x the wall's"),
        ("ships", f"{len(fleet)}: {len(fleet) - len(dark)} in light, {len(dark)} in eclipse [modelled]; {len(rows) - len(fleet)} sites"),
        ("contact", f"{len(rows) - len(silent)} of {len(rows)} hosts, {len(out)} out of service [modelled]; runtimes of {fabric['ships_working']} work"),
        ("GPUs", f"{fabric['gpus']:,} installed, {fabric['gpus_now']:,} able to run now [modelled], {fabric['gpus_used']:,} held by jobs"),
        ("jobs", ", ".join(f"{n:,} {s}" for s, n in fabric["jobs"].items()) or "none yet"),
        ("log", f"{fabric['events']:,} entries"),
        *([("models", fabric["models_url"])] if fabric.get("models_url") else []),
    ]  # fmt: skip
    table = Table(show_header=False, show_edge=False, pad_edge=False, box=None, padding=(0, GAP, 0, 0))
    for name, text in lines:
        table.add_row(Text(name, style="bold"), Text(text))
    alarms = [Text(f"alarm: {a}", style="red") for a in fabric["alarms"]]
    return [table, *alarms]


def jobs(rows: Sequence[Row], now_s: float, more: int | None = None) -> list[Any]:
    """Jobs, a line each. more: that there are others."""
    if not rows:
        return [Text("no jobs")]
    columns = (
        Column("job"), Column("name", 3, least=8), Column("status"), Column("age", 2, True), Column("asked", 5, least=10), Column("nodes", 7, True),
        Column("hosts", 4, least=10), Column("tries", 6, True), Column("project", 8), Column("why", 1, least=22),
    )  # fmt: skip
    cells = [
        (r["id"], r["name"] or "", status(r["status"]), age(now_s - r["submitted_s"]), r["asked"], str(r["nodes"]), _hosts(r), str(r["attempts"]),
         r["project"], r["reason"]) for r in rows
    ]  # fmt: skip
    told = [Text("older ones are left out: --all shows them", style="dim")] if more else []
    return [fitted(columns, cells, console().width), *told]


def _hosts(row: Row) -> str:
    """Where a job runs, or ran last."""
    if row["attempt"] is None:
        return ""
    names = list(dict.fromkeys(m["host"] for m in row["attempt"]["members"]))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def job(row: Row, now_s: float) -> list[Any]:
    """One job in detail."""
    used, attempt = row["usage"], row["attempt"]
    lines = [
        ("job", row["id"] + (f", of array {row['array']}" if row["array"] else "")), ("name", row["name"] or ""), ("project", row["project"]),
        ("status", row["status"] + (f": {row['reason']}" if row["reason"] else "")),
        ("asked", f"{row['nodes']} x {row['asked']}, priority {row['priority']}" + (", may be preempted" if row["spot"] else "")),
        ("submitted", f"{when(row['submitted_s'])} UTC, {age(now_s - row['submitted_s'])} ago"),
        ("ended", "" if row["ended_s"] is None else f"{when(row['ended_s'])} UTC, after {age(row['ended_s'] - row['submitted_s'])}"),
        ("deadline", "" if row["deadline_s"] is None else f"{when(row['deadline_s'])} UTC"),
        ("tries", f"{row['attempts']}; {row['preemptions']} preemptions, {row['failures']} failures"),
        ("checkpoint", size(row["checkpoint_bytes"]) if row["checkpoint_bytes"] else ""),
        ("used", f"{used['gpu_ms'] / 3.6e6:.4g} GPU-hours, {used['energy_j'] / 3.6e6:.4g} kWh [modelled], "
                 f"{size(used['laser_bytes'])} by laser, {size(used['downlink_bytes'])} down"),
    ]  # fmt: skip
    table = Table(show_header=False, show_edge=False, pad_edge=False, box=None, padding=(0, GAP, 0, 0))
    for name, text in lines:
        if text:
            table.add_row(Text(name, style="bold"), Text(text))
    if attempt is None:
        return [table]
    columns = (
        Column("rank", right=True),
        Column("host"),
        Column("phase"),
        Column("code", 1, True),
        Column("why", 2, least=16),
    )
    cells = [
        (str(m["rank"]), m["host"], m["phase"], "" if m["code"] is None else str(m["code"]), m["why"])
        for m in attempt["members"]
    ]
    title = f"\nAttempt {attempt['number']}: {attempt['gpus']} GPUs of {attempt['accelerator']} a node"
    return [table, Text(title), fitted(columns, cells, console().width)]


def queue(rows: Sequence[Row], now_s: float, most: int = 50) -> list[Any]:
    """What waits, the next first, and why."""
    if not rows:
        return [Text("nothing waits")]
    columns = (
        Column("", 2, True), Column("job"), Column("name", 4, least=8), Column("priority", 3, True), Column("waits", 1, True), Column("asked", 5, least=10),
        Column("nodes", 6, True), Column("project", 7), Column("why", 0, least=28),
    )  # fmt: skip
    cells = [
        (str(i + 1), r["id"], r["name"] or "", str(r["priority"]), age(now_s - r["submitted_s"]), r["asked"], str(r["nodes"]), r["project"], r["reason"])
        for i, r in enumerate(rows[:most])
    ]  # fmt: skip
    told = [Text(f"and {len(rows) - most:,} more", style="dim")] if len(rows) > most else []
    return [fitted(columns, cells, console().width), *told]


def ships(told: Row) -> list[Any]:
    """Ships and sites: what they can bear now and what runs there."""
    columns = (
        Column("host"), Column("GPUs held", right=True), Column("now", right=True), Column("of", 2, True), Column("limit", 3), Column("state"),
        Column("light", 4), Column("charge", 5, True), Column("chip", 7, True), Column("eclipse in", 8, True), Column("accelerator", 9), Column("law", 10),
        Column("jobs", 6, least=8),
    )  # fmt: skip
    cells = [_ship(r) for r in told["ships"]]
    note = "now, limit, light, charge, chip, contact: modelled by the twin"
    return [fitted(columns, cells, console().width), Text(f"{when(told['time_s'])} UTC, {told['speed']:g} x; {note}", style="dim")]  # fmt: skip


def _ship(r: Row) -> tuple[str | Text, ...]:
    now, ship = r["now"], r["kind"] == "ship"
    state = _state(r)
    chip = now.get("chip_k")
    names = list(r["jobs"])
    return (
        r["name"], f"{r['gpus_used']:,}", f"{r['gpus_now']:,}", f"{r['gpus']:,}", r["limit"], Text(state, style="" if state == "open" else "yellow"),
        ("light" if r["lit"] else "eclipse") if ship else "", percent(now.get("charge_share"), 0) if ship else "",
        "" if chip is None else f"{chip - ZERO_C_K:.0f} °C",
        "" if now.get("eclipse_in_s") is None else age(now["eclipse_in_s"]), r["accelerator"], r["country"],
        ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else ""),
    )  # fmt: skip


def _state(r: Row) -> str:
    """What keeps new work from a host, or that nothing does."""
    if not r["up"]:
        return "out of service"
    if r["runtime"] != "working":
        return f"runtime {r['runtime']}"
    if not r["contact"]:
        return "no contact"
    return "drained" if r["drained"] else "cordoned" if r["cordoned"] else "open"


def usage(told: Row) -> list[Any]:
    """The meter's sums."""
    if not told["rows"] and not told["tokens"]:
        return [Text("nothing was used yet")]
    columns = (
        Column("project"), Column("of"), Column("GPU-hours", right=True), Column("kWh [modelled]", 1, True), Column("by laser", 2, True),
        Column("down", 3, True), Column("checkpoints [GB-hours]", 4, True),
    )  # fmt: skip
    cells = []
    for r in told["rows"]:
        a = r["amounts"]
        cells.append((r["project"], r["accelerator"], f"{a['gpu_ms'] / 3.6e6:,.4f}", f"{a['energy_j'] / 3.6e6:,.4f}", size(a["laser_bytes"]),
                      size(a["downlink_bytes"]), f"{a['checkpoint_byte_s'] / 3.6e12:,.4f}"))  # fmt: skip
    made: list[Any] = [fitted(columns, cells, console().width)] if cells else []
    return [*made, *([Text("")] if made and told["tokens"] else []), *_tokens(told["tokens"])]


def _tokens(rows: Sequence[Row]) -> list[Any]:
    """What projects had of models."""
    if not rows:
        return []
    columns = (
        Column("project"), Column("model", least=12), Column("host", 2), Column("requests", 3, True), Column("errors", 4, True),
        Column("tokens in", right=True), Column("cached", 5, True), Column("tokens out", right=True), Column("USD", right=True),
    )  # fmt: skip
    cells = [
        (r["project"], r["model"], r["host"] or "outside", f"{r['requests']:,}", f"{r['errors']:,}", f"{r['input_tokens']:,}",
         f"{r['cached_tokens']:,}", f"{r['output_tokens']:,}", f"{r['price_micro_usd'] / 1e6:,.6f}")
        for r in rows
    ]  # fmt: skip
    return [fitted(columns, cells, console().width)]


def deployments(told: Row) -> list[Any]:
    """Models that are served, a line each."""
    if not told["deployments"]:
        return [Text("no model is served; aether serve up FILE serves one")]
    columns = (
        Column("name"), Column("model", 2, least=12), Column("ready", right=True), Column("hosts", 3, least=8), Column("requests/s", 4, True),
        Column("USD/Mtoken in", 5, True), Column("out", 5, True), Column("law", 6), Column("tuned", 7, True), Column("fresh, s", 9, True),
        Column("why", 8, least=10),
    )  # fmt: skip
    cells = [
        (r["name"], r["model"], f"{r['ready']}/{r['replicas'] or len(r['urls'])}", _where(r),
         f"{r['asked_per_s']:.3g}", f"{r['price_in_usd_mtok']:g}", f"{r['price_out_usd_mtok']:g}", ",".join(r["jurisdictions"]), str(len(r["tuned"])),
         _fresh(r.get("freshness")), r["reason"] or _waits(r))
        for r in told["deployments"]
    ]  # fmt: skip
    return [fitted(columns, cells, console().width)]


def _where(r: Row) -> str:
    return ", ".join(s["host"] for s in r["servers"] if s["host"]) or ("outside" if r["urls"] else "none yet")


def _waits(r: Row) -> str:
    """Why no server answers, as the first of them has it."""
    return "" if r["ready"] else next((s["reason"] for s in r["servers"] if s["reason"]), "")


def _fresh(told: Row | None) -> str:
    """Freshness measured, then modelled."""
    if not told:
        return ""
    return f"{told['measured_s']:.3g}" + ("" if told["modelled_s"] is None else f" | {told['modelled_s']:.3g}")


def _fresh_line(told: Row) -> str:
    """The same in words."""
    if told["modelled_s"] is None:
        beside = f"not modelled: {told['why']}"
    else:
        beside = f"{told['modelled_s']:.4g} s modelled on {told['gpus']} {told['accelerator']}"
    return f"{told['measured_s']:.4g} s measured here, {beside} (median of {told['pieces']} pieces of feedback)"


def deployment(r: Row) -> list[Any]:
    """A model with its servers."""
    lines = [
        ("name", r["name"]), ("model", r["model"]), ("project", r["project"] or "every project's"),
        ("servers", f"{r['ready']} answer, {r['replicas'] or len(r['urls'])} wanted, version {r['version']}"),
        ("asked", f"{r['asked_per_s']:.3g} requests/s"),
        ("price", f"{r['price_in_usd_mtok']:g} USD a million tokens in, {r['price_out_usd_mtok']:g} out"),
        *([("law", ", ".join(r["jurisdictions"]))] if r["jurisdictions"] else []), *([("trouble", r["reason"])] if r["reason"] else []),
        *([("tuned", ", ".join(r["tuned"]))] if r["tuned"] else []),
        *([("freshness", _fresh_line(r["freshness"]))] if r.get("freshness") else []),
    ]  # fmt: skip
    head = Table(show_header=False, show_edge=False, pad_edge=False, box=None, padding=(0, GAP, 0, 0))
    for name, text in lines:
        head.add_row(Text(name, style="bold"), Text(text))
    columns = (Column("server"), Column("host"), Column("status"), Column("answers"), Column("version", 3, True), Column("adapters", 4, True),
               Column("why", 2, least=10))  # fmt: skip
    cells = [(s["job"], s["host"], status(s["status"]), "yes" if s["ready"] else "no", str(s["version"]), str(len(s["adapters"])), s["reason"])
             for s in r["servers"]]  # fmt: skip
    outside = [Text(f"outside the fabric: {url}") for url in r["urls"]]
    return [head, *([Text(""), fitted(columns, cells, console().width)] if cells else []), *outside]


def keys(rows: Sequence[Row]) -> list[Any]:
    """Keys without their secrets."""
    columns = (
        Column("key"),
        Column("project"),
        Column("may"),
        Column("made", 3),
        Column("until"),
        Column("a minute", 4),
        Column("note", 2, least=8),
    )
    cells = [
        (r["id"], r["project"] or "all", ", ".join(r["scopes"]), when(r["made_s"]), _until(r), _limits(r), r["note"])
        for r in rows
    ]
    return [fitted(columns, cells, console().width)]


def _limits(r: Row) -> str:
    parts = [f"{r[f'{k}_per_minute']:,} {k}" for k in ("requests", "tokens") if r.get(f"{k}_per_minute") is not None]
    return ", ".join(parts)


def _until(r: Row) -> str:
    if r["revoked_s"] is not None:
        return f"revoked {when(r['revoked_s'])}"
    return "for good" if r["expires_s"] is None else when(r["expires_s"])


def event(row: Row) -> Text:
    """An entry of the log in a line."""
    head = f"{row['seq']:>7}  {when(row['time_s'])}  "
    what = (f"{row['kind']:<14}", "bold")
    line = Text.assemble(
        head, what, f"  {row['subject'] or '-':<15}  {row['actor']:<14}  ", (_brief(row["body"]), "dim")
    )
    line.truncate(console().width, overflow="ellipsis")
    return line


def _brief(body: Row) -> str:
    """What an entry says beyond its head: no names of disks, no keys, nothing that is not set."""
    hidden = (
        "kind",
        "journal",
        "public_key",
        "signature",
        "job",
        "attempt",
        "runtime",
        "happened_s",
        "start_ms",
        "end_ms",
    )
    inner = body["report"] | {"report": body["report"]["kind"]} if "report" in body else body
    shown = [
        k for k in ("report", *inner) if k in inner and k not in hidden and inner[k] not in (None, "", [], {}, 0, False)
    ]
    return " ".join(f"{k}={_word(inner[k])}" for k in dict.fromkeys(shown))


def _word(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).strip('"')


def show(items: Iterable[Any]) -> None:
    """Print to standard output."""
    out = console()
    for item in items:
        out.print(item, highlight=False, soft_wrap=isinstance(item, Text))
