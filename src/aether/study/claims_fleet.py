"""Claims of training over many chips, of the fleet through its years, and of what keeps it safe."""

from __future__ import annotations

from typing import Any

from aether.base.units import fmt
from aether.study.claims_finding import UNTESTABLE, Finding, Measured, banded, claim, finding, graded

Told = dict[str, Any]
YEAR_S = 365.25 * 86400.0  # Julian year
REFERENCE_S = 54 * 86400.0  # pre-training of Llama 3 405B on 16,384 H100s, arXiv 2407.21783, section 3.3.4
REFERENCE_SHARE = 0.9  # of that time that trained; same
USEFUL = 0.5  # of the time, below which chips stand idle more than they work together
KEPT = 0.95  # of the fleet's GPUs in orbit at the end of its years
LOST, LEFT = 0.1, 0.9  # ships lost at once, and compute that must be left: no worse than in proportion
DIP, NEARLY = 0.05, 0.01  # of compute in a storm's month, and of an event's requests, that may be lost
DAY, PLAN, YEARS = "project-aether", "project-aether, its training planned", "project-aether through ten years"
UPGRADES = "project-aether through ten years, boards exchanged"


def _settings(plan: Told) -> str:
    s = plan["plan"]["settings"]
    often = f"synchronised every {s['sync_every']} steps in {s['bits']:.0f} bits"
    return f"{s['method']}, {often}, {s['needed']} of {plan['job']['members']} ships enough, checkpoints to {s['checkpoint_to']}s"


@claim("C16")
def frontier_model(plan: Told, day: Told) -> Finding:
    """Days to train the model in orbit: with the ground's settings, the scenario's own, and those that a plan finds."""
    days = {k: plan[k]["days"] * 86400.0 for k in ("ground", "given", "plan")}
    job, run = plan["job"], day["work"]["training"][0]
    measured = [
        Measured("gpus", "GPUs that train", job["gpus"], "1", DAY),
        Measured("ships", "ships", job["members"], "1", DAY),
        Measured("plan", "days with settings made for it", days["plan"], "s", PLAN),
        Measured("given", "days with the scenario's settings", days["given"], "s", PLAN),
        Measured("ground", "days with settings of the ground", days["ground"], "s", PLAN),
        Measured("goodput", "time that trains, planned", plan["plan"]["useful"], "share", PLAN),
        Measured("sync", "data of one synchronisation", run["sync_bit"], "bit", DAY),
        Measured("usd", "its cost, planned", plan["plan"]["usd"], "USD", PLAN),
    ]
    return finding(
        graded(days["ground"] <= REFERENCE_S, days["plan"] <= REFERENCE_S),
        "On {gpus} GPUs of {ships} ships it takes {plan} with settings made for orbit, {given} with the scenario's and {ground} with those of the ground; "
        "{goodput} of the time trains, for {usd}.",
        "holds if the ground's settings train the model in no more than the {reference} that it took on the ground; holds if settings made for orbit do",
        measured, {"reference": (REFERENCE_S, "s")}, [_settings(plan), f"what binds then: {plan['binds']}"],
    )  # fmt: skip


@claim("C19")
def launch_replace_upgrade(years: Told, upgrades: Told, parts: Told) -> Finding:
    """The fleet through ten years by replacement, and with boards exchanged."""
    gpus, totals, life = years["capacity"]["nameplate_gpu"], years["totals"], years["effective_life"]["groups"][0]
    kept = {k: gpus[k][-1] / gpus["p50"][0] for k in ("p10", "p50", "p90")}
    swapped = upgrades["totals"]["serviced"]
    more = upgrades["capacity"]["nameplate_pflops"]["p50"][-1] / years["capacity"]["nameplate_pflops"]["p50"][-1]
    known, lifted = parts["assumptions"], totals["lifted_kg"]
    yearly = lifted["p50"] / years["years"]
    shown = known["launch.cadence_shown"]["value"] * YEAR_S * known["starship.payload"]["low"]
    measured = [
        banded("kept", "GPUs in orbit after the years, over those at the start", kept, "share", YEARS),
        banded("joined", "ships launched and put to work", totals["joined"], "1", YEARS),
        banded("failed", "ships that failed", totals["failed"], "1", YEARS),
        banded("life", "time at work of a new ship's GPUs", life["years"], "s", YEARS, YEAR_S),
        banded("delivered", "of nameplate that is delivered", years["capacity"]["delivered_share"], "share", YEARS),
        banded("lifted", "mass lifted a year", lifted, "kg", YEARS, 1.0 / years["years"]),
        Measured("shown", "mass a year at the payload and cadence shown", shown, "kg", "the catalog"),
        banded("swapped", "ships given new boards, if they are", swapped, "1", UPGRADES),
        Measured("more", "compute in orbit then, over ships that only retire", more, "1", UPGRADES),
    ]
    return finding(
        graded(kept["p10"] >= KEPT and swapped["p50"] > 0 and yearly <= shown, kept["p50"] >= KEPT),
        "{kept} of GPUs are there after the years, by {joined} ships put to work while {failed} failed; a ship's GPUs work {life}. Exchanging boards serves "
        "{swapped} ships and leaves {more} times the compute; robots that would do it have not flown. "
        "It takes {lifted} a year; as launches were shown they lift {shown}.",
        "holds if {kept_share} of GPUs are in orbit at the end in {most} of draws, ships are upgraded, and launches as shown lift it; holds if that share is "
        "there in the median draw, at launches that are assumed",
        measured, {"kept_share": (KEPT, "share"), "most": (0.9, "share")},
        [f"{fmt(yearly, 'kg')} are lifted a year, {yearly / shown:.1f} times what was shown", "robots exchange boards as assumed"],
    )  # fmt: skip


@claim("C22")
def guardrails() -> Finding:
    """What stages at a gateway miss is measured on the live fabric alone."""
    return finding(
        UNTESTABLE,
        "The twin has no prompts to guard: it cannot say what guardrails miss, nor how they fail.",
        "no run of the twin reads what people ask",
        [],
    )


@claim("C23")
def hard_to_reach(day: Told) -> Finding:
    """What travels by laser and what by radio; who can read it is for the live fabric."""
    traffic = day["work"]["traffic"]
    laser, radio = traffic["synchronisation_bit"], traffic["requests_bit"] + traffic["answers_bit"]
    measured = [
        Measured("laser", "training data by laser alone", laser, "bit", DAY),
        Measured("radio", "requests and answers, by radio at both ends", radio, "bit", DAY),
        Measured(
            "checkpoints",
            "checkpoints, to the ground by radio as the scenario has it",
            traffic["checkpoints_bit"],
            "bit",
            DAY,
        ),
    ]
    return finding(
        UNTESTABLE, "{laser} of training data travel by laser alone, {radio} of requests and answers and {checkpoints} of checkpoints pass a radio link. "
        "Who could read them, and who could reach a ship, a twin cannot tell.",
        "no run of the twin has keys or an adversary", measured,
    )  # fmt: skip


@claim("C25")
def chips_together(day: Told, plan: Told) -> Finding:
    """Interruptions, and the share of time that trains, as asked and as planned."""
    run, hours = day["work"]["training"][0], day["duration_s"] / 3600.0
    top = sorted(run["lost"], key=lambda r: -r["share"])[:3]
    measured = [
        Measured("gpus", "chips together", run["gpus"], "1", DAY),
        Measured("stops", "interruptions a day", run["interruptions"] / hours * 24.0, "1", DAY),
        Measured("every", "time between checkpoints", run["checkpoint_every_s"], "s", DAY),
        Measured("goodput", "time that trains, with the scenario's settings", run["goodput"], "share", DAY),
        Measured("planned", "time that trains, planned", plan["plan"]["useful"], "share", PLAN),
        Measured("days", "for so long", plan["plan"]["days"] * 86400.0, "s", PLAN),
    ]
    return finding(
        graded(run["goodput"] >= REFERENCE_SHARE, plan["plan"]["useful"] >= USEFUL),
        "{gpus} chips are interrupted {stops} times a day and train {goodput} of the time; planned for orbit {planned}, for {days}. Most is lost to "
        + ", ".join(r["cause"] for r in top) + ".",
        "holds if {reference} of the time trains, as on the ground; holds if more than {useful} does with settings made for orbit",
        measured, {"reference": (REFERENCE_SHARE, "share"), "useful": (USEFUL, "share")}, [_settings(plan)],
    )  # fmt: skip


@claim("C27")
def oversight() -> Finding:
    """Who controls what is no quantity of the twin."""
    return finding(
        UNTESTABLE,
        "Control and oversight are no quantities of a simulation.",
        "no run of the twin decides who may do what",
        [],
    )


@claim("C29")
def resilient(years: Told, events: Told) -> Finding:
    """Compute left when ships are lost at once, when cables, gateways and sites fail, and in a solar storm."""
    row, storm = min(years["losses"], key=lambda r: abs(r["lost_share"] - LOST)), years["storm"]
    left = row["left_share"]
    costs = {
        e["words"]: max(e["requests"]["lost"], 0.0) / max(e["requests"]["with"]["requests"], 1e-9)
        for e in events["events"]
        if e["kind"] != "price"
    }
    worst = max(costs, key=lambda k: costs[k])
    back = storm["recovery_months"]
    month_s = YEAR_S / 12.0
    measured = [
        banded("left", "compute left when a tenth of ships is lost at once", left, "share", YEARS),
        banded("replaced", "time to launch them again", row["months_to_replace"], "s", YEARS, month_s),
        Measured(
            "event",
            "requests lost by the worst event, from it to the end",
            costs[worst],
            "share",
            "lost-and-found",
            min(costs.values()),
            costs[worst],
        ),
        Measured("dip", "compute lost in a storm's month", storm["dip_share"], "share", YEARS),
        Measured("back", "time until all of it is back", None if back is None else back * month_s, "s", YEARS),
    ]
    good = {"ships": left["p50"] >= LEFT, "events": costs[worst] <= NEARLY, "storm": storm["dip_share"] <= DIP}
    said = [] if good["ships"] else ["not against the loss of a tenth of the ships"]
    said += [] if good["events"] else [f"not in full: {worst}"]
    said += [] if good["storm"] else ["not against a solar storm"]
    return finding(
        graded(all(good.values()), good["ships"] or good["events"]),
        "With a tenth of ships lost at once {left} of compute is left, and {replaced} replace them. The worst of cut cables, lost gateways, ships and "
        "sites costs {event} of requests. A solar storm takes {dip} of its month's compute, all of it back after {back}.",
        "holds if {left_share} of compute is left without a tenth of ships, no event costs more than {nearly} of requests, and a storm no more than "
        "{dip_share} of its month; holds in part if the first or the second does",
        measured, {"left_share": (LEFT, "share"), "nearly": (NEARLY, "share"), "dip_share": (DIP, "share")}, said,
    )  # fmt: skip
