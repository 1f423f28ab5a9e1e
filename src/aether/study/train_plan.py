"""A plan for a training job: the settings that train soonest on what a run of the twin shows, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from aether.base.units import fmt
from aether.engine.run import Progress, simulate
from aether.scenario.load import Scenario
from aether.scenario.spec import Training
from aether.study.train_model import Goodput, Model, Settings, given, ground, job
from aether.study.train_seen import STAGES, Seen, seen
from aether.workloads import across

CADENCES = (1, 10, 30, 50, 100, 200, 300)  # up to the longest published, arXiv 2503.09799, section 5.1
FRAGMENTS = (2, 4, 8, 16, 32)  # 10B: 16 of three layers, arXiv 2501.18512
BESIDE = (1, 2, 5)  # steps that a fragment hides behind; 1 to 5 there
BITS = (16, 8, 4)  # bf16, fp8, and the fp4 of the same paper
QUORUMS = (0.5, 2 / 3, 0.75, 1.0)  # own choice: from a majority to all
GRACES = (0.0, 30.0, 120.0)  # s that a decoupled round waits beyond its quorum; own choice, a restart takes 420
NEARLY = 0.995  # of the best goodput: of settings as good as that, the nearest to plain data parallel is taken
UTILISATION = 0.95  # of time in compute, for which the bandwidth needed is told
UNSAID = "outside the published range: not stated"


def plan(scenario: Scenario, name: str | None, progress: Progress | None = None, threads: int = 2) -> dict[str, Any]:
    """The plan of a training workload, after two runs of the twin over the scenario's duration: as it is, and with a
    first plan, since ships that work more have less in their batteries.

    name: of the workload, the first one where None. Returns a mapping for people and machines: the job, what the run showed,
    goodput of the scenario's settings, of those of the ground and of the plan, and what each change gains.
    Raises InputError where there is no such workload, or it asks for what does not exist or fits nowhere.
    """
    shown = seen(simulate(scenario, progress, threads), name)
    first = search(Model(shown))
    again = seen(simulate(_with(scenario, shown, first), progress, threads), shown.run.name)
    model = Model(again)  # a ship that works more finds its battery lower: the plan is made anew on a run of itself
    best = search(model)
    told = {
        "plan": _told(model, best),
        "given": _told(Model(shown), given(shown)),
        "ground": _told(model, ground(model)),
    }
    runs = [{"set": {}, "goodput": shown.goodput}, {"set": as_keys(shown, first), "goodput": again.goodput}]
    return {
        "job": _job(shown), "runs": runs, "seen": _seen(model, best), **told, "binds": _binds(model, best), "changes": changes(model, best),
        "set": as_keys(again, best), "limits": list(LIMITS),
    }  # fmt: skip


LIMITS = (
    "Members, links and faults are those of the run, taken to go on as they were for the days that the job takes.",
    "Random faults (nodes, upsets) come at their mean rates; eclipses, anomaly passes and heat as the run had them.",
    "Plans do not move load from one ship to another; a longer restart from a copy on the ground is not charged.",
    "Reboosts and avoidances are those of the run: a member that thrusts has no mesh, which stands under network reach.",
)


def _with(scenario: Scenario, shown: Seen, settings: Settings) -> Scenario:
    """The scenario with a plan in the place of the job's own settings."""
    old = shown.run.asked
    kept = {k: getattr(old, k) for k in ("model", "precision", "tokens", "batch", "sequence", "gpus")}
    asked = Training(**kept, price=f"{old.price!r} USD", **as_keys(shown, settings))
    work = tuple(
        w.model_copy(update={"training": asked}) if w.name == shown.run.name else w for w in scenario.spec.workloads
    )
    return replace(scenario, spec=scenario.spec.model_copy(update={"workloads": work}))


def search(model: Model) -> Settings:
    """Of all settings tried those of the best goodput, and of those nearly as good the nearest to plain data parallel."""
    tried = []
    for settings in _candidates(model):
        settings = replace(settings, checkpoint_every_s=model.best_interval(settings))
        tried.append((model.useful(settings), settings))
    most = max(useful for useful, _ in tried)
    members = len(model.seen.names)

    def departure(settings: Settings) -> tuple[float, ...]:
        way = ("", "elastic", "decoupled").index(settings.apart)
        return (
            way,
            members - settings.needed,
            settings.grace_s,
            settings.sync_every,
            -settings.bits,
            settings.overlap_steps,
            settings.fragments,
        )

    return min((settings for useful, settings in tried if useful >= NEARLY * most), key=departure)


def _candidates(model: Model) -> Iterator[Settings]:
    members, write_s = len(model.seen.names), model.seen.write_s[0]
    copy = "peer" if members > 1 else "ground"
    plain = Settings("data-parallel", 1, 1, 0.0, 16.0, "", members, 0.0, 1.0, write_s, copy)
    if members == 1:
        yield plain
        return
    quorums = sorted({max(1, math.ceil(q * members - 1e-9)) for q in QUORUMS})
    ways = [("", members), *(("elastic", k) for k in quorums), *(("decoupled", k) for k in quorums)]
    for (apart, needed), bits in ((w, b) for w in ways for b in BITS):
        for every, fragments, beside in _cadences(int(model.seen.run.model.layers)):
            method = (
                "decoupled" if apart else "streaming" if fragments > 1 else "diloco" if every > 1 else "data-parallel"
            )
            method = method if apart != "elastic" else "streaming" if fragments > 1 else "diloco"
            if method == "decoupled" and every == 1:
                continue
            for grace_s in GRACES if apart == "decoupled" and needed < members else GRACES[:1]:
                yield replace(plain, method=method, sync_every=every, fragments=fragments, overlap_steps=beside, bits=float(bits),
                              apart=apart, needed=needed, grace_s=grace_s)  # fmt: skip


def _cadences(layers: int) -> Iterator[tuple[int, int, float]]:
    """Steps between synchronisations, fragments, and steps that one hides behind."""
    for every in CADENCES:
        yield every, 1, 0.0
        if every > 1:
            yield every, 1, float(every)
        for fragments in (f for f in FRAGMENTS if f <= min(every, layers)):
            yield from ((every, fragments, float(b)) for b in BESIDE if b * fragments <= every)


def changes(model: Model, best: Settings) -> list[dict[str, Any]]:
    """From how a job runs on the ground to the plan, one change after the other, with the goodput that each gains."""
    before, rows = ground(model), []
    had = model.useful(before)
    for what, after, why, loss in _steps(model, before, best):
        if what != "checkpoint target":  # the interval is its best throughout, so that no other change gains by it
            after = replace(after, checkpoint_every_s=model.best_interval(after))
        has, old, new = model.useful(after), _words(what, before), _words(what, after)
        same = old == new and what != "quorum"
        rows.append({"change": what, "from": old, "to": new, "gain": has - had, "goodput": has,
                     "why": "no gain found by it" if same else why, "loss": "none: not changed" if same else loss})  # fmt: skip
        before, had = after, has
    return rows


def _steps(model: Model, start: Settings, best: Settings) -> Iterator[tuple[str, Settings, str, str]]:
    """Each change: its name, the settings after it, why, and what it does to the loss."""
    s, rate = model.seen, float(np.median(model.seen.rate_bit_s))
    gbit, members = job(s, start).sync_bit, len(s.names)
    now = start
    if members > 1:
        now = replace(now, method="diloco" if best.sync_every > 1 else now.method, sync_every=best.sync_every)
        why = f"{fmt(gbit, 'bit')} a step take {fmt(gbit / rate, 's') if rate > 0 else 'for ever'} at {fmt(rate, 'bit/s')}, a step {fmt(s.run.job.step_s, 's')}"
        yield "synchronise every", now, why, penalty(s, best.sync_every)
        now = replace(now, fragments=best.fragments)
        yield (
            "fragments",
            now,
            f"the same bits in {best.fragments} parts: shorter waits, a lower peak",
            streamed(s, best),
        )
        now = replace(now, overlap_steps=best.overlap_steps)
        yield "overlap", now, "sent beside the next steps; the job waits for what is left", streamed(s, best)
        now = replace(now, bits=best.bits)
        yield "quantisation", now, f"{best.bits:g} bits a parameter instead of {start.bits:g}", streamed(s, best)
        now = replace(now, apart=best.apart, needed=best.needed, method=best.method)
        yield "quorum", now, _absent(s), "no law published: not stated" if best.apart else "none: not changed"
    now = replace(now, write_s=best.write_s)
    alone, paused, _ = model.hazard(now)
    fails = f"a fault in {fmt(1.0 / alone, 's')}" if alone > 0.0 else "no faults"
    fails += f", upsets in a pause each {fmt(1.0 / paused, 's')}" if paused > 0.0 else ""
    fails += " of running, of a member" if now.apart else " of running"
    yield (
        "checkpoint interval",
        now,
        f"{fails}; {best.write_s:g} s of writing beside work, not {start.write_s:g} s that block",
        "none",
    )
    now = replace(now, checkpoint_every_s=best.checkpoint_every_s, checkpoint_to=best.checkpoint_to, method=best.method)
    copy = f"{fmt(s.run.checkpoint_bit, 'bit')} a copy leave the beams to the ground to people; time is the same here"
    yield "checkpoint target", now, copy, "none"


def _words(what: str, s: Settings) -> str:
    """A setting for people."""
    return {
        "synchronise every": _steps_of(s.sync_every), "fragments": f"{s.fragments}", "overlap": _steps_of(s.overlap_steps),
        "quantisation": f"{s.bits:g} bit", "quorum": f"{s.needed} {s.apart or 'in step'}", "checkpoint target": s.checkpoint_to,
        "checkpoint interval": f"{s.write_s:g} s every {fmt(s.checkpoint_every_s, 's')}",
    }[what]  # fmt: skip


def _steps_of(count: float) -> str:
    return "1 step" if count == 1 else f"{count:g} steps"


def _absent(s: Seen) -> str:
    """How much members were there, for a change of quorum."""
    there = s.share[len(STAGES)]
    slow = s.names[int(there.mean(axis=0).argmin())]
    events = ", ".join(f"{n} {kind}" for kind, n in sorted(s.calendar.items()))
    mean, least = 100.0 * there.mean(), 100.0 * there.min(axis=1).mean()
    told = f"members gave {mean:.0f} % each, the slowest of each moment {least:.0f} %, least of all {slow}"
    return f"{told}; calendar: {events or 'empty'}"


def penalty(s: Seen, every: float) -> str:
    """The published loss of synchronising seldom, in words."""
    found = across.loss_penalty(s.parameters, len(s.names), every)
    return UNSAID if found is None else "none" if every <= 1 else f"{100 * found:+.2f} % (arXiv 2503.09799, H = 30)"


def streamed(s: Seen, best: Settings) -> str:
    """The published loss of fragments, overlap and few bits, in words."""
    if best.fragments == 1 and best.overlap_steps == 0.0 and best.bits >= 16:
        return "none: not changed"
    found = across.streaming_penalty(s.parameters, best.sync_every, best.bits)
    return UNSAID if found is None else f"{100 * found:+.2f} % at most, all three together (arXiv 2501.18512)"


def _told(model: Model, settings: Settings) -> dict[str, Any]:
    found: Goodput = model.goodput(settings)
    return {"settings": asdict(settings), **asdict(found)}


def _job(s: Seen) -> dict[str, Any]:
    run = s.run
    layout = {
        k: getattr(run.layout, k)
        for k in ("tensor", "pipeline", "data", "expert", "interleave", "recompute", "sequence_parallel")
    }
    return {"name": run.name, "model": run.model.name, "parameters": s.parameters, "tokens": run.asked.tokens, "members": len(s.names),
            "gpus": float(run.gpus.sum()), "layout": layout, "step_s": run.step.time_s, "tokens_step": run.tokens_step}  # fmt: skip


def _seen(model: Model, best: Settings) -> dict[str, Any]:
    """What the run showed, and the rate that the plan needs of it."""
    s = model.seen
    linked = len(s.names) > 1
    needed = across.bandwidth(
        s.parameters, s.run.job.step_s, best.sync_every, best.fragments, best.overlap_steps, best.bits, s.run.model.layers, UTILISATION
    ) if linked else 0.0  # fmt: skip
    return {
        "duration_s": s.duration_s, "calendar": s.calendar, "available": dict(zip(s.names, s.share[len(STAGES)].mean(axis=0).tolist(), strict=True)),
        "rate_bit_s": float(np.median(s.rate_bit_s)) if linked else None, "rate_least_bit_s": float(s.rate_bit_s.min()) if linked else None,
        "rate_needed_bit_s": needed if linked else None, "fault_s": s.fault_s, "upset_s": float(s.upset_s.sum(axis=1).mean()),
        "usd_missing": s.usd_missing,
    }  # fmt: skip


def _binds(model: Model, best: Settings) -> str:
    """What costs the plan most."""
    found = model.goodput(best)
    cause, share = max(found.lost.items(), key=lambda item: item[1])
    return f"{cause}: {100 * share:.1f} % of the time" if share > 0.0 else "compute alone"


def as_keys(s: Seen, best: Settings) -> dict[str, Any]:
    """The plan as keys of the scenario's training workload."""
    made: dict[str, Any] = {"method": best.method, "sync_bits": best.bits, "checkpoint_to": best.checkpoint_to,
                            "checkpoint_every": f"{best.checkpoint_every_s:.0f} s"}  # fmt: skip
    if best.method != "data-parallel":
        made["sync_every"] = best.sync_every
    if best.method in ("streaming", "decoupled"):
        made |= {"fragments": best.fragments, "overlap_steps": int(best.overlap_steps)}
    elif best.overlap_steps > 0.0:
        made["sync_overlap"] = True
    if best.apart:
        made["quorum"] = (
            math.floor(1e4 * best.needed / len(s.names)) / 1e4
        )  # not above: it is rounded up to whole members
    return made | ({"elastic": True} if best.apart == "elastic" else {})
