"""Claims of data worked on where it is: streams, the watch over the fleet, tuning, reach."""

from __future__ import annotations

from aether.results.words import percent
from aether.study.claims_evidence import ENOUGH
from aether.study.claims_finding import Finding, Measured, claim, delay, finding, graded
from aether.study.claims_service import DAY, EVERYWHERE, Told, orbit_share

UNSEEN = ("defence",)  # of the services claimed, those that no example is of
IN_TIME = 0.99  # of data made insight within its stream's own limit


@claim("C5")
def by_itself(telemetry: Told) -> Finding:
    """Streams read as they come, and a watch that finds what fails and drains it before it breaks."""
    seen, streams = telemetry["watch"], telemetry["work"]["streams"]
    where = "launch-telemetry"
    late = max(1.0 - s["insight_bit"] / s["made_bit"] * (1.0 - s["late_share"]) for s in streams)
    slow = max(streams, key=lambda s: s["insight_p95_s"])
    lost, before = seen["with"]["ships_lost"], seen["without"]["ships_lost"]
    measured = [
        Measured("late", "data not made insight in its time, the worst stream", late, "share", where),
        delay("age", "age of insight, the slowest stream", slow, "insight", where),
        Measured("found", "failing ships that the watch found", seen["recall"], "share", where),
        Measured("right", "alarms that were right", seen["precision"], "share", where),
        Measured(
            "delay",
            "from the start of a failure to its alarm, mean",
            seen["delay_mean_s"],
            "s",
            where,
            None,
            seen["delay_most_s"],
        ),
        Measured("lost", "ships lost with the watch", lost, "1", where),
        Measured("before", "ships lost without it", before, "1", where),
    ]
    good = late <= 1.0 - IN_TIME
    return finding(
        graded(good and seen["recall"] == seen["precision"] == 1.0 and lost < before, lost < before),
        "Telemetry becomes insight after {age}; the watch found {found} of failing ships, {right} of its alarms were right, after {delay}, and drained "
        "them by itself: {lost} ships lost, {before} without it.",
        "holds if {in_time} of data is read in its time, every failing ship is found without a false alarm and acting on it saves ships; the "
        "last alone holds in part",
        measured, {"in_time": (IN_TIME, "share")},
        [f"{s['name']}: {percent(s['late_share'])} of it late, a drained ship's own too" for s in streams if s["late_share"] > 1.0 - IN_TIME],
    )  # fmt: skip


@claim("C6")
def for_whom(climate: Told, logistics: Told, science: Told, clinic: Told) -> Finding:
    """The examples of streams and remote services, each against its own limits."""
    served = clinic["orbit"]["work"]["inference"][0]
    rows = [
        (n, s)
        for n, told in (("climate-watch", climate), ("logistics", logistics), ("remote-science", science))
        for s in told["work"]["streams"]
    ]
    good = [s["insight_bit"] / s["made_bit"] * (1.0 - s["late_share"]) for _, s in rows]
    worst = min(good)
    measured = [
        Measured(
            "worst",
            "data made insight in its time, the worst stream",
            worst,
            "share",
            rows[good.index(worst)][0],
            worst,
            max(good),
        ),
        *(delay(f"{s['name']}_age", f"{s['name']}: age of insight", s, "insight", n) for n, s in rows),
        delay(
            "raw",
            "fires: age of insight, were pictures sent down raw",
            climate["work"]["streams"][0]["raw"],
            "insight",
            "climate-watch",
        ),
        Measured("clinics", "requests of clinics served", served["served_share"], "share", "remote-clinic"),
        delay("first", "their first token", served, "first_token", "remote-clinic"),
    ]
    late = [f"{s['name']}: only {percent(g)} in time" for (_, s), g in zip(rows, good, strict=True) if g < IN_TIME]
    return finding(
        graded(not late and not UNSEEN and served["served_share"] >= ENOUGH, len(late) < len(rows) and served["served_share"] >= ENOUGH),
        "Of pictures, trackers and instruments at least {worst} becomes insight in its time; fires are known after {fires_age}, sent down raw "
        "{raw}; clinics without fibre get {clinics} of their answers, the first token after {first}.",
        "holds if {in_time} of every stream's data is read in its own time and {enough} of the clinics' requests are served; "
        "holds for those that are and were simulated",
        measured, {"in_time": (IN_TIME, "share"), "enough": (ENOUGH, "share")}, [*late, *(f"{one} was not simulated" for one in UNSEEN)],
    )  # fmt: skip


@claim("C17")
def tuned_in_flight(logistics: Told, day: Told) -> Finding:
    """How old feedback is when every ship serves what was learnt from it, and over how many hosts answers come."""
    tuned = logistics["work"]["tuning"][0]
    spread = [h for h in day["work"]["hosts"] if h["orbit"] and h["requests"] > 0]
    measured = [
        delay("fresh", "age of feedback when all serve what it taught", tuned, "fresh", "logistics"),
        Measured("share", "feedback within the scenario's limit", tuned["fresh_share"], "share", "logistics"),
        Measured("limit", "that limit", tuned["fresh_limit_s"], "s", "logistics"),
        Measured("hosts", "hosts that got each version", tuned["replica_hosts"], "1", "logistics"),
        Measured("orbit", "requests answered by ships", orbit_share(day), "share", DAY),
    ]
    good = tuned["fresh_share"] is not None and tuned["fresh_share"] >= ENOUGH
    return finding(
        graded(good and tuned["replica_hosts"] > 1 and bool(spread), tuned["versions"] > 0),
        "Feedback is {fresh} old when all {hosts} hosts serve what it taught, {share} of it within {limit}; on the default day ships answer {orbit} of "
        "requests.",
        "holds if {enough} of feedback is served within the scenario's limit and more than one host serves; real time is meant in that sense, no sooner",
        measured, {"enough": (ENOUGH, "share")},
    )  # fmt: skip


@claim("C32")
def reach_and_data(day: Told, climate: Told, parts: Told) -> Finding:
    """People in reach, and bytes of space data that never need a downlink."""
    stream = climate["work"]["streams"][0]
    people = sum(parts["people"][: day["fleet"]["cities"]])
    measured = [
        Measured("people", "people of the cities in reach", people * day["cities"]["covered_share"], "1", DAY),
        Measured("covered", "cities and time with a ship in reach", day["cities"]["covered_share"], "share", DAY),
        Measured("made", "pictures taken", stream["made_bit"], "bit", "climate-watch"),
        Measured("saved", "of them that need no downlink", stream["downlink_saved"], "share", "climate-watch"),
    ]
    reached = day["cities"]["covered_share"] >= EVERYWHERE
    return finding(
        graded(reached and stream["downlink_saved"] >= ENOUGH, reached or stream["downlink_saved"] >= ENOUGH),
        "{people} people live in cities that have a ship in reach {covered} of the time; {saved} of {made} of pictures are worked on without coming down. "
        "Whether nobody else has as much is no question for a twin.",
        "holds if cities are covered {everywhere} of the time and {enough} of what imagers see needs no downlink; holds in part if one of the two",
        measured, {"everywhere": (EVERYWHERE, "share"), "enough": (ENOUGH, "share")},
    )  # fmt: skip
