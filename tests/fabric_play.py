"""A fabric without processes: the control core with runtimes that are played, for tests of its decisions."""

from __future__ import annotations

from dataclasses import dataclass, field

from aether.fabric import protocol
from aether.fabric.core import control, events, schedule
from aether.fabric.core.state import OVER, State
from aether.fabric.task import Task

DIGEST = "sha256:" + "ab" * 32


def facts(name: str, ship: bool = True, gpus: int = 8, accelerator: str = "b200", **more: object) -> events.HostFacts:
    """A host of the tests."""
    given: dict[str, object] = {
        "name": name, "group": name.split("/")[0], "ship": ship, "country": "US" if ship else "IE", "accelerator": accelerator, "gpus": gpus,
        "cores_per_gpu": 14.0, "memory_gb_per_gpu": 250.0, "gpu_w": 1000.0, "energy_usd_j": 0.0 if ship else 3e-8,
    }  # fmt: skip
    return events.HostFacts.model_validate(given | more)


@dataclass
class Ship:
    """A runtime that is played: what it was told last, what it has said and not been heard."""

    name: str
    journal: str = "0" * 32
    n: int = 0
    said: list[events.Reported] = field(default_factory=list)
    members: dict[tuple[str, int], str] = field(default_factory=dict)  # attempt and rank to phase

    def say(self, report: protocol.Report, time_s: float) -> None:
        """Write a report into the journal."""
        self.n += 1
        self.said.append(
            events.Reported(runtime=self.name, journal=self.journal, n=self.n, happened_s=time_s, report=report)
        )


class Play:
    """A state, its history, and the ships that work for it."""

    def __init__(self, hosts: list[events.HostFacts]) -> None:
        self.state, self.time_s = State(), 1000.0
        self.history: list[tuple[float, str]] = []
        self.ships = {h.name: Ship(h.name) for h in hosts}
        self.submitted = 0
        self.do(events.Opened(version="1", scenario="test", hosts=tuple(hosts)))
        for ship in self.ships.values():
            self.join(ship)

    def do(self, event: events.Event) -> list[control.Command]:
        """Let something happen, by way of its JSON as in the store."""
        text = events.encode(event)
        self.history.append((self.time_s, text))
        self.state, made = control.step(self.state, events.decode(text), self.time_s)
        return made

    def join(self, ship: Ship) -> None:
        """A runtime introduces itself."""
        self.do(
            events.RuntimeJoined(
                runtime=ship.name, journal=ship.journal, public_key="", address="127.0.0.1", version="1"
            )
        )

    def submit(self, after: tuple[str, ...] = (), project: str = "p", **task: object) -> str:
        """Submit a task; the name of the job or array."""
        self.submitted += 1
        name = f"j-{self.submitted}"
        self.do(
            events.Submitted(job=name, project=project, task=Task.model_validate({"run": "true"} | task), after=after)
        )
        return name

    def place(self) -> list[events.Placed | events.Displaced]:
        """A scheduling pass."""
        made = schedule.plan(self.state)
        for event in made:
            self.do(event)
        return made

    def hear(self, name: str, upto: int | None = None) -> None:
        """Deliver what a ship has said, in order, whatever was heard before."""
        for event in self.ships[name].said[:upto]:
            self.do(event)

    def act(self, name: str) -> None:
        """A ship does what it is ordered: prepares, starts, stops; programs end only by `end`."""
        ship = self.ships[name]
        wanted = {(o.attempt, o.rank): o for o in control.orders(self.state, name)}
        for key in [k for k in ship.members if k not in wanted]:
            del ship.members[key]
        for (attempt, rank), order in wanted.items():
            phase = ship.members.get((attempt, rank), "")
            if order.phase == "stop" and phase != "ended":
                ship.say(protocol.Ended(attempt=attempt, rank=rank, how="stopped", why=order.reason[:500]), self.time_s)
                ship.members[attempt, rank] = "ended"
            elif order.phase == "prepare" and not phase:
                ship.say(
                    protocol.Prepared(attempt=attempt, rank=rank, address="127.0.0.1", port=20000 + rank), self.time_s
                )
                ship.members[attempt, rank] = "prepared"
            elif order.phase == "run" and phase == "prepared":
                ship.say(protocol.Started(attempt=attempt, rank=rank), self.time_s)
                ship.members[attempt, rank] = "started"

    def end(self, name: str, code: int = 0) -> None:
        """All programs of a ship end by themselves, having used something."""
        ship = self.ships[name]
        for (attempt, rank), phase in list(ship.members.items()):
            if phase == "started":
                ship.say(protocol.Used(
                    attempt=attempt, rank=rank, start_ms=0, end_ms=1000, accelerator="b200", gpu_ms=1000, energy_j=7, laser_bytes=3, downlink_bytes=2,
                ), self.time_s)  # fmt: skip
                ship.say(protocol.Ended(attempt=attempt, rank=rank, how="exit", code=code), self.time_s)
                ship.members[attempt, rank] = "ended"

    def checkpoint(self, name: str) -> None:
        """Every program of a ship keeps a checkpoint."""
        ship = self.ships[name]
        for (attempt, rank), phase in ship.members.items():
            if phase == "started":
                ship.say(protocol.Checkpointed(attempt=attempt, rank=rank, digest=DIGEST, size_bytes=1000), self.time_s)

    def settle(self) -> None:
        """Everything heals, and work goes on until nothing is left to do."""
        for name, ship in self.ships.items():
            self.join(ship)
            self.do(events.Cordoned(host=name, closed=False))
            gpus = self.state.hosts[name].facts.gpus
            self.do(events.Conditions(crossed=(events.Crossed(host=name, gpus=gpus),)))
        for _ in range(200):
            self.time_s += 700.0
            self.do(events.Ticked())
            self.place()
            for name in self.ships:
                self.act(name)
                self.hear(name)
                self.end(name)
                self.hear(name)
            if all(j.status in OVER for j in self.state.jobs.values()):
                return
