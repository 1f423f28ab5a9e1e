"""Claims of what a ship is, how it gets up, and what its links carry."""

from __future__ import annotations

import math
from typing import Any

from aether.base.units import fmt
from aether.study.claims_evidence import REACHED_BIT_S
from aether.study.claims_finding import Finding, Measured, banded, claim, finding, graded
from aether.study.claims_money import SURE

Told = dict[str, Any]
CLAIMED_GPUS = 10_000  # the claim's own number
CLAIMED_S = 92 * 86400.0  # from the prototype in May to the first ship in August, the claim's own dates
HEAT = 0.01  # of installed compute that may go to heat
YEAR_S = 365.25 * 86400.0  # Julian year
DAY, PARTS, YEARS = "project-aether", "the catalog", "project-aether through ten years"


def _known(key: str, what: str, one: Told, unit: str, scale: float = 1.0) -> Measured:
    """An assumption as a figure, with its range."""
    return Measured(key, what, one["value"] * scale, unit, PARTS, one["low"] * scale, one["high"] * scale)


def _flights(ship: Told, payload_kg: float) -> int:
    return math.ceil(ship["lifted_kg"] / payload_kg)


@claim("C3")
def by_starship(parts: Told, years: Told) -> Finding:
    """Flights for one ship of ten thousand GPUs at payloads shown and hoped for, and ships a year at the cadence shown."""
    ship, hull, known = (
        parts["ships"]["compute-ship-assembled"],
        parts["ships"]["compute-ship-hull"],
        parts["assumptions"],
    )
    payload, cadence = known["starship.payload"], known["launch.cadence_shown"]
    shown, hoped = _flights(ship, payload["low"]), _flights(ship, payload["value"])
    failed, launches = years["totals"]["launches_failed"], years["totals"]["launches"]
    measured = [
        Measured("mass", "mass of an assembled Compute Ship", ship["mass_kg"], "kg", PARTS),
        Measured("shown", "flights for it at the payload shown", shown, "1", PARTS),
        Measured(
            "hoped",
            "flights for it at the payload hoped for",
            hoped,
            "1",
            PARTS,
            _flights(ship, payload["high"]),
            shown,
        ),
        Measured(
            "wait",
            "time to fly it as often as was shown",
            shown / cadence["value"],
            "s",
            PARTS,
            shown / cadence["high"],
            shown / cadence["low"],
        ),
        Measured(
            "launches", "launches in the fleet's years", launches["p50"], "1", YEARS, launches["p10"], launches["p90"]
        ),
        banded("failed", "of them lost", failed, "1", YEARS),
    ]
    closes = not ship["shortfalls"]
    said = [
        f"{hoped} flights of {fmt(payload['value'], 'kg')} in a year bring one ship a year, {shown} of the {fmt(payload['low'], 'kg')} shown"
    ]
    return finding(
        graded(closes and shown / cadence["value"] <= YEAR_S, closes),
        "An assembled ship of {mass} takes {hoped} flights at the payload hoped for and {shown} at what was shown, {wait} at the cadence shown. In the "
        "fleet's years {launches} launches are made and {failed} fail.",
        "holds if the design closes and its flights fit in a year at the payload and cadence shown so far; holds if it closes and they come to be",
        measured, None, [*said, *(f"not as a retained hull: {w}" for w in hull["shortfalls"])],
    )  # fmt: skip


@claim("C11")
def ten_thousand(parts: Told) -> Finding:
    """A ship of ten thousand GPUs: what it needs, and how many of them one NVLink domain joins."""
    ship, hull = parts["ships"]["compute-ship-assembled"], parts["ships"]["compute-ship-hull"]
    measured = [
        Measured("gpus", "GPUs", ship["gpus"], "1", PARTS),
        Measured("domain", "GPUs in the largest NVLink domain", ship["domain_gpus"], "1", PARTS),
        Measured("domains", "such domains aboard", ship["domains"], "1", PARTS),
        Measured("power", "power", ship["load_w"], "W", PARTS),
        Measured("array", "solar array", ship["array_m2"], "m^2", PARTS),
        Measured("radiator", "radiator", ship["radiator_m2"], "m^2", PARTS),
        Measured("mass", "mass, assembled", ship["mass_kg"], "kg", PARTS),
        Measured("loads", "loads of one Starship", ship["loads"], "1", PARTS),
        Measured("hull", "mass as a retained hull", hull["mass_kg"], "kg", PARTS),
    ]
    closes = [s for s in (ship, hull) if not s["shortfalls"] and s["gpus"] >= CLAIMED_GPUS]
    said = [
        f"as {ship['domains']:.0f} NVLink domains of {ship['domain_gpus']} joined by a slower network, assembled in {ship['flights']:.0f} flights"
    ]
    return finding(
        graded(any(s["domain_gpus"] >= CLAIMED_GPUS and s["loads"] <= 1.0 for s in closes), bool(closes)),
        "{gpus} GPUs take {power}, {array} of array, {radiator} of radiator and {mass}, {loads} loads of one Starship. NVLink joins {domain} of them at "
        "most, so there are {domains} domains aboard.",
        "holds if a design of {claimed} GPUs closes, flies as one module, and NVLink joins them all; holds if a design closes",
        measured, {"claimed": (CLAIMED_GPUS, "1")}, [*said, *(f"not as a retained hull: {w}" for w in hull["shortfalls"])],
    )  # fmt: skip


@claim("C12")
def vacuum_cools(day: Told, years: Told, parts: Told) -> Finding:
    """What heat takes, the radiator that is missing, and what ageing coatings leave."""
    heat, installed = day["waterfall"]["heat"], day["waterfall"]["installed"]
    share = heat["lost_gpu_hours"] / installed["gpu_hours"]
    short = [s["words"] for s in day["shortfalls"] if s["part"] == "radiator"]
    group, ship = years["groups"][0], parts["ships"]["compute-ship-assembled"]
    measured = [
        Measured("heat", "installed compute lost to heat", share, "share", DAY),
        Measured(
            "throttled", "ships and time with clocks held down by heat", day["heat"]["throttled_share"], "share", DAY
        ),
        Measured("coolant", "warmest coolant", day["heat"]["coolant_max_k"], "K", DAY),
        Measured("area", "radiator for one megawatt of load", ship["radiator_m2"] / ship["load_w"] * 1e6, "m^2", PARTS),
        Measured("new", "deliverable compute of a new ship", group["deliverable_new"], "share", YEARS),
        Measured(
            "old", "of one at the end of its life", group["deliverable_old"], "share", YEARS, group["deliverable_least"]
        ),
    ]
    return finding(
        graded(share <= HEAT and not short, share <= HEAT),
        "Heat takes {heat} of installed compute (clocks are held down {throttled} of the time), with {area} of radiator a megawatt and coolant of up to "
        "{coolant}. Ageing takes a ship from {new} to {old} of its compute. Vacuum itself cools nothing: all heat leaves as light from that area.",
        "holds if heat takes no more than {limit} of compute and every radiator is large enough for full load; holds if the first",
        measured, {"limit": (HEAT, "share")}, [f"for full load in every month: {w}" for w in short],
    )  # fmt: skip


@claim("C14")
def hundred_gigabits(parts: Told, day: Told) -> Finding:
    """The link budget against range, and the links of the default day."""
    lasers = parts["links"]
    measured = [Measured("mean", "link of the default day, mean", day["network"]["link_mean_bit_s"], "bit/s", DAY)]
    for i, (name, row) in enumerate(lasers.items()):
        measured.append(
            Measured(
                f"laser{i}",
                f"{name}: near, and at the end of its range",
                row["near_bit_s"],
                "bit/s",
                PARTS,
                row["far_bit_s"],
                row["near_bit_s"],
            )
        )
        measured.append(
            Measured(
                f"reach{i}", f"{name}: range at the claimed rate", row["reach_m"], "m", PARTS, None, row["range_m"]
            )
        )
    whole = [r["far_bit_s"] >= REACHED_BIT_S for r in lasers.values()]
    some = [r["reach_m"] > 1e5 for r in lasers.values()]
    return finding(
        graded(all(whole), any(some)),
        "The mesh's own laser carries {laser0} near and the claimed rate to {reach0}; the ships' class carries {laser1} near and the claimed rate to {reach1}. "
        "A link of the default day carries {mean} on average.",
        "holds if every laser carries {claimed} to the end of its range; holds to the range at which it still does",
        measured, {"claimed": (REACHED_BIT_S, "bit/s")},
        [f"{n}: to {fmt(r['reach_m'], 'm')} of {fmt(r['range_m'], 'm')}" for n, r in lasers.items() if r["far_bit_s"] < REACHED_BIT_S],
    )  # fmt: skip


@claim("C20")
def grows_faster(parts: Told) -> Finding:
    """New power a year by cadence and payload, beside a large campus on the ground over the time that it takes."""
    ship, known = parts["ships"]["compute-ship-assembled"], parts["assumptions"]
    w_kg = ship["it_w"] / ship["lifted_kg"]
    payload, campus, wait = known["starship.payload"], known["ground.campus_power"], known["time.ground"]
    shown = known["launch.cadence_shown"]["value"] * payload["low"] * w_kg * YEAR_S
    capped = known["launch.cadence_cap"]["value"] * payload["value"] * w_kg * YEAR_S
    ground = campus["value"] / wait["value"] * YEAR_S
    needed = ground / YEAR_S / (payload["value"] * w_kg)
    measured = [
        Measured("shown", "new power in orbit a year, payload and cadence shown", shown, "W", PARTS),
        Measured("capped", "the same at the payload hoped for and the licensed cadence", capped, "W", PARTS),
        Measured(
            "ground",
            "one campus on the ground, over its years",
            ground,
            "W",
            PARTS,
            campus["low"] / wait["high"] * YEAR_S,
            campus["high"] / wait["low"] * YEAR_S,
        ),
        Measured("needed", "flights a year that equal one campus", needed * YEAR_S, "1", PARTS),
    ]
    return finding(
        graded(shown >= ground, capped >= ground),
        "As often and as heavy as was shown, launches bring {shown} a year; at the payload hoped for and all flights that licences allow, {capped}. One large "
        "campus on the ground comes to {ground} a year; {needed} flights a year of the payload hoped for equal it.",
        "holds if launches as shown bring no less power a year than one large campus; holds if they do at the payload hoped for and the licensed cadence",
        measured, None, [f"{needed * YEAR_S:.0f} flights a year of {fmt(payload['value'], 'kg')} for each campus built at a time"],
    )  # fmt: skip


@claim("C24")
def this_summer(parts: Told) -> Finding:
    """What could have flown between the two dates, beside what one ship weighs."""
    ship, known = parts["ships"]["compute-ship-assembled"], parts["assumptions"]
    payload, cadence, orbit = known["starship.payload"], known["launch.cadence_shown"], known["time.orbit"]
    lifted = cadence["value"] * CLAIMED_S * payload["low"]
    flights = _flights(ship, payload["low"])
    measured = [
        Measured(
            "lifted",
            "mass that could fly between the dates, payload and cadence shown",
            lifted,
            "kg",
            PARTS,
            cadence["low"] * CLAIMED_S * payload["low"],
            cadence["high"] * CLAIMED_S * payload["low"],
        ),
        Measured("mass", "mass to be lifted for one full ship", ship["lifted_kg"], "kg", PARTS),
        Measured("flights", "flights that it takes at the payload shown", flights, "1", PARTS),
        Measured(
            "wait",
            "time that these take as often as was shown",
            flights / cadence["value"],
            "s",
            PARTS,
            flights / cadence["high"],
            flights / cadence["low"],
        ),
        _known("orbit", "from decision to the mean ship at work", orbit, "s"),
    ]
    return finding(
        graded(lifted >= ship["lifted_kg"], False),
        "Between the two dates {lifted} could fly, as often and as heavy as was shown; one ship takes {mass}, so {flights} flights and {wait}. From decision "
        "to ships at work {orbit} are assumed. The prototype is not documented.",
        "holds if one full ship could be lifted between the dates at the payload and cadence shown",
        measured,
    )  # fmt: skip


@claim("C30")
def around_permits(money: Told, parts: Told) -> Finding:
    """Months by which ships come sooner than a hall with its power, and what licences of launches allow."""
    known, sooner = parts["assumptions"], money["time_to_power"]["sooner_months"]
    ship, month = parts["ships"]["compute-ship-assembled"], YEAR_S / 12.0
    cap, payload = known["launch.cadence_cap"], known["starship.payload"]
    most = cap["value"] * YEAR_S * payload["value"] / ship["lifted_kg"] * ship["it_w"]
    measured = [
        _known("ground", "from decision to power on the ground", known["time.ground"], "s"),
        _known("orbit", "from decision to the mean ship at work, licence included", known["time.orbit"], "s"),
        banded("sooner", "ships come sooner by", sooner, "s", DAY, month),
        _known("cap", "launches a year that licences allow", cap, "1", YEAR_S),
        Measured("most", "new power a year that these can bring", most, "W", PARTS),
        Measured("pays", "draws in which the time gained pays for orbit", money["time_to_power"]["pays"], "share", DAY),
    ]
    return finding(
        graded(sooner["p05"] > 0.0 and math.isinf(cap["value"]), sooner["p50"] > 0.0),
        "A hall on the ground takes {ground} to its power, ships {orbit}: {sooner} sooner. Licences hold there too: {cap} launches a year, so {most} at most. "
        "The time gained alone pays for orbit in {pays} of draws.",
        "holds if ships come sooner in {sure} of draws and no licence limits them; holds if they do in the median, within their own licences",
        measured, {"sure": (SURE, "share")}, [
            f"within {cap['value'] * YEAR_S:.0f} licensed launches a year",
            "licences of spectrum and orbits stay; the time for orbit includes them",
        ],
    )  # fmt: skip


@claim("C31")
def mobile(years: Told, parts: Told) -> Finding:
    """Propellant and time of moves to other orbits, beside what a ship carries."""
    group, ship, turn = years["groups"][0], parts["ships"]["ai1"], parts["turn"]
    moves = [(m["move"], m["delta_v_m_s"], m["duration_s"], m["propellant_kg"]) for m in group["moves"]]
    moves.append(("turn to the relays' inclination", turn["delta_v_m_s"], turn["duration_s"], turn["propellant_kg"]))
    fits = [name for name, _, time_s, kg in moves if kg <= ship["propellant_kg"] and time_s <= YEAR_S]
    measured = [Measured("aboard", "propellant aboard an AI satellite", ship["propellant_kg"], "kg", PARTS)]
    for name, delta, time_s, kg in moves:
        word, where = name.split()[0], PARTS if name == moves[-1][0] else YEARS
        measured += [Measured(f"{word}_delta", f"{name}: delta-v", delta, "m/s", where), Measured(f"{word}_time", f"{name}: time", time_s, "s", where),
                     Measured(f"{word}_kg", f"{name}: propellant", kg, "kg", where)]  # fmt: skip
    measured.append(Measured("fits", "moves within a year and the propellant aboard", len(fits), "1", YEARS))
    measured.append(Measured("moves", "moves looked at", len(moves), "1", YEARS))
    return finding(
        graded(len(fits) == len(moves), bool(fits)),
        "Of {moves} moves {fits} fit in a year and in the {aboard} of propellant aboard. Raising takes {raise_time}; an hour of local time {node_time}; the "
        "relays' inclination {turn_delta} and {turn_kg} of propellant.",
        "holds if a ship can raise, come down, change its node by an hour and its inclination within a year and its own propellant; holds for the moves it can",
        measured, None, [f"for: {', '.join(fits)}"] if fits and len(fits) < len(moves) else [],
    )  # fmt: skip
