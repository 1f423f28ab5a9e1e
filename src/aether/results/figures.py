"""The report's figures of ships: compute, power, heat, radiation, links. Each is a picture and the sentence it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter

from aether.base.tables import Floats
from aether.base.units import fmt
from aether.results import sinks, svg
from aether.results.results import Results
from aether.results.words import change, length, percent, stages

COLOURS = {  # of what takes compute, by stage
    "working": svg.GREY, "power": svg.ORANGE, "heat": svg.VERMILION, "radiation": svg.PURPLE, "reach": svg.SKY,
    "placed": svg.YELLOW, "delivered": svg.BROWN,
}  # fmt: skip
MOST_POINTS = 288  # of a line: five minutes of a day
MOST_VALUES = 4_000_000  # of a column that are read
MOST_ROWS = 24  # of a bar chart; the tables beside it hold them all
CLOSE_UP_S = 5 * 3600.0  # three orbits
DARK_ALPHA = 0.38  # of the shading when all are in eclipse
TICKS = (0.25, 0.5, 1, 2, 3, 6, 12, 24, 48)  # between labels of a time axis, in its unit
DAY_S = 86400.0  # definition
UNITS = ((60.0, "minutes", 7200.0), (3600.0, "hours", 3 * DAY_S))  # of a time axis: seconds, word, longest axis [s]
ZERO_C_K = 273.15  # definition
YEAR_S = 365.25 * 86400.0  # definition


Painter = Callable[[Figure], None]


@dataclass(frozen=True)
class Plot:
    """An inline SVG and what it shows, in one plain sentence."""

    picture: str
    caption: str


def drawn(name: str, kind: str, caption: str, size_in: tuple[float, float], paint: Painter) -> Plot:
    """A figure and its caption; both are told to a reader who cannot see it."""
    return Plot(svg.draw(name, f"{kind}. {caption}", size_in, paint), caption)


@dataclass(frozen=True)
class Day:
    """The tables of a run as arrays (time, subject), or of its first ticks, with a time unit that suits their length.

    Of a long run of a large fleet every n-th tick is read, so that a page needs no more memory than that of a short one.
    """

    tables: Mapping[str, pa.Table]
    start: str
    ticks: int  # of the whole run
    every: int  # of them one is read
    step_s: float
    time_s: Floats  # (T,) of those read
    names: tuple[str, ...]  # of the ships
    groups: tuple[tuple[str, slice], ...]

    def of(self, table: str, column: str) -> Floats:
        """A column as (T, subjects) of the ticks read; (T, 0) where the run has no such table."""
        found = sinks.rows(self.tables, table)
        if not found:
            return np.zeros((len(self.time_s), 0))
        subjects = found // self.ticks
        values = sinks.column(self.tables, table, column, subjects, self.every)
        return values.reshape(-1, subjects)[: len(self.time_s)].astype(np.float64)

    def until(self, last_s: float) -> Day:
        """The first part of the run, one tick at least."""
        return replace(self, time_s=self.time_s[: max(1, int(np.searchsorted(self.time_s, last_s)))])

    @property
    def duration_s(self) -> float:
        """From the begin of the first tick to the end of the last."""
        return min(len(self.time_s) * self.every, self.ticks) * self.step_s

    def axis(self, axes: Axes) -> Floats:
        """Label, limits and ticks of a time axis; returns the times of what `binned` makes, in the axis's unit."""
        unit_s, word = next(((s, w) for s, w, most in UNITS if self.duration_s <= most), (DAY_S, "days"))
        low = (float(self.time_s[0]) - self.step_s / 2) / unit_s
        length = self.duration_s / unit_s
        axes.set(xlim=(low, low + length), xlabel=f"{word} after {self.start} UTC")
        axes.xaxis.set_major_locator(MultipleLocator(next((s for s in TICKS if length / s <= 8), length / 6)))
        return binned(self.time_s) / unit_s


def day(made: Results) -> Day:
    """The run's tables, its ships and groups."""
    told, tables = made.summary, made.tables
    ticks = sinks.rows(tables, "network")
    every = -(
        -max(sinks.rows(tables, name) for name in ("network", "energy", "cities", "requests", "streams")) // MOST_VALUES
    )
    time_s = sinks.column(tables, "network", "time_s", every=every)
    ends = np.cumsum([0, *(g["count"] for g in told["groups"])]).tolist()
    groups = tuple((g["group"], slice(a, b)) for g, a, b in zip(told["groups"], ends[:-1], ends[1:], strict=True))
    names = sinks.labels(tables, "energy", "ship")
    start = told["start"][:16].replace("T", " ")
    return Day(tables, start, ticks, every, float(told["step_s"]), time_s, tuple(names), groups)


def binned(values: Floats, most: int = MOST_POINTS) -> Floats:
    """Means over equal runs of ticks, at most `most` of them: (T, ...) -> (bins, ...)."""
    width = -(-len(values) // most)
    starts = np.arange(0, len(values), width)
    sizes = np.diff([*starts, len(values)]).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(np.add.reduceat(values, starts, axis=0) / sizes)


def waterfall(told: Mapping[str, Any]) -> Plot:
    """Compute left after each constraint, and what each takes, down to the work that counted."""
    rows, words = told["waterfall"], stages(told)
    full, falls = rows["installed"]["gpu_hours"], _falls(words)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.barh(0, full, color=svg.MUTED, alpha=0.55, height=0.62)
        axes.text(full * 1.012, 0, f"{full:,.0f}", va="center")
        for i, stage in enumerate(falls, 1):
            if stage in TOTALS:
                _total(axes, i, rows["reach" if stage == "deliverable" else "delivered"], full, stage == falls[-1])
            else:
                _fall(axes, i, rows[stage], full, COLOURS[stage], stage == told["binding"]["constraint"])
        labels = [
            f"{words[s]} (binds)" if s == told["binding"]["constraint"] else words.get(s, TOTALS.get(s)) for s in falls
        ]
        axes.set(yticks=range(len(falls) + 1), yticklabels=["installed", *labels], ylim=(len(falls) + 0.5, -0.5))
        axes.set(xlabel=f"GPU-hours in {length(told['duration_s'])}", xlim=(0, 1.24 * full or 1.0))
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.locator_params(axis="x", nbins=4)

    lost = ", ".join(f"{rows[s]['lost_gpu_hours']:,.0f} to {w}" for s, w in words.items())
    end = rows["reach"]
    caption = f"Of {full:,.0f} GPU-hours installed, {end['gpu_hours']:,.0f} ({percent(end['share'])}) can be delivered"
    if "delivered" in words:
        done = rows["delivered"]
        caption += f" and {done['gpu_hours']:,.0f} ({percent(done['share'])}) did work that counted"
    caption += f"; lost are {lost} (modelled)."
    kind = "Bar chart, compute left after each constraint"
    return drawn("waterfall", kind, caption, (5.3, 1.1 + 0.32 * len(falls)), paint)


TOTALS = {"deliverable": "deliverable", "done": "delivered"}


def _falls(words: Mapping[str, str]) -> list[str]:
    """Rows of the waterfall below the first: what takes compute, with the totals where they belong."""
    rows = [s for s in words if s not in ("placed", "delivered")] + ["deliverable"]
    return [*rows, "placed", "delivered", "done"] if "delivered" in words else rows


def _total(axes: Axes, i: int, row: Mapping[str, float], full: float, last: bool) -> None:
    """What is left, in full."""
    axes.barh(i, row["gpu_hours"], color=svg.BLUE, alpha=1.0 if last else 0.6, height=0.62)
    words = f"{row['gpu_hours']:,.0f}  ({percent(row['share'])})"
    axes.text(row["gpu_hours"] + full * 0.012, i, words, va="center", fontweight="bold")


def _fall(axes: Axes, i: int, row: Mapping[str, float], full: float, colour: str, binds: bool) -> None:
    """One step down: what is left, what is lost, hatched where it binds."""
    left, lost = row["gpu_hours"], row["lost_gpu_hours"]
    axes.barh(i, left, color=svg.RULE, height=0.62)
    hatch = "////" if binds else None
    axes.barh(i, lost, left=left, color=colour, height=0.62, hatch=hatch, edgecolor="white", linewidth=0)
    axes.text(full * 1.012, i, f"− {lost:,.0f}", va="center", fontweight="bold" if binds else "normal")
    axes.plot([left, left], [i - 0.31, i + 0.69], color=svg.MUTED, linewidth=0.7)


def groups(told: Mapping[str, Any]) -> Plot:
    """The same for each group, in shares of what it has installed."""
    rows, words = told["groups"][:MOST_ROWS], stages(told)
    end = list(words)[-1]
    word = "delivered" if end == "delivered" else "deliverable"

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for i, row in enumerate(rows):
            _group(axes, i, row["gpu_hours"], words, word)
        axes.set(yticks=range(len(rows)), yticklabels=[f"{r['group']} ({r['count']} {'ship' if r['count'] == 1 else 'ships'})"[:32] for r in rows], xlim=(0, 1),
                 ylim=(len(rows) - 0.5, -0.5), xlabel="share of installed GPU-hours, and what took the rest")  # fmt: skip
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False)
        svg.legend(axes, ncols=4)

    def share(row: Mapping[str, Any]) -> float:
        return float(row["gpu_hours"][end] / (row["gpu_hours"]["installed"] or 1.0))

    best, worst = max(rows, key=share), min(rows, key=share)
    first = "delivered" if end == "delivered" else "can deliver"
    caption = f"{best['group']} {first} {percent(share(best))} of its installed GPU-hours"
    caption += "" if len(rows) == 1 else f", {worst['group']} {percent(share(worst))}"
    caption += " (modelled)."
    return drawn(
        "groups", "Stacked bars by group", caption, (5.3, 1.35 + 0.1 * (len(words) // 4) + 0.34 * len(rows)), paint
    )


def _group(axes: Axes, i: int, hours: Mapping[str, float], words: Mapping[str, str], word: str) -> None:
    """A bar of a group: what is left, then what was lost, last first."""
    full, order = hours["installed"] or 1.0, ["installed", *words]
    left = hours[order[-1]] / full
    axes.barh(i, left, color=svg.BLUE, height=0.62, label=word if i == 0 else None)
    axes.text(0.012, i, percent(left), va="center", color="white" if left > 0.13 else svg.INK, fontweight="bold")
    for before, stage in reversed(list(pairwise(order))):
        lost = (hours[before] - hours[stage]) / full
        label = words[stage] if i == 0 else None
        axes.barh(i, lost, left=left, color=COLOURS[stage], height=0.62, label=label)
        left += lost


def _through(axes: Axes, day: Day, dark: Floats) -> Floats:
    """Time axis, with the share in eclipse as shading; returns the bins' times in the axis's unit."""
    time = day.axis(axes)
    edges = axes.get_xlim()
    shade = np.full((1, len(time), 4), 0.5)
    shade[0, :, 3] = DARK_ALPHA * binned(dark.mean(axis=1))
    axes.imshow(
        shade,
        extent=(*edges, 0.0, 1.0),
        transform=axes.get_xaxis_transform(),
        aspect="auto",
        zorder=0,
        interpolation="nearest",
    )
    axes.set_xlim(edges)
    return time


def _line(axes: Axes, time: Floats, values: Floats, colour: str, label: str) -> None:
    """Mean over ships, with the middle 90 % of them as a band; dots where there is a single bin."""
    values = binned(values)
    if values.shape[1] > 1:
        low, high = np.quantile(values, (0.05, 0.95), axis=1)
        axes.fill_between(time, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(time, values.mean(axis=1), color=colour, label=label, marker="o" if len(time) == 1 else None)


def ships(day: Day, name: str, title: str, members: slice) -> list[Plot]:
    """Power, charge and temperature of some ships through the day: mean, spread, eclipse. name: prefix of the ids."""
    dark = 1.0 - day.of("energy", "lit")[:, members]
    if day.duration_s < day.ticks * day.step_s:
        title += f", first {length(day.duration_s)}"
    made = []
    for kind, make in (("power", _power), ("charge", _charge), ("temperature", _temperature)):
        plot, caption = make(day, members, dark)
        made.append(
            drawn(f"{name}-{kind}", f"Line chart through time, {kind}", f"{title}: {caption}", (4.5, 2.75), plot)
        )
    return made


def _power(day: Day, members: slice, dark: Floats) -> tuple[Painter, str]:
    watts = [day.of("energy", f"{c}_w")[:, members] for c in ("array", "gpu", "bus")]
    top = max(float(v.max()) for v in watts)
    scale, unit = next(((s, u) for s, u in ((1e6, "MW"), (1e3, "kW")) if top >= s), (1.0, "W"))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        time = _through(axes, day, dark)
        for values, colour, word in zip(
            watts, (svg.ORANGE, svg.BLUE, svg.GREEN), ("array", "GPUs", "bus"), strict=True
        ):
            _line(axes, time, values / scale, colour, word)
        axes.set(ylim=(0.0, 1.06 * top / scale or 1.0), ylabel=f"power a ship [{unit}]")
        svg.legend(axes)

    array, gpus, bus = (fmt(float(v.mean()), "W") for v in watts)
    eclipse = percent(float(dark.mean()), 0)
    return (
        paint,
        f"the array gives {array} a ship on average, GPUs draw {gpus} and the bus {bus}; {eclipse} of the time in eclipse (shaded).",
    )


def _charge(day: Day, members: slice, dark: Floats) -> tuple[Painter, str]:
    charge = day.of("energy", "charge_share")[:, members]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        _line(axes, _through(axes, day, dark), charge, svg.BLUE, "battery charge")
        axes.set(ylim=(0.0, 1.05), ylabel="charge [% of nameplate]")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        svg.legend(axes)

    least, most, mean = (percent(float(f(charge)), 0) for f in (np.min, np.max, np.mean))
    return paint, f"charge lies between {least} and {most} of nameplate, {mean} on average."


def _temperature(day: Day, members: slice, dark: Floats) -> tuple[Painter, str]:
    chip, coolant, sink = (day.of("heat", f"{c}_k")[:, members] - ZERO_C_K for c in ("chip", "coolant", "sink"))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        time = _through(axes, day, dark)
        for values, colour, word in (
            (chip, svg.VERMILION, "chip"),
            (coolant, svg.ORANGE, "coolant"),
            (sink, svg.BLUE, "radiator's sink"),
        ):
            _line(axes, time, values, colour, word)
        axes.set_ylabel("temperature [°C]")
        svg.legend(axes)

    warmest = f"chips reach {chip.max():.0f} °C and coolant {coolant.max():.0f} °C"
    return paint, f"{warmest}; the radiator's sink lies between {sink.min():.0f} and {sink.max():.0f} °C."


def poorest(day: Day) -> int:
    """The ship that delivers the smallest share of what it has installed."""
    installed, reach = (day.of("capacity", c).sum(axis=0) for c in ("installed", "reach"))
    return int((reach / np.maximum(installed, 1e-9)).argmin())


def links(day: Day, told: Mapping[str, Any]) -> Plot:
    """Handovers by the hour and the share of time with a path to the ground."""
    network, reach = told["network"], day.of("capacity", "reach_share")
    hourly = binned(day.of("network", "handovers")[:, 0]) * 3600.0 / day.step_s
    top = 1.25 * float(np.quantile(hourly, 0.98)) or 1.0

    def paint(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True)
        time = day.axis(lower)
        upper.fill_between(time, hourly, step="mid", color=svg.BLUE, alpha=0.75, linewidth=0)
        upper.set(ylabel="handovers an hour", ylim=(0.0, top))
        _line(lower, time, reach, svg.GREEN, "reach")
        lower.set(ylabel="reach [% of time]", ylim=(min(0.98, float(binned(reach).mean(axis=1).min())) - 0.005, 1.002))
        lower.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))

    rate = network["handovers"] / max(told["fleet"]["ships"], 1) / (told["duration_s"] / 3600.0)
    caption = (
        f"Ships change relay {network['handovers']:,} times, {rate:.1f} times an hour each, and lose {fmt(network['acquisition_s'], 's')} at each; "
        f"they have a path to a gateway {percent(network['reach_share'], 2)} of the time (modelled)."
    )
    caption += " The start, when all attach at once, runs off the scale." if hourly[0] > top else ""
    return drawn("links", "Handovers and reach through time", caption, (5.4, 3.3), paint)


def radiation(day: Day, told: Mapping[str, Any]) -> Plot:
    """Ships paused in the anomaly through time, and the dose of each group in a year."""
    paused, dose = day.of("radiation", "anomaly"), day.of("radiation", "dose_rad_s").mean(axis=0) * YEAR_S
    shown = day.groups[:MOST_ROWS]

    def paint(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, height_ratios=(3, 1 + 0.5 * len(shown)))
        time = day.axis(upper)
        upper.fill_between(time, binned(paused).mean(axis=1), color=svg.PURPLE, alpha=0.75, linewidth=0, step="mid")
        upper.set(ylabel="paused [% of ships]", ylim=(0.0, max(0.05, 1.08 * float(binned(paused).mean(axis=1).max()))))
        upper.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        for i, (_, members) in enumerate(shown):
            lower.plot([dose[members].min(), dose[members].max()], [i, i], color=svg.PURPLE, linewidth=5, alpha=0.4)
            lower.plot(dose[members].mean(), i, "o", color=svg.PURPLE)
        lower.set(
            yticks=range(len(shown)),
            yticklabels=[n[:28] for n, _ in shown],
            ylim=(len(shown) - 0.4, -0.6),
            xlabel="dose behind shielding [rad(Si) a year]",
            xlim=(0, 1.15 * float(dose.max()) or 1.0),
        )
        lower.grid(visible=False, axis="y")

    row = told["radiation"]
    still = f"Ships stand still in the South Atlantic Anomaly {percent(row['paused_share'], 2)} of the time"
    yearly = f"a year brings {row['dose_rad_year_mean']:.0f} rad(Si) on average and at most {row['dose_rad_year_max']:.0f} behind shielding"
    caption = f"{still}; {yearly} (modelled, solar {row['solar_activity']})."
    return drawn(
        "radiation", "Pauses through time and yearly dose by group", caption, (5.4, 3.1 + 0.18 * len(shown)), paint
    )


ABLATED = {  # changes that a row of the ablation may hold: what of, colour
    "change": ("deliverable compute", svg.BLUE), "tokens_change": ("tokens of answers", svg.GREEN),
    "training_change": ("tokens of training", svg.PURPLE), "usd_change": ("USD a million tokens", svg.ORANGE),
    "first_token_change": ("time to first token", svg.SKY),
}  # fmt: skip


def ablation(rows: Sequence[Mapping[str, Any]]) -> Plot:
    """What each coupling costs: the change of compute, and of work and price where there are any, with it switched off."""
    there = {k: v for k, v in ABLATED.items() if k == "change" or any(r.get(k) for r in rows)}

    def paint(figure: Figure) -> None:
        panels = np.atleast_1d(figure.subplots(1, len(there), sharey=True))
        for axes, (key, (word, colour)) in zip(panels, there.items(), strict=True):
            _changes(axes, [100 * (r.get(key) or 0.0) for r in rows], colour)
            axes.set_xlabel(f"{word} [%]" if len(there) > 1 else f"change of {word} [%]")
        panels[0].set(
            yticks=range(len(rows)), yticklabels=[f"without {r['off']}" for r in rows], ylim=(len(rows) - 0.5, -0.5)
        )

    most = max(rows, key=lambda r: abs(r["change"]))
    caption = f"Leaving {most['off']} out of the model would move deliverable compute most, by {change(most['change'])}"
    for key, (word, _) in list(there.items())[1:]:
        row = max(rows, key=lambda r: abs(r.get(key) or 0.0))
        caption += f"; {word} most without {row['off']}, by {change(row[key])}"
    size = (5.4 if len(there) == 1 else 9.2, 0.8 + (0.34 if len(there) == 1 else 0.27) * len(rows))
    return drawn("ablation", "Bar chart, effect of each coupling", f"{caption} (modelled).", size, paint)


def _changes(axes: Axes, values: Sequence[float], colour: str) -> None:
    """Bars to both sides of zero, each with its value where it can be seen."""
    axes.barh(range(len(values)), values, color=colour, height=0.6)
    for i, value in enumerate(values):
        if abs(value) >= 0.005:
            axes.annotate(
                f"{value:+.2f}",
                (max(value, 0.0), i),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
    axes.axvline(0.0, color=svg.MUTED, linewidth=0.8)
    axes.spines["left"].set_visible(False)
    low, high = min(0.0, *values), max(0.1, *values)
    axes.set_xlim(low - 0.08 * (high - low) if low < 0 else 0.0, high + 0.35 * (high - low))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.locator_params(axis="x", nbins=4)
