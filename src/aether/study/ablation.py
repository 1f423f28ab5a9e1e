"""What each coupling costs: the same run again with one of them switched off."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from aether.base.processes import drop, spread
from aether.engine.assemble import Setup
from aether.engine.run import MESH, Progress, play_variants
from aether.engine.summary import waterfall
from aether.engine.totals import Totals
from aether.engine.verdict import usd_per_mtoken
from aether.engine.work import work as made_of
from aether.engine.work_summary import work
from aether.network.topology import topologies
from aether.placement.policy import policies
from aether.scenario.spec import Couplings

COUPLINGS = tuple(Couplings.model_fields)
STEP_S = 600.0  # least step: changes come out as near those at one minute as at five (docs/design.md)
WORTH_IT = 400  # ticks of all variants, some seconds: as much as processes of their own take to start
LABEL = "ablation"


@dataclass
class Ablation:
    """The table of couplings: one row for each that is on, with it off, and the change.

    All runs of the table, the one with nothing off too, go at steps of at least ten minutes; changes are between them.
    threads: processes that share the work beside what this one does, once `start` is called; with one, or little to do,
    everything happens in `rows`. The rows are the same for any number.
    """

    setup: Setup
    threads: int = 1
    _begun: bool = field(default=False, init=False)
    _coming: Generator[list[dict[str, Any]], None, None] | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin in processes of their own, where that pays; nothing when begun already."""
        if self._begun:
            return
        self._begun = True
        if self.threads > 1 and self._ticks() >= WORTH_IT and packaged(self.setup):
            self._coming = spread(_rows, ((part, None) for part in self._parts()), self.threads)

    def stop(self) -> None:
        """Drop what has been started."""
        drop(self._coming)

    def rows(self, progress: Progress | None = None) -> list[dict[str, Any]]:
        """One row per coupling that is on, in the order of `COUPLINGS`: what is deliverable, delivered and paid with it off."""
        self.start()
        names = [name for part in self._named() for name in part]
        if self._coming is None:
            made = _rows([setup for part in self._parts() for setup in part], progress)
        else:
            made = self._gather(progress or (lambda *_: None))
        found = {name: _changed(row | {"off": name}, made[0]) for name, row in zip(names[1:], made[1:], strict=True)}
        return [found[name] for name in COUPLINGS if name in found]

    def _gather(self, told: Progress) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        count = len(self._named())
        told(LABEL, 0, count, "")
        for done, rows in enumerate(self._coming or ()):
            made += rows
            told(LABEL, done + 1, count, "")
        return made

    def _named(self) -> list[list[str]]:
        """What is off in each variant, "" for nothing: a part for each process beside this one, alike as those with one mesh are."""
        on = [name for name in COUPLINGS if getattr(self.setup.scenario.spec.couplings, name)]
        alike, others = ["", *(name for name in on if name not in MESH)], [name for name in on if name in MESH]
        if self.threads <= 2:
            return [alike + others]
        parts = np.array_split(alike, min(len(alike), self.threads - 2))
        return [part for part in (*(list(part) for part in parts), others) if part]

    def _parts(self) -> list[list[Setup]]:
        base = coarse(self.setup)
        return [[without(base, str(name)) if name else base for name in part] for part in self._named()]

    def _ticks(self) -> int:
        return coarse(self.setup).scenario.clock.ticks * sum(len(part) for part in self._named())


def packaged(setup: Setup) -> bool:
    """Whether all that decides is ours: what somebody else has registered in this process is not known in another."""
    spec = setup.scenario.spec
    choices = (
        policies.get(spec.placement.policy, "placement.policy"),
        topologies.get(spec.relays.topology, "relays.topology"),
    )
    return all(choice.__module__.startswith("aether.") for choice in choices)


def _rows(setups: Sequence[Setup], progress: Progress | None) -> list[dict[str, Any]]:
    return [_row(*pair) for pair in zip(setups, play_variants(setups, progress, LABEL), strict=True)]


def _row(setup: Setup, totals: Totals) -> dict[str, Any]:
    told, stages = work(setup, totals), waterfall(setup, totals)
    return {
        "deliverable_gpu_hours": stages["deliverable"]["gpu_hours"], "delivered_gpu_hours": stages["delivered"]["gpu_hours"],
        "output_tokens": sum(s["output_tokens"] for s in told.get("inference", ())),
        "training_tokens": sum(r["tokens"] for r in told.get("training", ())), "usd_per_mtoken": usd_per_mtoken(setup, totals),
        "first_token_s": _first_token(told),
    }  # fmt: skip


def _first_token(told: Mapping[str, Any]) -> float | None:
    """Median time to first token of the workloads, weighed by their requests."""
    rows = [
        (s["first_token_p50_s"], s["served"]) for s in told.get("inference", ()) if s["first_token_p50_s"] is not None
    ]
    return sum(p * n for p, n in rows) / sum(n for _, n in rows) if rows else None


def _changed(row: dict[str, Any], full: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its changes relative to the run with all couplings on."""
    keys = {"deliverable_gpu_hours": "change", "delivered_gpu_hours": "delivered_change", "output_tokens": "tokens_change",
            "training_tokens": "training_change", "usd_per_mtoken": "usd_change", "first_token_s": "first_token_change"}  # fmt: skip
    return row | {
        name: (row[key] - full[key]) / full[key] if row[key] is not None and full[key] else 0.0
        for key, name in keys.items()
    }


def coarse(setup: Setup) -> Setup:
    """The same run at steps of at least ten minutes that divide it evenly; no single request is followed."""
    spec = setup.scenario.spec
    steps = max(1, int(spec.duration // max(spec.step, STEP_S)))
    quiet = spec.outputs.model_copy(update={"requests": False})
    changes = {"step": min(spec.duration / steps, 3600.0), "outputs": quiet}
    scenario = replace(setup.scenario, spec=spec.model_copy(update=changes))
    return replace(setup, scenario=scenario, work=made_of(scenario, setup.hosts, setup.cities))


def without(setup: Setup, coupling: str) -> Setup:
    """The same setup with one coupling switched off."""
    scenario = setup.scenario
    couplings = scenario.spec.couplings.model_copy(update={coupling: False})
    return replace(setup, scenario=replace(scenario, spec=scenario.spec.model_copy(update={"couplings": couplings})))
