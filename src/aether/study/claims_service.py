"""Claims of reach and service: who is answered, how soon, from where, with what of the ground left out."""

from __future__ import annotations

from typing import Any

from aether.results.words import percent
from aether.study.claims_evidence import ENOUGH
from aether.study.claims_finding import Finding, Measured, claim, delay, finding, graded

Told = dict[str, Any]
SOME = 0.1  # of people or pairs, below which a claim is not true of any place worth the name
EVERYWHERE = 0.99  # of the time, from which a place counts as covered
NEARLY = 0.01  # of requests, that a cut or an event may cost
DAY, ALONE, REGIONS = "project-aether", "project-aether without sites", "project-aether, sites alone serve"


@claim("C1")
def without_halls(day: Told, alone: Told) -> Finding:
    """Requests served with all ground sites switched off, and how many times the ships it would take."""
    asked, training = alone["work"]["inference"][0], alone["work"]["training"][0]
    enough = [row for row in alone["more"] if row["served_share"] >= ENOUGH]
    measured = [
        Measured("alone", "requests served without sites", asked["served_share"], "share", ALONE),
        Measured("with_sites", "requests served with sites", day["work"]["inference"][0]["served_share"], "share", DAY),
        Measured("days", "training to its end without sites", training["days_to_finish"] * 86400.0, "s", ALONE),
        Measured(
            "before", "training to its end with sites", day["work"]["training"][0]["days_to_finish"] * 86400.0, "s", DAY
        ),
        Measured(
            "ships", "ships for people, over those of the scenario", enough[0]["times"] if enough else None, "1", ALONE
        ),
        Measured("then", "requests then served without sites", alone["more"][-1]["served_share"], "share", ALONE),
    ]
    return finding(
        graded(asked["served_share"] >= ENOUGH, bool(enough)),
        "With every ground site off, ships answer {alone} of the requests ({with_sites} with sites), and training takes {days} ({before} with them).",
        "holds if {enough} of requests are served without sites; if more ships of the same kind do it, holds with them",
        measured, {"enough": (ENOUGH, "share")},
        [f"{e['times']} times as many ships for people: then {percent(e['served_share'])} are served" for e in enough if e["times"] > 1],
    )  # fmt: skip


@claim("C2")
def at_the_edge(day: Told, alone: Told, regions: Told) -> Finding:
    """The way to a ship and back beside the way to the nearest of the ground regions, city by city."""
    orbit, ground = alone["by_city"], regions["by_city"]
    both = sorted(set(orbit) & set(ground))
    weight = {c: ground[c]["served"] for c in both}
    total = sum(weight.values()) or 1.0
    nearer = [c for c in both if orbit[c]["network_s"] < ground[c]["network_s"]]
    share = sum(weight[c] for c in nearer) / total
    gain = sorted(both, key=lambda c: orbit[c]["network_s"] - ground[c]["network_s"])
    way = {
        k: sum(weight[c] * rows[c]["network_s"] for c in both) / total
        for k, rows in (("orbit", orbit), ("ground", ground))
    }
    ends = {k: [rows[c]["network_s"] for c in both] for k, rows in (("orbit", orbit), ("ground", ground))}
    measured = [
        Measured("nearer", "requests from cities that a ship answers sooner", share, "share", ALONE),
        Measured(
            "orbit",
            "way to a ship and back, best to worst city",
            way["orbit"],
            "s",
            ALONE,
            min(ends["orbit"]),
            max(ends["orbit"]),
        ),
        Measured(
            "ground",
            "way to a site and back, best to worst city",
            way["ground"],
            "s",
            REGIONS,
            min(ends["ground"]),
            max(ends["ground"]),
        ),
        delay("first", "first token, both together", day["work"]["inference"][0], "first_token", DAY),
    ]
    return finding(
        graded(share >= ENOUGH, share >= SOME),
        "The way to a ship and back takes {orbit}, to the nearest of the scenario's ground regions {ground}; for {nearer} of requests the ship is "
        "nearer. First tokens come after {first}, most of it the model's own work.",
        "holds if a ship is nearer than a ground region for {enough} of requests; holds for those for whom it is, from {some} on",
        measured, {"enough": (ENOUGH, "share"), "some": (SOME, "share")},
        [f"for cities far from a region, as {', '.join(gain[:3])}; not for those beside one, as {', '.join(gain[-3:])}"] if nearer else [],
    )  # fmt: skip


@claim("C4")
def off_the_ground(alone: Told, plan: Told) -> Finding:
    """Energy and bytes that ships still take from the ground."""
    power, traffic = alone["power"], alone["work"]["traffic"]
    grid_j = alone["footprint"]["orbit"]["grid_kwh"] * 3.6e6
    home = plan["given"]["settings"]["checkpoint_to"] == "ground"
    kept = plan["plan"]["settings"]["checkpoint_to"] != "ground"
    bits = traffic["checkpoints_bit"] if home else 0.0
    measured = [
        Measured("grid", "energy of ships from grids", grid_j, "J", ALONE),
        Measured("sun", "energy of their arrays", power["array_kwh"] * 3.6e6, "J", ALONE),
        Measured("checkpoints", "checkpoints sent to the ground", bits, "bit", ALONE),
        Measured(
            "people",
            "requests and answers through gateways",
            traffic["requests_bit"] + traffic["answers_bit"],
            "bit",
            ALONE,
        ),
    ]
    return finding(
        graded(grid_j == 0.0 and bits == 0.0, grid_j == 0.0 and kept),
        "Ships take {grid} from grids and {sun} from the Sun; as the scenario has it, training sends {checkpoints} of checkpoints to the ground, and "
        "people's {people} pass gateways and their fibre.",
        "holds if ships use no energy and training sends no data on the ground; if a plan can keep the data in orbit, holds with it",
        measured, None,
        ["checkpoints go to neighbouring ships, as the plan has it", "gateways and their fibre are still needed to reach people"] if home else [],
    )  # fmt: skip


@claim("C7")
def fewer_cables(cable: Told) -> Finding:
    """The same hours with cables whole, cut, and cut with no ship to turn to."""
    rows = {k: cable[k]["work"]["inference"][0] for k in ("before", "cut", "sites")}
    pairs = [
        (p, q)
        for p, q in zip(cable["before"]["probes"], cable["cut"]["probes"], strict=True)
        if q["fibre_s"] is not None
    ]
    far = max((q for _, q in pairs), key=lambda q: q["fibre_s"])
    fibre, mesh = far["fibre_s"], far["delivered_mean_s"]
    ships = {k: orbit_share(cable[k]) for k in ("before", "cut")}
    where = "hybrid-cable-cut"
    measured = [
        Measured("before", "requests served, cables whole", rows["before"]["served_share"], "share", where),
        Measured("cut", "requests served, cables cut", rows["cut"]["served_share"], "share", where),
        Measured("sites", "requests served, cut, sites alone", rows["sites"]["served_share"], "share", where),
        Measured(
            "first",
            "first token, cut, median",
            rows["cut"]["first_token_p50_s"],
            "s",
            where,
            rows["before"]["first_token_p50_s"],
            rows["sites"]["first_token_p50_s"],
        ),
        Measured("fibre", "round trip by what fibre is left, the farthest pair", fibre, "s", where),
        Measured("mesh", "round trip by laser, the same pair", mesh, "s", where),
        Measured("ships", "requests that ships answer, cables cut", ships["cut"], "share", where, ships["before"]),
    ]
    kept = rows["cut"]["served_share"] >= rows["before"]["served_share"] - NEARLY
    return finding(
        graded(kept and mesh < fibre, kept or mesh < fibre),
        "With the Red Sea's cables cut {cut} of requests are served ({before} before; {sites} by sites alone); by laser a pair is {mesh} apart where fibre "
        "now takes {fibre}, and ships answer {ships} of requests.",
        "holds if the cut costs no more than {nearly} of requests and the mesh is then quicker than fibre; holds in part if one of the two",
        measured, {"nearly": (NEARLY, "share")},
    )  # fmt: skip


def orbit_share(told: Told) -> float:
    """Share of a run's requests that ships answer."""
    hosts = told["work"]["hosts"]
    return float(sum(h["requests"] for h in hosts if h["orbit"]) / max(sum(h["requests"] for h in hosts), 1e-9))


@claim("C8")
def under_which_law(day: Told, clinic: Told) -> Finding:
    """Requests under the law that they ask for, and ships that are under none."""
    hosts, law = clinic["orbit"]["work"]["hosts"], clinic["law"]
    outside = sum(h["requests"] for h in hosts if h["country"] not in law)
    forbidden = sum(1 for h in hosts if h["country"] not in law)
    european = next(s for s in day["work"]["inference"] if s["name"] == "european")
    flying = [h for told in (day, clinic["orbit"]) for h in told["work"]["hosts"] if h["orbit"]]
    stateless = sum(1 for h in flying if not h["country"])
    measured = [
        Measured("outside", "clinics' requests answered under another law", outside, "1", "remote-clinic"),
        Measured("forbidden", "groups of hosts that were there and not allowed", forbidden, "1", "remote-clinic"),
        Measured("european", "requests bound to European law that were served", european["served_share"], "share", DAY),
        Measured("stateless", "groups of ships under no state's law", stateless, "1", DAY),
    ]
    return finding(
        graded(outside == 0 and stateless > 0, outside == 0 and forbidden > 0),
        "{outside} requests were answered under a law that was not allowed, with {forbidden} such group in reach; {european} of those bound to European law "
        "were served. But {stateless} groups of ships are under no law: a ship's is that of the state that registers it.",
        "holds if requests stay under the law they ask for and ships exist that no state's law reaches; the first alone holds for a state's own ships",
        measured, None, ["as a state's or an operator's own law, kept by registry; no ship is outside all of them"],
    )  # fmt: skip


@claim("C15")
def like_fibre(day: Told) -> Finding:
    """Round trips by laser, access included, beside bare fibre."""
    pairs = [p for p in day["probes"] if p["fibre_s"] is not None and p["delivered_mean_s"] is not None]
    won = [p for p in pairs if p["delivered_mean_s"] <= p["fibre_s"]]
    over = [p["delivered_mean_s"] / p["fibre_s"] for p in pairs]
    bare = sum(1 for p in pairs if p["rtt_mean_s"] <= p["fibre_s"])
    measured = [
        Measured("won", "pairs of cities nearer by laser, access included", len(won), "1", DAY),
        Measured("pairs", "pairs of cities", len(pairs), "1", DAY),
        Measured("bare", "pairs nearer by propagation alone", bare, "1", DAY),
        Measured("over", "laser over fibre, mean of pairs", sum(over) / len(over), "1", DAY, min(over), max(over)),
    ]
    measured += [
        Measured(f"pair{i}", f"{p['from']} to {p['to']}, by laser", p["delivered_mean_s"], "s", DAY)
        for i, p in enumerate(pairs)
    ]
    names = "; ".join(
        f"{p['from']} to {p['to']} ({1e3 * p['delivered_mean_s']:.0f} ms, fibre {1e3 * p['fibre_s']:.0f} ms)"
        for p in won
    )
    return finding(
        graded(len(won) == len(pairs), bool(won)),
        "Of {pairs} pairs of cities {won} are nearer by laser, waits of access and gateways included, and {bare} by propagation alone; the round trip is "
        "{over} times that of bare fibre.",
        "holds if the mesh delivers every pair no later than light in the fibre that is there; holds for the pairs for which it does",
        measured, None, [f"for long ways or poor fibre: {names}"] if won and len(won) < len(pairs) else [],
    )  # fmt: skip


@claim("C18")
def from_anywhere(day: Told, science: Told) -> Finding:
    """Coverage by latitude and local time: with the default mesh, and with a polar shell."""
    bands = day["coverage"]["by_latitude"]
    good = [b["latitude_from_deg"] for b in bands if (b["covered_share"] or 0.0) >= EVERYWHERE]
    polar = min((b["covered_share"] or 0.0) for b in science["coverage"]["by_latitude"])
    hours = [t for t in day["coverage"]["rtt_by_local_hour_s"] if t is not None]
    measured = [
        Measured(
            "covered",
            "the Earth's surface and time with a ship in reach",
            day["coverage"]["covered_share"],
            "share",
            DAY,
            min((b["covered_share"] or 0.0) for b in bands),
            max((b["covered_share"] or 0.0) for b in bands),
        ),
        Measured(
            "cities", "people's cities and time with a ship in reach", day["cities"]["covered_share"], "share", DAY
        ),
        Measured(
            "way",
            "propagation to a ship and back, best to worst local hour",
            sum(hours) / len(hours),
            "s",
            DAY,
            min(hours),
            max(hours),
        ),
        Measured("polar", "with a polar shell, the worst latitudes", polar, "share", "remote-science"),
    ]
    width = (max(bands[1]["latitude_from_deg"] - bands[0]["latitude_from_deg"], 1)) if len(bands) > 1 else 0
    said = (
        [f"between {min(good):g} and {max(good) + width:g} degrees of latitude with the default mesh"] if good else []
    )
    said += ["anywhere with a shell of polar relays"] if polar >= EVERYWHERE else []
    return finding(
        graded(len(good) == len(bands), bool(good) or polar >= EVERYWHERE),
        "{covered} of the surface and time has a ship in reach and {cities} of cities; the way there and back takes {way}, by the local hour. With a polar "
        "shell the worst latitudes have {polar}.",
        "holds if every band of latitude is covered {everywhere} of the time; holds for the latitudes that are",
        measured, {"everywhere": (EVERYWHERE, "share")}, said if len(good) < len(bands) else [],
    )  # fmt: skip


@claim("C26")
def remote_regions(clinic: Told) -> Finding:
    """Places without fibre: before any satellite, with the mesh to sites alone, and with compute in it."""
    orbit, gateway = (clinic[k]["work"]["inference"][0] for k in ("orbit", "gateway"))
    wired = sum(1 for p in clinic["orbit"]["probes"] if p["fibre_s"] is not None)
    where = "remote-clinic"
    measured = [
        Measured("wired", "places reached by fibre before", wired, "1", where),
        Measured("served", "requests served with compute in orbit", orbit["served_share"], "share", where),
        delay("first", "first token from orbit", orbit, "first_token", where),
        delay("relayed", "first token through the mesh from sites", gateway, "first_token", where),
        Measured("ships", "requests that ships answer", orbit_share(clinic["orbit"]), "share", where),
    ]
    reached = orbit["served_share"] >= ENOUGH
    return finding(
        graded(reached and orbit["first_token_p50_s"] < gateway["first_token_p50_s"], reached),
        "Fibre reached {wired} of the remote places, the mesh serves {served} of their requests; the first token comes after {first} from orbit, {relayed} "
        "from sites through the same mesh.",
        "holds if {enough} of remote requests are served and compute in orbit answers sooner than sites through the mesh; the first alone is reach, not speed",
        measured, {"enough": (ENOUGH, "share")},
        [] if orbit["first_token_p50_s"] < gateway["first_token_p50_s"] else ["as reach: the mesh alone does it, compute in orbit makes it no faster"],
    )  # fmt: skip
