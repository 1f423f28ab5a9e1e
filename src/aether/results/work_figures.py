"""The report's figures of work: tokens through the day, time to first token, training, traffic, faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

from aether.base.tables import Floats
from aether.base.units import fmt
from aether.results import sinks, svg
from aether.results.figures import COLOURS, Day, Plot, binned, drawn
from aether.results.words import FAULT_WORDS, FAULTS, STAGES, many, moved, ms, percent

HOST_COLOURS = {True: (svg.BLUE, svg.SKY, svg.PURPLE, "#7fb7d8", "#e3b7cf"), False: (svg.ORANGE, svg.YELLOW, svg.VERMILION, "#e0b060", svg.BROWN)}  # fmt: skip
TRAFFIC_COLOURS = (svg.BLUE, svg.SKY, svg.PURPLE, svg.ORANGE, svg.GREEN)
LOSS_COLOURS = {
    "faults": svg.GREY, "power": svg.ORANGE, "heat": svg.VERMILION, "radiation": svg.PURPLE, "network reach": svg.SKY,
    "placement": svg.YELLOW,
}  # fmt: skip
LEAST_SHOWN = 5e-4  # share of a run's time: less is in the table alone
PACES = ("working", "power", "heat", "radiation", "reach", "placed")
TOKENS = "tokens/s"


def _engineering(axes: Axes, side: str = "y") -> None:
    getattr(axes, f"{side}axis").set_major_formatter(EngFormatter(sep=" "))


def _stack(axes: Axes, time: Floats, parts: Sequence[Floats], colours: Sequence[str], names: Sequence[str]) -> None:
    """Stacked areas; bars where there is a single bin."""
    if len(time) == 1:
        bottom = 0.0
        for values, colour, name in zip(parts, colours, names, strict=True):
            axes.bar(time, values, bottom=bottom, color=colour, label=name, width=0.5)
            bottom += float(values[0])
        return
    axes.stackplot(time, *parts, colors=colours, labels=names, linewidth=0)


def asked(day: Day, told: Mapping[str, Any]) -> dict[str, Floats]:
    """Requests asked for of each workload by tick (T,), by name; empty without the table."""
    rows = told["work"]["inference"]
    if "requests" not in day.tables or not rows:
        return {}
    sums = day.of("requests", "requests").reshape(len(day.time_s), len(rows), -1).sum(axis=2)
    return {row["name"]: sums[:, q] for q, row in enumerate(rows)}


def host_tokens(day: Day, told: Mapping[str, Any]) -> dict[str, Floats]:
    """Tokens a second of each group of hosts (T,), by name: ships by their groups, then sites in order."""
    tokens = day.of("hosts", "tokens") / day.step_s
    made = {name: tokens[:, members].sum(axis=1) for name, members in day.groups}
    sites = [h["host"] for h in told["work"]["hosts"] if not h["orbit"]]
    first = len(day.names)
    return made | {name: tokens[:, first + j] for j, name in enumerate(sites)}


def tokens(day: Day, told: Mapping[str, Any]) -> Plot | None:
    """Tokens of answers by where they were made, beside what was asked for."""
    rows = told["work"]["inference"]
    made = {k: v for k, v in host_tokens(day, told).items() if v.any()}
    if not rows or not made:
        return None
    orbit = {h["host"]: h["orbit"] for h in told["work"]["hosts"]}
    counts = {True: 0, False: 0}
    colours = []
    for name in made:
        palette = HOST_COLOURS[orbit[name]]
        colours.append(palette[counts[orbit[name]] % len(palette)])
        counts[orbit[name]] += 1
    each = {r["name"]: r["output_tokens"] / r["served"] for r in rows if r["served"]}
    wanted = [v * each[k] / day.step_s for k, v in asked(day, told).items() if k in each]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        time = day.axis(axes)
        _stack(axes, time, [binned(v) for v in made.values()], colours, list(made))
        if wanted:
            axes.plot(time, binned(np.sum(wanted, axis=0)), color=svg.INK, linewidth=1.2, label="asked for")
        axes.set(ylabel=f"tokens of answers [{TOKENS}]")
        axes.set_ylim(bottom=0.0)
        _engineering(axes)
        svg.legend(axes, ncols=min(len(made) + 1, 6))

    total = sum(r["output_tokens"] for r in rows)
    by = {name: float(v.sum()) for name, v in made.items()}
    shares = ", ".join(f"{name} {percent(v / sum(by.values()))}" for name, v in sorted(by.items(), key=lambda i: -i[1]))
    served = sum(r["served"] for r in rows) / (sum(r["requests"] for r in rows) or 1.0)
    caption = f"{many(total)} tokens of answers were made, by {shares}; {percent(served)} of all requests were served (modelled)."
    return drawn("tokens", "Stacked areas, tokens a second by host group through time", caption, (9.2, 3.3), paint)


def first_tokens(row: Mapping[str, Any], number: int) -> Plot | None:
    """Time to first token by local hour: the network's part and the rest."""
    hours = [h for h in row["by_hour"] if h["first_token_s"] is not None]
    if not hours:
        return None
    network, whole = (np.array([1e3 * h[k] for h in hours]) for k in ("network_s", "first_token_s"))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        at = [h["local_hour"] + 0.5 for h in hours]
        axes.bar(at, network, width=0.86, color=svg.SKY, label="network")
        axes.bar(at, whole - network, bottom=network, width=0.86, color=svg.BLUE, label="wait and prompt")
        for key, style, word in (("p50", "--", "p50"), ("p95", ":", "p95")):
            axes.axhline(1e3 * row[f"first_token_{key}_s"], color=svg.INK, linestyle=style, linewidth=1.1, label=word)
        axes.set(xlim=(0, 24), xticks=range(0, 25, 6), xlabel="local solar time [h]", ylabel="time to first token [ms]")
        axes.grid(visible=False, axis="x")
        svg.legend(axes)

    best, worst = (f(hours, key=lambda h: h["first_token_s"]) for f in (min, max))
    caption = (
        f"{row['name']}: half of all answers begin within {ms(row['first_token_p50_s'])} and 95 % within {ms(row['first_token_p95_s'])}; "
        f"{ms(best['first_token_s'])} on average at {best['local_hour']} h local time, of which the network {ms(best['network_s'])}, "
        f"and {ms(worst['first_token_s'])} at {worst['local_hour']} h (modelled)."
    )
    return drawn(f"first{number}", "Stacked bars, time to first token by local hour", caption, (4.5, 2.9), paint)


def followed(row: Mapping[str, Any], number: int) -> Plot | None:
    """How times to first token are spread: single requests beside the fluid's means of place and tick."""
    curve = row["followed"]["curve"]
    if None in curve["fluid_first_token_s"]:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(curve["first_token_s"], curve["share"], color=svg.BLUE, marker=".", label="single requests")
        axes.plot(
            curve["fluid_first_token_s"],
            curve["share"],
            color=svg.ORANGE,
            linestyle="--",
            label="fluid, means of place and tick",
        )
        axes.set(xlabel="time to first token [s]", ylabel="share of requests [%]", ylim=(0.0, 1.0))
        svg.logarithmic(axes)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        svg.legend(axes)

    f = row["followed"]
    caption = (
        f"{row['name']}: half of single requests have their first token within {ms(f['first_token_p50_s'])}, 95 % within {ms(f['first_token_p95_s'])}; "
        f"the fluid says {ms(row['first_token_p50_s'])} and {ms(row['first_token_p95_s'])} (modelled)."
    )
    return drawn(f"followed{number}", "Cumulative curves, time to first token", caption, (4.5, 2.9), paint)


def gaps(row: Mapping[str, Any], number: int) -> Plot:
    """How mean times between tokens of an answer are spread."""
    curve = row["followed"]["curve"]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([1e3 * v for v in curve["token_gap_s"]], curve["share"], color=svg.BLUE, marker=".")
        axes.set(
            xlabel="between two tokens of an answer, its mean [ms]", ylabel="share of answers [%]", ylim=(0.0, 1.0)
        )
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))

    f = row["followed"]
    caption = f"{row['name']}: {ms(f['token_gap_p50_s'])} between tokens for half of the answers, {ms(f['token_gap_p95_s'])} at most for 95 % (modelled)."
    return drawn(f"gaps{number}", "Cumulative curve, time between tokens", caption, (4.5, 2.9), paint)


def progress(day: Day, told: Mapping[str, Any], number: int) -> Plot:
    """Tokens trained through time, and the pace with what slowed it, by cause."""
    row, jobs = told["work"]["training"][number], len(told["work"]["training"])

    def column(name: str) -> Floats:
        return day.of("training", name).reshape(len(day.time_s), jobs)[:, number]

    per_step = row["tokens"] / row["steps"] if row["steps"] else 0.0
    paces = [column(f"pace_{p}") for p in PACES]
    losses = [before - after for before, after in zip([np.ones(len(day.time_s)), *paces[:-1]], paces, strict=True)]

    def paint(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.15))
        time = day.axis(lower)
        upper.plot(
            time,
            per_step * binned(column("step")),
            color=svg.GREEN,
            label="trained",
            marker="o" if len(time) == 1 else None,
        )
        full = binned(day.time_s + day.step_s / 2) / row["step_s"] * per_step
        upper.plot(time, full, color=svg.MUTED, linestyle="--", linewidth=1.0, label="at full clocks without pause")
        upper.set(ylabel="tokens")
        upper.set_ylim(bottom=0.0)
        _engineering(upper)
        svg.legend(upper)
        shown = [(v, s) for v, s in zip(losses, PACES, strict=True) if v.mean() > LEAST_SHOWN]
        values = [binned(paces[-1]), *(binned(v) for v, _ in reversed(shown))]
        names = ["pace", *(f"lost to {STAGES[s] if s != 'placed' else 'placement'}" for _, s in reversed(shown))]
        _stack(lower, time, values, [svg.BLUE, *(COLOURS[s] for _, s in reversed(shown))], names)
        lower.set(ylabel="pace [% of full]", ylim=(0.0, 1.02))
        lower.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        svg.legend(lower)

    days = row["days_to_finish"]
    finish = "at this rate it never ends" if days is None else f"at this rate all takes {fmt(86400.0 * days, 's')}"
    caption = (
        f"{row['name']} trained {many(row['tokens'])} of {many(row['tokens_wanted'])} tokens ({percent(row['share_done'], 2)}) at a mean pace of "
        f"{percent(row['pace_mean'])} of full clocks; {finish} (modelled)."
    )
    return drawn(f"progress{number}", "Tokens trained and pace through time", caption, (5.4, 4.0), paint)


def spent(row: Mapping[str, Any], number: int) -> Plot:
    """What a training run's time went to: goodput first, then what took the rest."""
    lost = [r for r in row["lost"] if r["share"] >= LEAST_SHOWN]
    bars = [("training (goodput)", row["goodput"], svg.BLUE)]
    bars += [(r["cause"], r["share"], LOSS_COLOURS.get(r["cause"], svg.BROWN)) for r in lost]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for i, (_, share, colour) in enumerate(bars):
            axes.barh(i, share, color=colour, height=0.62)
            axes.text(share + 0.008, i, percent(share, 2 if share < 0.01 else 1), va="center")
        axes.set(yticks=range(len(bars)), yticklabels=[b[0] for b in bars], ylim=(len(bars) - 0.5, -0.5),
                 xlabel="share of the run's time [%]", xlim=(0, 1.18 * max(b[1] for b in bars) or 1.0))  # fmt: skip
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")

    most = ", ".join(f"{r['cause']} {percent(r['share'])}" for r in lost[:4]) or "nothing"
    caption = f"{row['name']} trained {percent(row['goodput'])} of the time at full clocks' worth; the rest went to {most} (modelled)."
    return drawn(
        f"spent{number}", "Bar chart, what the run's time went to", caption, (5.0, 0.8 + 0.34 * len(bars)), paint
    )


def traffic(day: Day, told: Mapping[str, Any]) -> Plot:
    """Bits by kind through the day."""
    row = told["work"]["traffic"]
    carried = {k: day.of("traffic", f"{k}_bit")[:, 0] / day.step_s for k in moved(row)}
    lost = day.of("traffic", "lost_bit")[:, 0] / day.step_s

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        time = day.axis(axes)
        _stack(axes, time, [binned(v) for v in carried.values()], TRAFFIC_COLOURS[: len(carried)], list(carried))
        if lost.any():
            axes.plot(time, binned(lost), color=svg.VERMILION, linewidth=1.0, label="not carried")
        axes.set(ylabel="carried [bit/s]")
        axes.set_ylim(bottom=0.0)
        _engineering(axes)
        svg.legend(axes, ncols=5)

    kinds = ", ".join(f"{k} {fmt(row[f'{k}_bit'], 'bit')}" for k in sorted(moved(row), key=lambda k: -row[f"{k}_bit"]))
    caption = f"The network carried {kinds}; {fmt(row['not_carried_bit'], 'bit')} found no room (modelled)."
    return drawn("traffic", "Stacked areas, bits a second by kind through time", caption, (5.4, 3.1), paint)


def busiest(told: Mapping[str, Any]) -> Plot | None:
    """The lasers that carried most, with the most of their capacity in use."""
    rows = told["work"]["traffic"]["busiest"]
    if not rows:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for i, row in enumerate(rows):
            use = row["most_use"]
            words = f"{percent(use, 0)} of {fmt(row['most_bit_s'] / use, 'bit/s')}" if use else "–"
            axes.barh(i, row["carried_bit"], color=svg.SKY, height=0.62)
            axes.text(1.015 * row["carried_bit"], i, words, va="center", fontsize=8)
        axes.set(yticks=range(len(rows)), yticklabels=[f"{r['from']} – {r['to']}"[:36] for r in rows], ylim=(len(rows) - 0.5, -0.5),
                 xlabel="carried while among the busiest [bit]", xlim=(0, 1.42 * rows[0]["carried_bit"] or 1.0))  # fmt: skip
        _engineering(axes, "x")
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")

    top = rows[0]
    caption = (
        f"The laser from {top['from']} to {top['to']} carried most, {fmt(top['carried_bit'], 'bit')}, and was used up to {percent(top['most_use'], 0)}; "
        "beside each bar the most of its capacity in use (modelled)."
    )
    return drawn("busiest", "Bar chart, the busiest lasers", caption, (5.4, 0.9 + 0.3 * len(rows)), paint)


def failures(day: Day, told: Mapping[str, Any]) -> Plot | None:
    """How many of each kind are out of service through time."""
    counts = told["faults"]
    kinds = [k for k in FAULTS if counts[k]["failed"]]
    if not kinds:
        return None
    events = day.tables["events"]
    kind, times = np.array(events["kind"].to_pylist()), [sinks.numbers(events[c]) for c in ("start_s", "end_s")]
    ends = {k: [np.sort(values[kind == f"fault-{k}"]) for values in times] for k in kinds}

    def paint(figure: Figure) -> None:
        panels = np.atleast_1d(figure.subplots(len(kinds), 1, sharex=True))
        for axes, kind in zip(panels, kinds, strict=True):
            time = day.axis(axes)
            begun, over = (np.searchsorted(e, day.time_s, side="right") for e in ends[kind])
            axes.fill_between(time, binned((begun - over).astype(np.float64)), step="mid", color=svg.GREY, linewidth=0)
            axes.set_ylabel(FAULT_WORDS.get(kind, kind), rotation=0, ha="right", va="center")
            axes.locator_params(axis="y", nbins=2, integer=True)
            axes.set_ylim(bottom=0.0)
            if axes is not panels[-1]:
                axes.set_xlabel("")

    hours = {k: counts[k]["hours_out"] for k in kinds}
    most = max(hours, key=lambda k: hours[k])
    told_of = ", ".join(
        f"{counts[k]['failed']:,} {FAULT_WORDS.get(k, k)}{'s' if counts[k]['failed'] > 1 else ''}" for k in kinds
    )
    caption = (
        f"Out of service in the run: {told_of}, by number through time; hours out sum to most for {FAULT_WORDS.get(most, most)}s, {hours[most]:,.0f} h; "
        f"{counts['gpus_worn_out_before']:,.0f} GPUs were worn out before it began (modelled)."
    )
    return drawn(
        "failures", "Number out of service through time by kind", caption, (5.4, 0.9 + 0.62 * len(kinds)), paint
    )
