"""Claims of money and of what is emitted: cost beside the ground, contracts, carbon, who owns what."""

from __future__ import annotations

from typing import Any

from aether.base.units import fmt
from aether.study.claims_finding import UNTESTABLE, Finding, Measured, banded, claim, finding, graded

Told = dict[str, Any]
LIKELY, POSSIBLE, SURE = 0.5, 0.05, 0.95  # of draws: more often than not, and the ends of the bands that are told
FEW = 3  # improvements at the good ends of their ranges that may be hoped for together
SAVED = 0.1  # of the cost, from which owning everything is an edge
DAY = "project-aether"


@claim("C9")
def as_cheap(money: Told) -> Finding:
    """A GPU-hour in orbit beside one on the ground over draws of every assumption, now and in the years ahead."""
    ladder, years = money["ladder"], money["years"]
    last = years["year"][-1]
    measured = [
        banded("ratio", "GPU-hour in orbit over one on the ground", money["ratio"], "1", DAY),
        Measured("cheaper", "draws in which orbit is cheaper", money["orbit_is_cheaper"], "share", DAY),
        banded("orbit", "a GPU-hour in orbit", money["sides"]["orbit"]["usd_per_gpu_hour"], "USD", DAY),
        banded("ground", "a GPU-hour on the ground", money["sides"]["ground"]["usd_per_gpu_hour"], "USD", DAY),
        Measured("parity", "years until the median draw is cheaper", years["parity_year"], "1", DAY),
        banded("later", "orbit over ground after the years looked ahead", years["ratio"][-1], "1", DAY),
        Measured("by_then", "draws in which orbit is then cheaper", years["orbit_is_cheaper"][-1], "share", DAY),
        Measured(
            "steps",
            "improvements within their ranges that reach parity together",
            len(ladder["steps"]) if ladder["reached"] else None,
            "1",
            DAY,
        ),
    ]
    soon = years["parity_year"] is not None
    few = ladder["reached"] and len(ladder["steps"]) <= FEW
    return finding(
        graded(money["orbit_is_cheaper"] >= LIKELY, money["orbit_is_cheaper"] >= POSSIBLE or soon or few),
        "A GPU-hour costs {orbit} in orbit and {ground} on the ground, {ratio} times as much; orbit is cheaper in {cheaper} of draws. Years until the "
        "median draw is by the trends: {parity} of {last}, then {by_then} of draws. Improvements that must come together for parity now: {steps}.",
        "holds if orbit is cheaper in {likely} of draws of every assumption; holds if it is in {possible}, or by trends in {last} years, or with no more "
        "than {few} improvements at the good ends of their ranges",
        measured, {"likely": (LIKELY, "share"), "possible": (POSSIBLE, "share"), "few": (FEW, "1"), "last": (last, "1")},
        [f"{s['name']}: {fmt(s['to'], s['unit'])} instead of {fmt(s['from'], s['unit'])}, then {s['ratio']:.2f} times the ground" for s in ladder["steps"]],
    )  # fmt: skip


@claim("C10")
def fifteen_billion(money: Told) -> Finding:
    """What the order buys, and whether its price pays for it, on both sides."""
    told = money["contract"]
    orbit, ground = told["orbit"], told["ground"]
    cost = money["sides"]["orbit"]["usd_per_gpu_hour"]
    measured = [
        Measured("total", "the order", told["total_usd"], "USD", DAY),
        Measured("price", "a GPU-hour's price in the contract that is known", told["price_usd_gpu_hour"], "USD", DAY),
        banded("gpus", "GPUs in orbit that it pays for at cost", orbit["gpus_at_cost"], "1", DAY),
        banded("below", "GPUs on the ground that it pays for at cost", ground["gpus_at_cost"], "1", DAY),
        banded("margin", "seller's margin in orbit at that price", orbit["margin"], "share", DAY),
        banded("margin_below", "seller's margin on the ground", ground["margin"], "share", DAY),
        Measured(
            "unrecovered",
            "capital in orbit not recovered when the buyer leaves at once",
            orbit["unrecovered_usd"],
            "USD",
            DAY,
        ),
    ]
    return finding(
        graded(orbit["margin"]["p50"] >= 0.0, orbit["margin"]["p95"] >= 0.0),
        "{total} pays for {gpus} GPUs in orbit or {below} on the ground, at cost. At {price} a GPU-hour the seller's margin is {margin} in orbit and "
        "{margin_below} on the ground; if the buyer leaves at once, {unrecovered} are not recovered. What is documented of such an order is on the ground.",
        "holds if the known contract's price pays for orbit in the median draw; holds if it does in {possible} of draws",
        measured, {"possible": (POSSIBLE, "share")},
        [f"a GPU-hour is sold for {fmt(cost['p50'], 'USD')} or more, or costs no more than {fmt(told['price_usd_gpu_hour'], 'USD')} to make"],
    )  # fmt: skip


@claim("C13")
def sustainable(money: Told, day: Told, parts: Told) -> Finding:
    """Carbon within boundaries that widen, the grid beside which orbit is no better, water, and what burns up."""
    rows = {r["boundary"]: r for r in money["carbon"]}
    ground, kwh = day["footprint"]["ground"], day["footprint"]["ground"]["grid_kwh"]
    hours = ground["carbon_kg"] / ground["carbon_per_gpu_hour_kg"]
    last, making = rows["and effects at height"], rows["and making"]
    even = {
        k: (r["orbit"]["p50"] - (r["ground"]["p50"] - rows["in use"]["ground"]["p50"])) / (kwh / hours) / 3.6e6
        for k, r in rows.items()
    }
    widest = even["and effects at height"]
    cleaner = [
        g["title"] or n
        for n, g in sorted(parts["grids"].items(), key=lambda one: one[1]["carbon"])
        if g["carbon"] < widest
    ]
    measured = [
        banded("orbit", "carbon of a GPU-hour in orbit, making and launch included [kg]", making["orbit"], "kg", DAY),
        banded("ground", "carbon of a GPU-hour on the ground, making included [kg]", making["ground"], "kg", DAY),
        banded("height", "in orbit with soot and alumina at height [kg]", last["orbit"], "kg", DAY),
        Measured("even", "grid beside which both emit alike, making included", even["and making"], "kg/J", DAY),
        Measured("widest", "the same with effects at height", widest, "kg/J", DAY),
        Measured("cleaner", "countries' grids of the catalog cleaner than that", len(cleaner), "1", "the catalog"),
        Measured("grids", "countries' grids of the catalog", len(parts["grids"]), "1", "the catalog"),
        Measured("water", "water of the sites in the run", ground["water_kg"], "kg", DAY),
        Measured("burnt", "burnt up in the air in a year", day["footprint"]["orbit"]["burnt_kg_year"], "kg", DAY),
    ]
    sure = all(r["orbit"]["p95"] < r["ground"]["p05"] for r in rows.values())
    return finding(
        graded(sure and not cleaner, any(r["orbit"]["p50"] < r["ground"]["p50"] for r in rows.values())),
        "In use ships emit nothing; with making and launch a GPU-hour comes to {orbit} of carbon beside {ground}, with effects at height to {height}. Beside a "
        "grid of {widest} or less orbit is no better: {cleaner} of {grids} grids are. Ships use no water, and {burnt} a year burn up in the air.",
        "holds if orbit emits less in {sure} of draws in every boundary and beside every grid; holds if it does in the median of some boundary",
        measured, {"sure": (SURE, "share")},
        [f"beside grids of more than {fmt(even['and making'], 'kg/J')} (making and launch counted) or {fmt(widest, 'kg/J')} (effects at height too)",
         f"not beside {len(cleaner)} of {len(parts['grids'])} countries' grids, cleanest of them {', '.join(cleaner[:3])}"] if cleaner else [],
    )  # fmt: skip


@claim("C21")
def a_market(money: Told, parts: Told) -> Finding:
    """The price from which selling compute in orbit pays; who joins is not for a twin."""
    price = parts["assumptions"]["contract.price"]
    measured = [
        banded(
            "pays", "price of a GPU-hour from which orbit pays", money["sides"]["orbit"]["usd_per_gpu_hour"], "USD", DAY
        ),
        Measured(
            "paid",
            "price in the contract that is known",
            price["value"],
            "USD",
            "the catalog",
            price["low"],
            price["high"],
        ),
    ]
    return finding(
        UNTESTABLE, "Selling compute in orbit pays from {pays} a GPU-hour; {paid} is paid in the contract that is known. Who joins, a twin cannot tell.",
        "no run of the twin has buyers or rivals who choose", measured,
    )  # fmt: skip


@claim("C28")
def owning_everything(money: Told) -> Finding:
    """A GPU-hour at prices of a market, and at what launch, mesh and chips cost the one who makes them."""
    first, launch, *_, last = money["perspectives"]
    saved = 1.0 - last["usd_per_gpu_hour"] / first["usd_per_gpu_hour"]
    measured = [
        Measured("arm", "a GPU-hour in orbit at arm's length", first["usd_per_gpu_hour"], "USD", DAY),
        Measured("launch", "with launch at own cost", launch["usd_per_gpu_hour"], "USD", DAY),
        Measured("own", "with launch, mesh and compute at own cost", last["usd_per_gpu_hour"], "USD", DAY),
        Measured("saved", "saved by owning all three", saved, "share", DAY),
        Measured("ratio", "then over the ground at market prices", last["ratio"], "1", DAY),
        Measured("both", "then over the ground, if its chips are own too", last["ratio_both"], "1", DAY),
    ]
    return finding(
        graded(saved >= SAVED and last["ratio_both"] <= 1.0, saved >= SAVED),
        "A GPU-hour costs {arm} at arm's length, {launch} with launch at own cost and {own} with mesh and compute too: {saved} less, still {ratio} times the "
        "ground, {both} times if the ground has its chips at own cost.",
        "holds if owning all saves {least} and then costs no more than the ground that owns its chips; holds as an edge over others in orbit if it saves that",
        measured, {"least": (SAVED, "share")}, [] if last["ratio_both"] <= 1.0 else ["against others in orbit; not against the ground"],
    )  # fmt: skip
