"""The sections of a page, each with its tables and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import yaml

from aether.base.units import fmt
from aether.results import figures, worldmap
from aether.results.data_report import data
from aether.results.event_report import events
from aether.results.figures import Day, Plot
from aether.results.money_report import footprint, money
from aether.results.page import beside, none, plots, table
from aether.results.results import Results
from aether.results.words import AFTER, change, ms, percent, span, stages
from aether.results.work_report import failures, traffic, training, work

ABLATED = {  # columns of the ablation beside deliverable compute
    "delivered_change": "delivered", "tokens_change": "tokens", "training_change": "training", "usd_change": "USD a million tokens",
    "first_token_change": "time to first token",
}  # fmt: skip
CONFIDENCE = ("measured", "published", "disclosed", "estimated")  # strongest first
MOST_GROUPS = 6  # with figures of their own


def section(made: Results, key: str) -> str:
    """A section as HTML, empty where the run has nothing to say; key: one of `report.SECTIONS`."""
    return _MAKERS[key](made, figures.day(made))


def _compute(told: Mapping[str, Any]) -> str:
    binding = told["binding"]
    words = binding["words"][:1].upper() + binding["words"][1:]
    left = stages(told)
    rows = [
        (g["group"], g["count"], f"{g['gpus']:,}", *(f"{g['gpu_hours'][s]:,.0f}" for s in ("installed", *left)), percent(g["deliverable_share"]))
        for g in told["groups"]
    ]  # fmt: skip
    columns = (
        "group",
        "ships",
        "GPUs",
        "installed [GPU-h]",
        *(f"after {AFTER.get(s, w)}" for s, w in left.items()),
        "deliverable share",
    )
    return (
        f"<p>{escape(words)}.</p>"
        + plots([figures.waterfall(told), figures.groups(told)])
        + table(columns, rows, range(1, len(columns)))
    )


def _shortfalls(told: Mapping[str, Any]) -> str:
    if not told["shortfalls"]:
        return none(
            "Nothing: radiator, array, battery and paths to the ground suffice for full clocks through the whole run."
        )
    rows = [(s["group"], s["part"], _short(s), s["when"] or "–") for s in told["shortfalls"]]
    words = (
        "<p>To run all GPUs at full clocks through the whole run, every ship would need this much more (modelled):</p>"
    )
    return words + table(("group", "part", "short by", "when"), rows, (2,))


def _short(row: Mapping[str, Any]) -> str:
    return (
        percent(row["short"]) + " of the time"
        if row["unit"] == "1"
        else fmt(row["short"], row["unit"]).replace("m^2", "m²")
    )


def _through(day: Day) -> str:
    html = (
        "<p>Lines are means over the ships of a group, bands hold the middle 90 % of its ships, grey shading is the share "
        "of them in eclipse. All modelled.</p>"
    )
    for number, (name, members) in enumerate(day.groups[:MOST_GROUPS]):
        count = members.stop - members.start
        html += f"<h3>{escape(name)}, {count} {'ship' if count == 1 else 'ships'}</h3>" + plots(
            figures.ships(day, f"group{number}", name, members), "three"
        )
    if len(day.groups) > MOST_GROUPS:
        html += none(f"{len(day.groups) - MOST_GROUPS} further groups are in the tables energy and heat.")
    ship = figures.poorest(day)
    close = day.until(figures.CLOSE_UP_S)
    html += f"<h3>Close up: {escape(day.names[ship])}, the ship that delivers least</h3>"
    return html + plots(figures.ships(close, "close", day.names[ship], slice(ship, ship + 1)), "three")


def _map(day: Day, told: Mapping[str, Any]) -> str:
    html, row = plots([worldmap.world(day, told)], "wide"), told.get("cities") or {}
    if row.get("best"):
        near, far = ((f"{c['city']} {ms(c['rtt_mean_s'])}" for c in row[k]) for k in ("best", "worst"))
        html += f"<p>Nearest: {escape(', '.join(near))}. Farthest: {escape(', '.join(far))}.</p>"
    if row.get("never_covered"):
        names = row["never_covered"]
        html += f"<p>Never covered: {escape(', '.join(names[:40]))}{f' and {len(names) - 40} more' if len(names) > 40 else ''}.</p>"
    return html


def _trips(day: Day, told: Mapping[str, Any]) -> str:
    rows = told["probes"]
    if not rows:
        return none("The scenario lists no probes: pairs of places or ships whose round trip is recorded.")
    words = (
        "<p>Propagation is light's own time along the path; delivered adds access scheduling, switching and queues. Fibre is routed over submarine cables and "
        "land routes; the great circle at c is a floor that nothing can pass. All modelled.</p>"
    )
    times = ("rtt_min_s", "rtt_mean_s", "rtt_max_s", "delivered_mean_s", "fibre_s", "great_circle_floor_s")
    cells = [(f"{r['from']} – {r['to']}", *(ms(r[k]) for k in times), "–" if r["hops_mean"] is None else f"{r['hops_mean']:.1f}",
              f"{r['path_changes']:,}", percent(r["outage_share"])) for r in rows]  # fmt: skip
    columns = (
        "between",
        "least",
        "mean",
        "most",
        "delivered",
        "fibre",
        "great circle",
        "hops",
        "path changes",
        "outage",
    )
    return (
        words
        + plots([worldmap.ranges(rows)], "wide bounded")
        + table(columns, cells, range(1, 10))
        + plots(worldmap.probes(day, rows), "three")
    )


def _coverage(day: Day, told: Mapping[str, Any]) -> str:
    made: list[Plot | None] = [worldmap.latitudes(told), worldmap.hours(day)] if told.get("coverage") else []
    made.append(worldmap.access(day))
    return plots(made, "three") if any(made) else none("The scenario asks for neither coverage cells nor cities.")


def _network(day: Day, told: Mapping[str, Any]) -> str:
    row, fleet = told["network"], told["fleet"]
    least = row["gateway_open_share_min"]
    rows = [
        ("relays", f"{fleet['relays']:,}, {row['topology']}"), ("laser links that carry data, mean", f"{row['links_alive_mean']:,.0f}"),
        ("handovers of ships between relays", f"{row['handovers']:,}"), ("acquisition at each", fmt(row["acquisition_s"], "s")),
        ("path to a gateway", f"{percent(row['reach_share'], 2)} of the time"), ("gateways", f"{fleet['gateways']:,}"),
        ("least open gateway", "–" if least is None else f"{percent(least, 2)} of the year stands the rain"),
    ]  # fmt: skip
    return beside(figures.links(day, told), table(("", ""), rows))


def _radiation(day: Day, told: Mapping[str, Any]) -> str:
    paused, upsets = day.of("radiation", "anomaly").mean(axis=0), told["waterfall"]["radiation"]["lost_gpu_hours"]
    rows = [
        (g["group"], f"{g['dose_rad_year']:.0f}", percent(float(paused[members].mean()), 2))
        for g, (_, members) in zip(told["groups"], day.groups, strict=True)
    ]
    words = f"<p>Pauses in the anomaly and upsets together take {upsets:,.0f} GPU-hours (modelled).</p>"
    return beside(figures.radiation(day, told), words + table(("group", "dose [rad(Si)/year]", "paused"), rows, (1, 2)))


def _ablation(told: Mapping[str, Any]) -> str:
    rows = told.get("ablation")
    if not rows:
        return none("Not asked for (outputs.ablation).")
    there = {k: w for k, w in ABLATED.items() if told.get("work") and any(r.get(k) for r in rows)}
    cells = [
        (f"without {r['off']}", f"{r['deliverable_gpu_hours']:,.0f}", change(r["change"]), *(change(r.get(k)) for k in there))
        for r in rows
    ]  # fmt: skip
    words = "<p>The same run with one coupling switched off at a time: the change is what a simpler model would get wrong.</p>"
    columns = ("coupling off", "deliverable [GPU-h]", "change", *there.values())
    picture, shown = figures.ablation(rows), table(columns, cells, range(1, len(columns)))
    return words + (plots([picture], "wide") + shown if there else beside(picture, shown))


def _budgets(told: Mapping[str, Any]) -> str:
    columns = (
        "group",
        "class",
        "ships",
        "GPUs a ship",
        "mass",
        "array",
        "battery",
        "radiator",
        "warmest coolant",
        "least charge",
    )
    rows = [
        (g["group"], g["ship"], g["count"], f"{g['gpus'] / max(g['count'], 1):,.0f}", fmt(g["mass_kg"] / 1e3, "t"), fmt(g["array_rated_w"], "W"),
         fmt(g["battery_kwh"], "kWh"), fmt(g["radiator_m2"], "m²"), f"{g['coolant_max_k'] - figures.ZERO_C_K:.0f} °C", percent(g["charge_min_share"], 0))
        for g in told["groups"]
    ]  # fmt: skip
    html = "<p>Mass, array, battery and radiator are of one ship.</p>" + table(columns, rows, range(2, 10))
    orbit = [
        (g["group"], fmt(g["altitude_m"], "m"), _of(g, "drag_delta_v_quiet_m_s_year"), _of(g, "drag_delta_v_active_m_s_year"),
         _of(g, "natural_life_years"), _of(g, "deorbit_delta_v_m_s"))
        for g in told["groups"] if "altitude_m" in g
    ]  # fmt: skip
    keeping = (
        "group",
        "altitude",
        "drag, quiet Sun [m/s a year]",
        "drag, active Sun [m/s a year]",
        "life without thrust [years]",
        "to leave orbit [m/s]",
    )
    return html + (table(keeping, orbit, range(1, 6)) if orbit else "") + "".join(_formation(g) for g in told["groups"])


def _of(row: Mapping[str, Any], key: str) -> str:
    return f"{row[key]:,.3g}" if row.get(key) is not None else "–"


def _formation(group: Mapping[str, Any]) -> str:
    shape = group.get("formation") or {}
    if not shape:
        return ""
    words = f"{group['group']} flies in formation: within {fmt(shape['radius_m'], 'm')} of its middle through an orbit"
    if "neighbour_least_m" in shape:
        words += f", neighbours {fmt(shape['neighbour_least_m'], 'm')} to {fmt(shape['neighbour_most_m'], 'm')} apart"
    return f"<p>{escape(words)} (modelled).</p>"


def _sources(manifest: Mapping[str, Any]) -> str:
    found = sorted(manifest.get("assumptions", []), key=lambda a: (_rank(a["confidence"]), a["name"]))
    if not found:
        return none("None recorded.")
    counts = Counter(a["confidence"] for a in found)
    told = ", ".join(f"{counts[c]} {c}" for c in sorted(counts, key=_rank))
    rows = [
        (
            a["name"],
            fmt(a["value"], a["unit"]),
            _span(a),
            a["confidence"],
            "; ".join(str(a[k]) for k in ("source", "date", "note") if a[k]),
        )
        for a in found
    ]
    shown = table(("assumption", "value", "range", "confidence", "source"), rows, (1,))
    words = f"<p>The answer rests on {len(found)} sourced numbers: {escape(told)}.</p>"
    return f"{words}<details><summary>All {len(found)}, the best supported first</summary>{shown}</details>"


def _rank(confidence: str) -> int:
    return CONFIDENCE.index(confidence) if confidence in CONFIDENCE else len(CONFIDENCE)


def _span(row: Mapping[str, Any]) -> str:
    low, high = (row["value"] if row[k] is None else row[k] for k in ("low", "high"))
    return "–" if row["low"] is None and row["high"] is None else span(low, high, row["unit"])


def _made(made: Results) -> str:
    manifest, skipped = made.manifest, made.summary.get("skipped_records") or []
    versions = ", ".join(f"{k} {v}" for k, v in manifest.get("versions", {}).items())
    rows = [("scenario", manifest.get("scenario_file", "")), ("seed", manifest.get("seed", "")), ("Aether", manifest.get("aether", "")),
            ("Python", f"{manifest.get('python', '')} on {manifest.get('platform', '')}"), ("libraries", versions)]  # fmt: skip
    text = yaml.safe_dump(manifest.get("scenario", {}), sort_keys=False, allow_unicode=True, width=100)
    html = (
        "<p>The same scenario, seed and versions give the same tables, bit for bit, for any number of threads.</p>"
        + table(("", ""), rows)
    )
    html += f"<details><summary>The scenario</summary><pre>{escape(text)}</pre></details>"
    if skipped:
        html += f"<details><summary>{len(skipped)} element sets could not be read</summary><pre>{escape(chr(10).join(map(str, skipped)))}</pre></details>"
    return html


_MAKERS: dict[str, Callable[[Results, Day], str]] = {
    "compute": lambda made, _: _compute(made.summary),
    "work": lambda made, day: work(day, made.summary),
    "training": lambda made, day: training(day, made.summary),
    "data": lambda made, day: data(day, made.summary),
    "cost": lambda made, _: money(made.summary),
    "footprint": lambda made, _: footprint(made.summary),
    "shortfalls": lambda made, _: _shortfalls(made.summary),
    "events": lambda made, _: events(made.summary),
    "ablation": lambda made, _: _ablation(made.summary),
    "day": lambda _, day: _through(day),
    "map": lambda made, day: _map(day, made.summary),
    "trips": lambda made, day: _trips(day, made.summary),
    "coverage": lambda made, day: _coverage(day, made.summary),
    "network": lambda made, day: _network(day, made.summary),
    "traffic": lambda made, day: traffic(day, made.summary),
    "faults": lambda made, day: failures(day, made.summary),
    "radiation": lambda made, day: _radiation(day, made.summary),
    "budgets": lambda made, _: _budgets(made.summary),
    "sources": lambda made, _: _sources(made.manifest),
    "made": lambda made, _: _made(made),
}
