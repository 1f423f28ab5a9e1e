"""The page of a run: one self-contained HTML file that says what a fleet delivers, what binds, how far it is from everybody."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from html import escape
from typing import Any

from aether.base.processes import spread
from aether.base.units import fmt
from aether.results.page import MODELLED, whole
from aether.results.results import Results
from aether.results.sinks import Stored
from aether.results.words import AFTER, length, many, ms, percent, tokens_day

SECTIONS = {  # of the page, the answer first: heading, and whether it is about ships
    "compute": ("What is delivered", True),
    "work": ("Work", False),
    "training": ("Training", False),
    "data": ("Streams and tuning", False),
    "cost": ("Cost beside the ground", False),
    "footprint": ("Footprint", False),
    "shortfalls": ("What is short", True),
    "events": ("What was lost, what moved", False),
    "ablation": ("What each coupling costs", False),
    "day": ("Power, charge and temperature through the day", True),
    "map": ("Where the fleet is near", True),
    "trips": ("Round trips beside fibre", False),
    "coverage": ("Coverage and distance by latitude and local time", True),
    "network": ("Network", True),
    "traffic": ("Traffic", False),
    "faults": ("Faults", False),
    "radiation": ("Radiation", True),
    "budgets": ("The ships", True),
    "sources": ("Sources relied upon", False),
    "made": ("How this was made", False),
}
Called = Generator[None, None, None]


def render(made: Results, threads: int = 1) -> str:
    """The report of a run as one HTML page: inline style and figures, no script, no request.

    Everything that came from the user is escaped. The same results give the same page. threads: processes that draw
    sections, where the tables are on disk and each can read its own.
    """
    told, sections = made.summary, _sections(made, threads)
    title = escape(str(told["title"] or told["scenario"]))
    foot = f"Aether {escape(str(told['version']))}. {MODELLED} Coastlines: Natural Earth, public domain."
    return whole(title, _head(told, title), sections, foot)


def _sections(made: Results, threads: int) -> list[tuple[str, str, str]]:
    """(id, heading, html) of each section; without ships those on ships are left out, and empty ones."""
    keys = [key for key, (_, of_ships) in SECTIONS.items() if made.summary["groups"] or not of_ships]
    if threads > 1 and isinstance(made.tables, Stored):
        pages = list(spread(_section, ((made, key) for key in keys), threads))  # nothing that draws is loaded here
    else:
        pages = [_section(made, key) for key in keys]
    return [(key, SECTIONS[key][0], html) for key, html in zip(keys, pages, strict=True) if html]


def _section(made: Results, key: str) -> str:
    from aether.results import sections

    return sections.section(made, key)


def _head(told: Mapping[str, Any], title: str) -> str:
    """Title, what the run says in words, and its main numbers."""
    fleet = told["fleet"]
    made_of = (
        f"{fleet['ships']} ships with {fleet['gpus']:,} GPUs, {fleet['relays']:,} relays, {fleet['gateways']} gateways"
    )
    when = (
        f"{length(told['duration_s'])} from {told['start'][:16].replace('T', ' ')} UTC at {fmt(told['step_s'], 's', 2)}"
    )
    kicker = f"{told['scenario']} · {made_of} · {when} · modelled"
    lead = _lead(told) + _distance(told) if told["groups"] else "No ship flies: all is done on the ground."
    lead += _worth(told)
    return f'<p class="kicker">{escape(kicker)}</p><h1>{title}</h1><p class="lead">{lead}</p>{_tiles(told)}'


def _lead(told: Mapping[str, Any]) -> str:
    """What the ships deliver, and what binds them."""
    rows, binding, hours = told["waterfall"], told["binding"], told["duration_s"] / 3600.0
    end = rows["deliverable"]
    words = (
        f"The fleet can deliver <strong>{percent(end['share'])}</strong> of the compute installed: {end['gpu_hours']:,.0f} of "
        f"{rows['installed']['gpu_hours']:,.0f} GPU-hours, as much as {end['gpu_hours'] / hours:,.0f} GPUs that never pause. "
    )
    if told.get("work"):
        done = rows["delivered"]
        words += (
            f"Work that counted took {done['gpu_hours']:,.0f} of them, {percent(done['share'])} of what is installed. "
        )
    if binding["constraint"] == "none":
        return words + "Nothing binds: all that is installed is deliverable. "
    return words + (
        f'What binds is <strong class="binds">{escape(binding["words"].split(" costs ")[0])}</strong>: it costs '
        f"{binding['lost_gpu_hours']:,.0f} GPU-hours, {percent(binding['share'])} of what is installed. "
    )


def _worth(told: Mapping[str, Any]) -> str:
    """What a GPU-hour in orbit costs beside the ground."""
    cost = told.get("cost") or {}
    if not cost.get("ratio"):
        return ""
    orbit, ratio = cost["orbit"]["usd_per_gpu_hour"], cost["ratio"]
    return (f" A deliverable GPU-hour in orbit costs <strong>{orbit['nominal']:.2f} USD</strong>, {ratio['nominal']:.2f} times "
            f"({ratio['low']:.2f} to {ratio['high']:.2f}) what it costs on the ground.")  # fmt: skip


def _distance(told: Mapping[str, Any]) -> str:
    row = told.get("cities") or {}
    if row.get("rtt_mean_s") is None:
        return "No city was asked for, or none has a path to a ship that computes."
    return (f"The people of {told['fleet']['cities']} cities are <strong>{1e3 * row['rtt_mean_s']:.1f} ms</strong> from the nearest ship that computes "
            f"(propagation there and back), with a path {percent(row['covered_share'])} of the time.")  # fmt: skip


def _tiles(told: Mapping[str, Any]) -> str:
    rows, coverage, cities = told["waterfall"], told.get("coverage") or {}, told.get("cities") or {}
    end, binding = rows["deliverable"], told["binding"]
    first = [("Deliverable", percent(end["share"]), f"{end['gpu_hours']:,.0f} GPU-hours")]
    last = [
        (
            "Binds",
            AFTER.get(binding["constraint"], binding["constraint"]),
            f"{percent(binding['share'])} of what is installed",
        ),
        ("Deliverable work", f"{end['pflop_hours']:,.0f}", "PFLOP-hours, dense BF16"),
        ("Short", f"{len(told['shortfalls'])}", "parts, listed below" if told["shortfalls"] else "parts: none"),
        ("To the nearest ship", ms(cities.get("rtt_mean_s")), "mean round trip, weighted by people"),
        ("Globe covered", percent(coverage["covered_share"]) if coverage else "–", "of surface and time"),
    ]
    ships = bool(told["groups"])
    tiles = [*(first if ships else []), *_work_tiles(told), *_cost_tiles(told), *(last if ships else [])]
    return (
        '<dl class="tiles">'
        + "".join(f"<div><dt>{escape(a)}</dt><dd>{escape(b)}<small>{escape(c)}</small></dd></div>" for a, b, c in tiles)
        + "</dl>"
    )


def _work_tiles(told: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Delivered compute, tokens, time to first token, training; none of what nobody asked for."""
    work = told.get("work") or {}
    if not work:
        return []
    done, tiles = told["waterfall"]["delivered"], []
    if told["groups"]:
        tiles += [("Delivered", percent(done["share"]), f"{done['gpu_hours']:,.0f} GPU-hours of work that counted")]
    if work["inference"]:
        most = max(work["inference"], key=lambda s: s["output_tokens"])
        late = f"95 % of {most['name']} begin within it"
        tiles += [
            ("Answered", f"{many(tokens_day(told))}", "tokens of answers a day"),
            ("Time to first token", ms(most["first_token_p95_s"]), late),
        ]
    if work["training"]:
        most = max(work["training"], key=lambda r: r["gpus"])
        tiles += [("Trained", percent(most["share_done"], 2), f"of {most['name']}, {many(most['tokens'])} tokens")]
    return tiles


def _cost_tiles(told: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """A million tokens, or a GPU-hour, in orbit and on the ground; nothing where no cost is told."""
    cost = told.get("cost") or {}
    sides = {k: cost[k] for k in ("orbit", "ground") if cost.get(k)}
    if not sides:
        return []
    by_token = all(side["usd_per_mtoken"] for side in sides.values())
    key, of = ("usd_per_mtoken", "USD a million tokens") if by_token else ("usd_per_gpu_hour", "USD a GPU-hour")
    (name, first), *others = sides.items()
    where = f"{of} in orbit" if name == "orbit" else f"{of} on the ground"
    tiles = [
        ("Cost", f"{first[key]['nominal']:.2f}", where + "".join(f"; {k} {s[key]['nominal']:.2f}" for k, s in others))
    ]
    if cost.get("ratio"):
        ratio = cost["ratio"]
        tiles += [
            (
                "Orbit over ground",
                f"{ratio['nominal']:.2f} ×",
                f"of the cost; {ratio['low']:.2f} to {ratio['high']:.2f}",
            )
        ]
    return tiles


def call_up(threads: int) -> Called | None:
    """Processes that will draw sections load what they need while a run goes on; through when each is ready.

    None with one thread: then all is drawn in this process.
    """
    return spread(_ready, [()] * threads, threads) if threads > 1 else None


def _ready() -> None:
    from aether.results import sections, svg  # noqa: F401 - loaded once, for what is asked next

    svg.draw("ready", "", (2.0, 2.0), _everything)  # fonts are found, and what is made once is made now


def _everything(figure: Any) -> None:
    """A little of all that figures are made of."""
    axes = figure.subplots()
    axes.plot([1.0, 2.0], [1.0, 2.0], label="ready")
    axes.fill_between([1.0, 2.0], [1.0, 2.0])
    axes.imshow([[0.0, 1.0]], extent=(1.0, 2.0, 1.0, 2.0), aspect="auto")
    axes.set(xscale="log", xlabel="ready", title="ready")
    axes.legend()
