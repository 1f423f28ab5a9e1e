"""The report's figures of places: the world map, round trips beside fibre, coverage by latitude and local time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import matplotlib as mpl
import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from aether.base.tables import Floats
from aether.results import sinks, svg
from aether.results.figures import MOST_POINTS, MOST_ROWS, Day, Plot, binned, drawn
from aether.results.words import many, percent

GRID_DEG = 1.5  # of the shading, finer than the cells
MOST_PANELS = 12  # ours: three rows of four
OUTLINE = "#16202a"  # the map keeps its colours on a dark page
UNSEEN = "#d3d8dd"  # never covered: lighter and greyer than the whole scale


@cache
def coasts() -> tuple[Floats, ...]:
    """Coastlines, each (N, 2) longitude and latitude [deg]: Natural Earth 1:110m, public domain, thinned."""
    text = resources.files("aether.results").joinpath("data/land.json").read_text(encoding="utf-8")
    return tuple(np.array(line, dtype=np.float64).reshape(-1, 2) / 10.0 for line in json.loads(text)["lines"])


def _scale() -> Colormap:
    """The light part of viridis, on which dark outlines can be read."""
    return ListedColormap(mpl.colormaps["viridis"](np.linspace(0.3, 1.0, 192)))


def _places(tables: Mapping[str, pa.Table]) -> dict[str, dict[str, tuple[float, float]]]:
    """Longitude and latitude [deg] of cities, ships and relays: kind -> name -> place."""
    found: dict[str, dict[str, tuple[float, float]]] = {"city": {}, "ship": {}, "relay": {}}
    for i, row in enumerate(tables["places"].to_pylist()):
        found[row["kind"]][row["name"] or str(i)] = (row["longitude_deg"], row["latitude_deg"])
    return found


def cities(day: Day) -> dict[str, float]:
    """Mean round trip of each city to the nearest ship that computes [s], NaN where it never has one."""
    rtt = day.of("cities", "rtt_s")
    if not rtt.shape[1]:
        return {}
    names = sinks.labels(day.tables, "cities", "city")
    seen = np.isfinite(rtt)
    mean = np.where(seen.any(axis=0), np.nansum(rtt, axis=0) / np.maximum(seen.sum(axis=0), 1), np.nan)
    return dict(zip(names, mean.tolist(), strict=True))


def _shading(table: pa.Table, norm: Normalize) -> Floats:
    """The map's picture (latitude, longitude, 4): every point in its nearest cell's colour, paler where covered less."""
    columns = ("latitude_deg", "longitude_deg", "covered_share", "rtt_mean_s")
    lat, lon, share, rtt = (sinks.numbers(table.column(c)) for c in columns)
    where = np.radians(np.mgrid[-90 + GRID_DEG / 2 : 90 : GRID_DEG, -180 + GRID_DEG / 2 : 180 : GRID_DEG])
    nearest = (_unit(*where).reshape(-1, 3) @ _unit(np.radians(lat), np.radians(lon)).T).argmax(axis=1)
    shown = _colours(1e3 * rtt, norm)
    shown[:, 3] = np.where(np.isfinite(rtt), 0.15 + 0.6 * share, 1.0)
    return shown[nearest].reshape(*where.shape[1:], 4)


def _unit(latitude_rad: Floats, longitude_rad: Floats) -> Floats:
    level = np.cos(latitude_rad)
    return np.stack([level * np.cos(longitude_rad), level * np.sin(longitude_rad), np.sin(latitude_rad)], axis=-1)


def world(day: Day, told: Mapping[str, Any]) -> Plot:
    """Cells, cities, gateways, ships and relays on an equirectangular map."""
    mean, places = cities(day), _places(day.tables)
    spots = np.array([(*places["city"][n], v) for n, v in mean.items()]).reshape(-1, 3)
    norm, beyond = _limits(day, spots[:, 2])
    gates = [day.tables["gateways"].column(c).to_pylist() for c in ("longitude_deg", "latitude_deg")]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_facecolor("#eef1f4")
        if "coverage" in day.tables:
            picture = _shading(day.tables["coverage"], norm)
            extent = (-180, 180, -90, 90)
            axes.imshow(picture, extent=extent, origin="lower", interpolation="nearest", aspect="auto", zorder=0.5)
        axes.add_collection(LineCollection(coasts(), colors=OUTLINE, linewidths=0.55, zorder=1))
        relays, ships = (list(places[k].values()) for k in ("relay", "ship"))
        _dots(axes, relays, ".", 1.8, "#5b6670", f"{len(relays):,} relays at the start")
        _dots(axes, list(zip(*gates, strict=True)), "^", 3.4, OUTLINE, f"{len(gates[0])} gateways")
        if len(spots):
            dots: dict[str, Any] = {
                "c": _colours(1e3 * spots[:, 2], norm),
                "edgecolors": OUTLINE,
                "linewidths": 0.6,
                "zorder": 4,
            }
            axes.scatter(spots[:, 0], spots[:, 1], s=30, label=f"{len(spots)} cities", **dots)
        _dots(axes, ships, "D", 4.6, svg.VERMILION, f"{len(ships)} compute ships at the start")
        axes.set(xlim=(-180, 180), xticks=range(-180, 181, 60), xlabel="longitude [deg]")
        axes.set(ylim=(-90, 90), yticks=range(-90, 91, 30), ylabel="latitude [deg]")
        axes.grid(color=OUTLINE, alpha=0.15)
        look: dict[str, Any] = {"labelcolor": OUTLINE, "frameon": True, "facecolor": "white", "edgecolor": "none"}
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, borderaxespad=0.3, handletextpad=0.3, **look)
        if beyond:
            colours = mpl.cm.ScalarMappable(norm, _scale())
            bar = figure.colorbar(colours, ax=axes, orientation="horizontal", aspect=60, pad=0.02, extend=beyond)
            bar.set_label("mean round trip to the nearest ship that computes [ms], propagation; grey: never covered")

    return drawn("world", "World map of round trips to the fleet", _world_caption(mean, told), (9.2, 5.3), paint)


def _colours(rtt_ms: Floats, norm: Normalize) -> Floats:
    """Colours of round trips (..., 4), grey where there is none."""
    shown: Floats = _scale()(norm(np.nan_to_num(rtt_ms)))
    shown[~np.isfinite(rtt_ms)] = mpl.colors.to_rgba(UNSEEN)
    return shown


def _limits(day: Day, city_rtt_s: Floats) -> tuple[Normalize, str]:
    """The colours' scale [ms]: the middle 96 % of cells and cities, which ends of it are open ("": no scale)."""
    table = day.tables.get("coverage")
    cells = np.zeros(0) if table is None else sinks.numbers(table.column("rtt_mean_s"))
    known = 1e3 * np.concatenate([city_rtt_s, cells])
    known = known[np.isfinite(known)]
    if not len(known):
        return Normalize(0.0, 1.0), ""
    low, high = np.quantile(known, (0.02, 0.98))
    return Normalize(float(low), float(high)), "neither" if high >= known.max() and low <= known.min() else "both"


def _world_caption(mean: Mapping[str, float], told: Mapping[str, Any]) -> str:
    row, seen = told.get("cities") or {}, {n: v for n, v in mean.items() if np.isfinite(v)}
    if not seen or row.get("rtt_mean_s") is None:
        return (
            f"{told['fleet']['gateways']} gateways; no city has a path to a ship that computes, or none was asked for."
        )
    near, far = min(seen, key=lambda n: seen[n]), max(seen, key=lambda n: seen[n])
    ends = f"{near} nearest with {1e3 * seen[near]:.1f} ms, {far} farthest with {1e3 * seen[far]:.1f} ms"
    mean_ms = 1e3 * row["rtt_mean_s"]
    return f"The people of {len(mean)} cities are {mean_ms:.1f} ms from the nearest ship that computes, {ends} (modelled, propagation there and back)."


def _dots(axes: Axes, places: Sequence[Any], marker: str, size: float, colour: str, label: str) -> None:
    if places:
        x, y = np.asarray(places, dtype=np.float64).T
        many = len(places) > 400
        axes.plot(x, y, marker, color=colour, markersize=size, markeredgewidth=0.4, markeredgecolor="white" if marker == "D" else colour,
                  linestyle="", label=label, rasterized=many, zorder=5 if marker == "D" else 3)  # fmt: skip


def _ms(seconds: float | None) -> float:
    return np.nan if seconds is None else 1e3 * seconds


def ranges(rows: Sequence[Mapping[str, Any]]) -> Plot:
    """Least, mean and most of every probe's round trip, beside fibre and the least that light allows."""
    shown = rows[:MOST_ROWS]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        y = np.arange(len(shown), dtype=np.float64)
        low, mean, high, full, fibre, floor = (np.array([_ms(r[k]) for r in shown], dtype=np.float64) for k in
            ("rtt_min_s", "rtt_mean_s", "rtt_max_s", "delivered_mean_s", "fibre_s", "great_circle_floor_s"))  # fmt: skip
        axes.hlines(y, low, high, color=svg.BLUE, linewidth=6, alpha=0.35, label="propagation, least to most")
        axes.plot(mean, y, "o", color=svg.BLUE, label="propagation, mean")
        axes.plot(full, y, "D", color=svg.GREEN, markersize=5, label="delivered, mean")
        axes.plot(
            fibre,
            y,
            "s",
            color=svg.VERMILION,
            markersize=5.5,
            markerfacecolor="none",
            markeredgewidth=1.5,
            label="fibre, routed",
        )
        axes.plot(floor, y, "|", color=svg.INK, markersize=13, markeredgewidth=1.5, label="great circle at c")
        axes.set(
            yticks=y,
            yticklabels=[f"{r['from']} – {r['to']}"[:44] for r in shown],
            ylim=(len(shown) - 0.5, -0.5),
            xlabel="round trip [ms]",
        )
        axes.set_xlim(left=0.0)
        axes.grid(visible=False, axis="y")
        svg.legend(axes, ncols=3)

    both = [r for r in rows if r["fibre_s"] is not None and r["rtt_mean_s"] is not None]
    faster, quick = (sum(r[k] < r["fibre_s"] for r in both) for k in ("rtt_mean_s", "delivered_mean_s"))
    outage = sum(r["outage_share"] for r in rows) / len(rows)
    caption = (
        f"Propagation through the mesh is shorter than routed fibre on {faster} of {len(both)} pairs that have fibre, delivered on {quick}"
        if both
        else "No pair has fibre beside it"
    )
    caption += f"; without a path {percent(outage)} of the time on average (modelled, {rows[0]['visibility']})."
    return drawn("ranges", "Round trips of every probe", caption, (7.4, 1.5 + 0.36 * len(shown)), paint)


def probes(day: Day, rows: Sequence[Mapping[str, Any]]) -> list[Plot]:
    """Each probe's round trip through time."""
    rtt, delivered = 1e3 * day.of("probes", "rtt_s"), 1e3 * day.of("probes", "delivered_s")
    return [_probe(day, row, p, rtt[:, p], delivered[:, p]) for p, row in enumerate(rows[:MOST_PANELS])]


def _probe(day: Day, row: Mapping[str, Any], number: int, rtt_ms: Floats, delivered_ms: Floats) -> Plot:
    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        time, alone = day.axis(axes), "o" if len(day.time_s) == 1 else None
        axes.plot(time, binned(delivered_ms), color=svg.GREEN, label="delivered", marker=alone, linewidth=1.1)
        axes.plot(time, binned(rtt_ms), color=svg.BLUE, label="propagation", marker=alone, linewidth=1.1)
        for key, colour, style, word in (
            ("fibre_s", svg.VERMILION, "--", "fibre"),
            ("great_circle_floor_s", svg.INK, ":", "light"),
        ):
            if row[key] is not None:
                axes.axhline(1e3 * row[key], color=colour, linestyle=style, linewidth=1.0, label=word)
        axes.set(
            ylabel="round trip [ms]",
            ylim=(
                0.0,
                1.1
                * max(
                    [
                        1.0,
                        *(_ms(row[k]) for k in ("fibre_s",) if row[k] is not None),
                        *delivered_ms[np.isfinite(delivered_ms)],
                    ]
                ),
            ),
        )
        svg.legend(axes)

    pair = f"{row['from']} – {row['to']}"
    if row["rtt_mean_s"] is None:
        caption = f"{pair}: no path at any time."
    else:
        fibre = "" if row["fibre_s"] is None else f", fibre {_ms(row['fibre_s']):.1f} ms"
        caption = f"{pair}: {_ms(row['rtt_mean_s']):.1f} ms on average over {row['hops_mean']:.1f} hops{fibre}; {row['path_changes']:,} changes of path."
    return drawn(f"probe{number}", "Round trip through time", caption, (4.2, 2.4), paint)


def latitudes(told: Mapping[str, Any]) -> Plot:
    """Coverage and round trip by latitude."""
    bands = told["coverage"]["by_latitude"]

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        middle = [b["latitude_from_deg"] + 5.0 for b in bands]
        left.barh(middle, [b["covered_share"] for b in bands], height=8.6, color=svg.SKY)
        left.set(
            xlabel="covered [% of time]",
            ylabel="latitude [deg]",
            ylim=(-90, 90),
            yticks=range(-90, 91, 30),
            xlim=(0, 1),
        )
        left.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        right.plot([_ms(b["rtt_mean_s"]) for b in bands], middle, "o-", color=svg.BLUE)
        right.set_xlabel("mean round trip [ms]")
        right.set_xlim(0.0, 1.1 * max([1.0, *(_ms(b["rtt_mean_s"]) for b in bands if b["rtt_mean_s"] is not None)]))

    whole = [b["latitude_from_deg"] for b in bands if b["covered_share"] > 0.999]
    caption = f"The mesh covers {percent(told['coverage']['covered_share'])} of the globe's surface and time"
    joined = len(whole) > 0 and max(whole) - min(whole) == 10 * (len(whole) - 1)
    caption += (
        f", all of it from {abs(min(whole)):.0f}° {'S' if min(whole) < 0 else 'N'} to {abs(max(whole) + 10):.0f}° {'S' if max(whole) < -10 else 'N'}"
        if joined
        else ""
    )
    caption += " (modelled)."
    return drawn("latitudes", "Coverage and round trip by latitude", caption, (4.5, 3.3), paint)


def hours(day: Day) -> Plot | None:
    """Mean round trip by latitude and local solar time; None where no cell was ever covered."""
    table = day.tables["coverage_hours"]
    rtt = 1e3 * sinks.numbers(table.column("rtt_mean_s")).reshape(-1, 24)
    seen = np.isfinite(rtt)
    if not seen.any():
        return None

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_facecolor(svg.RULE)
        axes.grid(visible=False)
        image = axes.imshow(
            rtt, extent=(0, 24, -90, 90), origin="lower", aspect="auto", cmap=_scale(), interpolation="nearest"
        )
        axes.set(
            xlabel="local solar time [h]", ylabel="latitude [deg]", xticks=range(0, 25, 6), yticks=range(-90, 91, 30)
        )
        figure.colorbar(image, ax=axes, aspect=30, pad=0.02).set_label("mean round trip [ms]")

    by_hour = np.array([rtt[seen[:, h], h].mean() if seen[:, h].any() else np.nan for h in range(24)])
    best, worst = int(np.nanargmin(by_hour)), int(np.nanargmax(by_hour))
    caption = (f"Ships are nearest at {best}–{best + 1} h local solar time, {by_hour[best]:.1f} ms on average over covered latitudes, "
               f"and farthest at {worst}–{worst + 1} h, {by_hour[worst]:.1f} ms (modelled; blank: not covered).")  # fmt: skip
    return drawn("hours", "Heat map, round trip by latitude and local solar time", caption, (4.5, 3.3), paint)


def access(day: Day) -> Plot | None:
    """How the round trips of all cities and ticks are spread, by own terminal and through a gateway."""
    ways = {"own terminal": ("rtt_s", svg.BLUE), "local fibre and a gateway": ("rtt_by_gateway_s", svg.GREEN)}
    known = {
        word: (1e3 * v[np.isfinite(v)], v.size, colour)
        for word, (column, colour) in ways.items()
        for v in [day.of("cities", column)]
    }
    if not any(len(v) for v, _, _ in known.values()):
        return None

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for word, (values, size, colour) in known.items():
            if len(values):
                share = np.linspace(0.0, 1.0, MOST_POINTS)
                axes.plot(np.quantile(values, share), share * len(values) / size, color=colour, label=word)
        axes.set(
            xlabel="round trip to the nearest ship that computes [ms]",
            ylabel="cities and ticks within [%]",
            ylim=(0.0, 1.02),
        )
        axes.set_xlim(left=0.0)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        svg.legend(axes)

    middle = [f"{np.median(v):.1f} ms by {w}" for w, (v, _, _) in known.items() if len(v)]
    caption = f"Half of all cities and ticks with a path lie within {' and '.join(middle)} (modelled, propagation)."
    return drawn("access", "Distribution of round trips", caption, (4.5, 3.3), paint)


def first_tokens(day: Day, told: Mapping[str, Any], number: int) -> Plot | None:
    """Time to first token of an inference workload by city; circles by tokens. None where nothing was served."""
    row = told["work"]["inference"][number]
    found = _by_city(day, len(told["work"]["inference"]), number)
    if not found:
        return None
    places = _places(day.tables)["city"]
    lon, lat = np.array([places[name] for name in found]).T
    mean, made = (np.array([v[k] for v in found.values()]) for k in (0, 1))
    low, high = np.quantile(1e3 * mean, (0.02, 0.98))
    norm = Normalize(float(low), float(high) if high > low else float(low) + 1.0)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_facecolor("#eef1f4")
        axes.add_collection(LineCollection(coasts(), colors=OUTLINE, linewidths=0.5, zorder=1))
        look: dict[str, Any] = {"edgecolors": OUTLINE, "linewidths": 0.4, "zorder": 3, "alpha": 0.9}
        order = np.argsort(-made)  # small ones on top
        axes.scatter(
            lon[order], lat[order], s=8 + 260 * (made / made.max())[order], c=_colours(1e3 * mean[order], norm), **look
        )
        (west, east), (south, north) = _frame(lon, lat)
        axes.set(xlim=(west, east), xlabel="longitude [deg]", ylim=(south, north), ylabel="latitude [deg]")
        axes.locator_params(axis="x", steps=[1, 2, 3, 6, 10])
        axes.grid(color=OUTLINE, alpha=0.15)
        bar = figure.colorbar(
            mpl.cm.ScalarMappable(norm, _scale()), ax=axes, orientation="horizontal", aspect=60, pad=0.02, extend="both"
        )
        bar.set_label("mean time to first token [ms]; circles by tokens of answers")

    names = list(found)
    near, far, most = names[int(mean.argmin())], names[int(mean.argmax())], names[int(made.argmax())]
    caption = (
        f"{row['name']}: answers begin soonest in {near}, {1e3 * mean.min():.0f} ms on average, and latest in {far}, {1e3 * mean.max():.0f} ms; "
        f"{most} gets most, {many(float(made.max()))} tokens (modelled)."
    )
    return drawn(f"cities{number}", "World map of time to first token by city", caption, (9.2, 4.6), paint)


def _frame(lon: Floats, lat: Floats) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of a map of some places: their own region twice as wide as high where they fill less than the world."""
    south, north = max(float(lat.min()) - 6.0, -60.0), min(float(lat.max()) + 6.0, 80.0)
    middle, width = float(lon.max() + lon.min()) / 2, max(float(np.ptp(lon)) + 12.0, 2.2 * (north - south), 90.0)
    if width > 240.0:
        return (-180.0, 180.0), (-60.0, 80.0)
    tall = width / 2.2 - (north - south)
    return (middle - width / 2, middle + width / 2), (south - tall / 2, north + tall / 2)


def _by_city(day: Day, services: int, number: int) -> dict[str, tuple[float, float]]:
    """Mean time to first token [s] and tokens of each city that a workload served."""
    if "requests" not in day.tables:
        return {}
    names = sinks.labels(day.tables, "requests", "city")
    first, served, made = (
        day.of("requests", c).reshape(len(day.time_s), services, -1)[:, number]
        for c in ("first_token_s", "served", "output_tokens")
    )
    total, tokens = served.sum(axis=0), made.sum(axis=0) * day.every
    sums = np.multiply(first, served, out=np.zeros_like(served), where=served > 0.0).sum(axis=0)
    return {n: (float(sums[c] / total[c]), float(tokens[c])) for c, n in enumerate(names) if total[c] > 0.0}
