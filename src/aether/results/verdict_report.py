"""The page of the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from aether.base.units import fmt
from aether.base.version import VERSION
from aether.results import verdict_figures as figures
from aether.results.page import MODELLED, plots, table, whole
from aether.results.words import money, percent

FIGURES = {
    "usd_per_gpu_hour": "GPU-hour", "usd_per_pflop_hour": "PFLOP-hour, dense BF16", "usd_per_mtoken": "million tokens of answers",
    "usd_per_watt": "watt of IT power, all capital", "usd_per_kw_month": "kW-month of IT power",
}  # fmt: skip
SIDES = ("orbit", "ground", "hybrid")
Told = Mapping[str, Any]


def render(told: Told) -> str:
    """The verdict as one HTML page: inline style and figures, no script, no request; all that came from the user is escaped."""
    title = escape(f"{told['scenario']}: the verdict beside the ground")
    sections = {
        "cost": ("What it costs", plots([figures.spread(told), figures.waterfall(told)]) + figures_table(told)),
        "moves": ("What decides it", plots([figures.indices(told), figures.tornado(told), figures.frontier(told)])),
        "parity": ("What would have to be true", plots([figures.ladder(told)], "wide") + f"<p>{escape(told['ladder']['words'])}.</p>"),
        "years": ("Through the years", plots([figures.years(told)]) + _time(told)),
        "prices": ("At whose prices", _perspectives(told) + _contract(told)), "models": ("Published models, and inside one boundary", _presets(told)),
        "carbon": ("Carbon by boundary", plots([figures.carbon(told)]) + _carbon(told)), "sources": ("Sources", _sources(told)),
    }  # fmt: skip
    ratio = told["ratio"]
    lead = (
        f"A GPU-hour in orbit costs <strong>{money(ratio['p50'])}</strong> times one on the ground ({money(ratio['p05'])} to {money(ratio['p95'])}); "
        f"it is cheaper in <strong>{percent(told['orbit_is_cheaper'])}</strong> of draws."
    )
    kicker = f"{escape(told['scenario'])} · {told['draws']:,} draws · modelled"
    head = f'<p class="kicker">{kicker}</p><h1>{title}</h1><p class="lead">{lead}</p>'
    foot = f"Aether {escape(VERSION)}. {MODELLED}"
    return whole(title, head, [(key, words, html) for key, (words, html) in sections.items()], foot)


def figures_table(told: Told) -> str:
    """Each side's figures: median and nine of ten draws."""
    rows = []
    for key, words in FIGURES.items():
        if key in told["sides"]["orbit"] or key in told["sides"]["ground"]:
            rows.append((words, *(band(told["sides"][k].get(key)) for k in SIDES)))
    return table(("USD of a", *SIDES), rows, (1, 2, 3))


def band(row: Mapping[str, float] | None) -> str:
    """Median, and nine of ten draws."""
    return "–" if row is None else f"{money(row['p50'])} ({money(row['p05'])} to {money(row['p95'])})"


def _millions(row: Mapping[str, float]) -> str:
    return f"{row['p50'] / 1e6:,.0f} ({row['p05'] / 1e6:,.0f} to {row['p95'] / 1e6:,.0f})"


def _time(told: Told) -> str:
    row = told["time_to_power"]
    rows = (
        ("ships come sooner by [months]", band(row["sooner_months"])), ("worth of that [million USD]", _millions(row["worth_usd"])),
        ("a watt [USD]", band(row["usd_per_watt"])), ("what orbit costs more over a ship's life [million USD]", _millions(row["extra_usd"])),
        ("time alone pays for it in", percent(row["pays"])),
    )  # fmt: skip
    return f"<p>Value of time-to-power for {row['power_w'] / 1e6:,.0f} MW: {escape(row['words'])}.</p>" + table(
        ("", "median (nine of ten draws)"), rows, (1,)
    )


def _perspectives(told: Told) -> str:
    rows = [
        (r["prices"], money(r["usd_per_gpu_hour"]), money(r["ratio"]), money(r["ratio_both"]))
        for r in told["perspectives"]
    ]
    return table(
        ("orbit at prices of", "USD per GPU-hour", "over the ground", "if the ground has them too"), rows, (1, 2, 3)
    )


def _contract(told: Told) -> str:
    row = told["contract"]
    rows = [(side, band(row[side]["gpus_at_cost"]), f"{row[side]['gpus_at_price']:,.0f}",
             f"{percent(row[side]['margin']['p50'])} ({percent(row[side]['margin']['p05'])} to {percent(row[side]['margin']['p95'])})",
             f"{row[side]['owed_at_notice_usd'] / 1e9:.2f}", f"{row[side]['unrecovered_usd'] / 1e9:.2f}", money(row[side]["usd_per_used_hour_at_half"]))
            for side in ("orbit", "ground")]  # fmt: skip
    words = f"<p>{row['total_usd'] / 1e9:g} billion USD over {row['years']:g} years, take or pay, at {row['price_usd_gpu_hour']:.2f} USD per GPU-hour.</p>"
    columns = (
        "side",
        "GPUs at cost",
        "GPUs at the price",
        "seller's margin",
        "owed at notice [billion USD]",
        "capital then unrecovered [billion USD]",
        "USD an hour used if half is",
    )
    return words + table(columns, rows, range(1, len(columns)))


def _presets(told: Told) -> str:
    html = ""
    for p in told["presets"]:
        own = [
            (
                a["what"],
                f"{a['published']:,.6g} {a['unit']}",
                f"{a['computed']:,.6g}",
                f"{round(100 * a['error'], 1) + 0.0:+.1f} %",
            )
            for a in p["own"]
        ]
        html += f"<h3>{escape(p['title'])}</h3><p>{escape(p['source'])}: {escape(p['note'])}.</p>"
        html += table(("its own answer", "published", "computed here", "off by"), own, (1, 2, 3))
        left = "; ".join(
            f"{k} {', '.join(v['terms'])} ({money(v['usd_per_gpu_hour'])} USD a GPU-hour)"
            for k, v in p["left_out"].items()
            if v["terms"]
        )
        own_ratio = "–" if p["own_ratio"] is None else f"{p['own_ratio']:.2f}"
        html += (
            f"<p>Its ratio {own_ratio}; its inputs inside our boundary: "
            f"orbit {money(p['orbit_usd_per_gpu_hour'])}, ground {money(p['ground_usd_per_gpu_hour'])} USD "
            f"per GPU-hour, ratio {p['ratio']:.2f}. It leaves out: {escape(left)}.</p>"
        )
    return html


def _carbon(told: Told) -> str:
    """Carbon by boundary per GPU-hour and per million tokens, and what else is used and burnt."""
    rows = []
    for row in told["carbon"]:
        cells = [f"{band({k: 1e3 * row[side][k] for k in ('p05', 'p50', 'p95')})}" for side in ("orbit", "ground")]
        tokens = [
            money(None if row[side]["mtoken_kg"] is None else 1e3 * row[side]["mtoken_kg"])
            for side in ("orbit", "ground")
        ]
        rows.append((row["boundary"], *cells, *tokens))
    columns = (
        "boundary",
        "orbit [g/GPU-hour]",
        "ground [g/GPU-hour]",
        "orbit [g/million tokens]",
        "ground [g/million tokens]",
    )
    shown = table(columns, rows, (1, 2, 3, 4))
    words = {
        "water_kg": "water evaporated",
        "lifted_kg": "lifted to orbit",
        "burnt_kg": "burnt on the way down",
        "alumina_kg": "alumina that this makes",
    }
    used = [(said, *(band({k: 1e3 * told["material"][side][kind][k] for k in ("p05", "p50", "p95")}) for side in ("orbit", "ground")))
            for kind, said in words.items()]  # fmt: skip
    return shown + table(("of a GPU-hour [g]", "orbit", "ground"), used, (1, 2))


def _sources(told: Told) -> str:
    rows = [
        (
            a["name"],
            fmt(a["value"], a["unit"]),
            f"{fmt(a['low'], a['unit'])} to {fmt(a['high'], a['unit'])}",
            a["confidence"],
            a["source"],
        )
        for a in told["assumptions"]
    ]
    shown = table(("assumption", "nominal", "range", "confidence", "source"), rows, (1, 2))
    return f"<details><summary>{len(rows)} assumptions that were drawn</summary>{shown}</details>"
