"""The page's section on events: of each, what was lost, what moved, what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from aether.base.units import fmt
from aether.results import svg
from aether.results.figures import Plot, drawn
from aether.results.page import plots, table
from aether.results.words import extra, extra_ms, length, trained

COLOURS = (svg.BLUE, svg.ORANGE, svg.GREEN, svg.VERMILION, svg.PURPLE, svg.SKY, svg.BROWN)
MOST_EVENTS = 8  # with a figure of their own
MOST_HOSTS = 7  # lines in a figure: those that moved most


def events(told: Mapping[str, Any]) -> str:
    """What each event moved and cost; empty without any."""
    rows: Sequence[Mapping[str, Any]] = told.get("events") or ()
    if not rows:
        return ""
    said = (
        "<p>Each is told by difference: the run beside the same run without that event (modelled); first tokens while it lasts, "
        "the rest to the end of the run. Less is negative.</p>"
    )
    html = said + _costs(rows)
    for number, row in enumerate(rows):
        html += f"<h3>{escape(_title(row))}</h3>"
        picture = moved(row, number) if number < MOST_EVENTS else None
        html += (plots([picture]) if picture else "") + _moved(row) + _fibre(row)
    return html


def _title(row: Mapping[str, Any]) -> str:
    return f"{row['words']}: {length(row['end_s'] - row['start_s'])} from {length(row['start_s'])} into the run"


def _costs(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = ("event", "first token p50", "p95", "requests given up", "late", "tokens of answers", "of training",
               "energy [USD]", "worth [USD]", "carbon [kg]")  # fmt: skip
    cells = []
    for row in rows:
        asked, first = row["requests"] or {}, row["first_token"] or {}
        paid = (extra(row["energy_usd"]), extra(-row["worth_lost_usd"]), extra(row["carbon_kg"]))
        cells.append((
            row["words"], extra_ms(first.get("extra_p50_s")), extra_ms(first.get("extra_p95_s")), extra(asked.get("lost")), extra(asked.get("late")),
            extra(-row["tokens_lost"]), trained(row["training"]), *paid,
        ))  # fmt: skip
    return table(columns, cells, range(1, len(columns)))


def _moved(row: Mapping[str, Any]) -> str:
    columns = (
        "hosts",
        "GPU-hours before",
        "without",
        "with",
        "change",
        "deliverable",
        "requests without",
        "with",
        "change",
    )
    cells = []
    for host in row["moved"]:
        calm, here, before = host["without"], host["with"], host["before"]
        hours = (
            "–" if before is None else f"{before['gpu_hours']:,.1f}",
            *(f"{h['gpu_hours']:,.1f}" for h in (calm, here)),
        )
        able = extra(here["deliverable_gpu_hours"] - calm["deliverable_gpu_hours"])
        asked = (f"{h['requests']:,.0f}" for h in (calm, here))
        cells.append(
            (
                host["host"],
                *hours,
                extra(here["gpu_hours"] - calm["gpu_hours"]),
                able,
                *asked,
                extra(here["requests"] - calm["requests"]),
            )
        )
    return table(columns, cells, range(1, len(columns)))


def _fibre(row: Mapping[str, Any]) -> str:
    told = [
        f"{p['from']} – {p['to']} {_way(p['without_fibre_s'])}, now {_way(p['with_fibre_s'])}" for p in row["probes"]
    ]
    return f"<p>Round trips by fibre: {escape('; '.join(told))}.</p>" if told else ""


def _way(seconds: float | None) -> str:
    return "no way" if seconds is None else fmt(seconds, "s")


def moved(row: Mapping[str, Any], number: int) -> Plot | None:
    """GPUs by group of hosts through the time around an event, with and without it; None where it lasts less than a tick."""
    series, hosts = row["series"], row["series"]["hosts"]
    if not series["time_s"]:
        return None
    time_h = np.array(series["time_s"]) / 3600.0
    change = {k: float(np.abs(np.subtract(v["with"], v["without"])).sum()) for k, v in hosts.items()}
    shown = sorted(sorted(hosts, key=lambda k: -change[k])[:MOST_HOSTS], key=list(hosts).index)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvspan(row["start_s"] / 3600.0, row["end_s"] / 3600.0, color=svg.SHADE, alpha=0.3, linewidth=0)
        for colour, name in zip(COLOURS, shown, strict=False):
            axes.step(time_h, hosts[name]["with"], where="mid", color=colour, label=name)
            axes.step(time_h, hosts[name]["without"], where="mid", color=colour, linestyle=":", linewidth=1.1)
        axes.set(xlabel="hours into the run", ylabel=f"GPUs {series['what']}")
        axes.set_ylim(bottom=0.0)
        svg.legend(axes)

    most = max(shown, key=lambda k: change[k])
    caption = f"GPUs {series['what']} around the event (shaded), dotted without it; {most} changed most (modelled)."
    return drawn(f"event{number}", f"Lines, GPUs {series['what']} by group of hosts", caption, (6.4, 2.8), paint)
