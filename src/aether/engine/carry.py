"""All bytes of all work over the mesh in one tick: requests and answers, synchronisation of training, copies of checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.tables import Floats, Ints, Links, Plan
from aether.engine.assemble import Setup
from aether.engine.reach import Ways
from aether.network import access, flows

PLENTY_BIT_S = 1e15  # asked by a flow that takes what it gets


@dataclass(frozen=True)
class Paths:
    """Ways over numbered resources in compressed rows: directed lasers, then user and feeder beams by satellite."""

    start: Ints
    link: Ints

    def back(self, lasers: int) -> Paths:
        """The same ways in the other direction."""
        n = self.link - lasers
        turned = np.where(n < 0, self.link ^ 1, self.link)
        return Paths(self.start, turned)


@dataclass(frozen=True)
class Carried:
    """What the network did with what was asked (one row each)."""

    share: Floats  # (P,) of each row of requests that got through
    sync_bit_s: tuple[Floats, ...]  # per job, each member's rate to the next
    copy_share: Floats  # (W,) of the checkpoint copies asked for
    paths: Paths  # of all flows, in the order answers, requests, synchronisation, copies, and what else there is
    rate_bit_s: Floats
    demand_bit_s: Floats
    capacity_bit_s: Floats
    sync_rows: tuple[slice, ...]
    more_bit_s: Floats  # (F,) of what else was asked


def carry(
    setup: Setup, plan: Plan, links: Links, way: Ways, syncing: tuple[Ints, ...], paces: Floats,
    more: tuple[Paths, Floats],
) -> Carried:  # fmt: skip
    """Route and rate everything by max-min fairness.

    plan: rows of requests (P,). syncing: of each job the members that synchronise in this tick, none where it stands. more:
    other ways and what is asked of them (F,) [bit/s].
    """
    nodes = setup.relay_count + setup.hosts.ships
    capacity = _capacity(setup, links, nodes)
    answers, asks = _inference(setup, plan, way, links, nodes)
    jobs = [_ring(setup, way, links, nodes, m) if len(m) > 1 else Paths(np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int64))
            for m in syncing]  # fmt: skip
    copies = _copies(setup, way, links, nodes)
    bits = _bits(setup, plan)
    demand = [
        bits[0],
        bits[1],
        *(_sync_demand(setup, m, j) for m, j in zip(syncing, jobs, strict=True)),
        _copy_demand(setup, paces, copies),
        more[1],
    ]
    paths = concatenate([answers, asks, *jobs, copies, more[0]])
    asked = np.concatenate(demand)
    rate = asked
    if setup.scenario.spec.couplings.flows:
        rate = flows.fair(asked, paths.start, paths.link, capacity)
    parts = np.split(rate, np.cumsum([len(d) for d in demand])[:-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.minimum(
            np.where(bits[0] > 0, parts[0] / bits[0], 1.0), np.where(bits[1] > 0, parts[1] / bits[1], 1.0)
        )
        copied = np.where(demand[-2] > 0, parts[-2] / demand[-2], 1.0) * (np.diff(copies.start) > 0)
    ends = np.cumsum([len(d) for d in demand])
    rows = tuple(slice(int(ends[1 + w]), int(ends[2 + w])) for w in range(len(jobs)))
    return Carried(share, tuple(parts[2:-2]), copied, paths, rate, asked, capacity, rows, parts[-1])


def _capacity(setup: Setup, links: Links, nodes: int) -> Floats:
    """Of lasers in both directions, then of every satellite's beams: user down, user up, feeder down, feeder up."""
    laser = np.repeat(links.rate_bit_s * links.alive, 2)
    beams = [np.full(nodes, setup.scenario.value(name)) for name in BEAMS]
    return np.concatenate([laser, *beams])


BEAMS = ("access.user_down", "access.user_up", "access.feeder_down", "access.feeder_up")


def _bits(setup: Setup, plan: Plan) -> tuple[Floats, Floats]:
    """Bits per second of the answers and of the requests of each row."""
    step_s, services = setup.scenario.spec.step, setup.work.services
    down, up = (setup.scenario.value(f"demand.{k}_bytes") for k in ("answer", "request"))
    answer = np.array([8.0 * down * s.output_tokens for s in services] or [0.0])
    request = np.array([8.0 * up * s.input_tokens for s in services] or [0.0])
    return plan.requests * answer[plan.work] / step_s, plan.requests * request[plan.work] / step_s


def _inference(setup: Setup, plan: Plan, way: Ways, links: Links, nodes: int) -> tuple[Paths, Paths]:
    """Ways of answers, host to place, and of requests, place to host; rows that go by fibre alone are empty."""
    lasers = 2 * len(links.a)
    if not setup.scenario.spec.couplings.access:
        none = Paths(np.zeros(len(plan.work) + 1, dtype=np.int64), np.empty(0, dtype=np.int64))
        return none, none
    paid = setup.overheads
    extra = (0.5 * (paid.scheduling.value + paid.queue.value), 0.5 * (paid.last_mile.value + paid.queue.value))
    found = access.entries(plan.place, plan.host, way.fields, way.own, way.gateways, setup.city_gateways, extra)
    entry = np.where(way.by_fibre[plan.place, plan.host], -1, found.satellite)
    on, by_gate = entry >= 0, found.gateway >= 0
    path = walk(way, plan.host, entry, on)
    seed = first_node(path, links, entry)
    ends_down = np.where(on, lasers + np.where(by_gate, 2 * nodes, 0) + entry, -1)
    ends_up = np.where(on, lasers + np.where(by_gate, 3 * nodes, nodes) + entry, -1)
    site = on & (plan.host >= setup.hosts.ships)
    answers = append(append(path, ends_down), np.where(site, lasers + 3 * nodes + seed, -1))
    asks = append(append(path.back(lasers), ends_up), np.where(site, lasers + 2 * nodes + seed, -1))
    return answers, asks


def _ring(setup: Setup, way: Ways, links: Links, nodes: int, members: Ints) -> Paths:
    """Each of some hosts to the next, round the ring."""
    hosts, lasers, first = setup.hosts, 2 * len(links.a), setup.relay_count
    rows = []
    for a, b in zip(members, np.roll(members, -1), strict=True):
        if a >= hosts.ships and b >= hosts.ships:
            rows.append(Paths(np.zeros(2, dtype=np.int64), np.empty(0, dtype=np.int64)))
            continue
        from_site = a >= hosts.ships or b < hosts.ships
        row, target = (a, b) if from_site else (b, a)  # rows of ships reach ships; a site's row starts at its gateways
        node = np.array([first + target])
        path = walk(way, np.array([row]), node)
        if row >= hosts.ships:
            seed = first_node(path, links, node)
            beam = lasers + (3 if row == a else 2) * nodes + seed
            path = append(path if row == a else path.back(lasers), beam)
        rows.append(path)
    return concatenate(rows)


def _sync_demand(setup: Setup, syncing: Ints, ring: Paths) -> Floats:
    """All they get, but nothing where two members have no way to one another; sites have fibre."""
    members, ships = syncing[: len(ring.start) - 1], setup.hosts.ships
    by_fibre = (members >= ships) & (np.roll(members, -1) >= ships)
    return np.where((np.diff(ring.start) > 0) | by_fibre, PLENTY_BIT_S, 0.0)


def _copies(setup: Setup, way: Ways, links: Links, nodes: int) -> Paths:
    """Each job's copies of checkpoints: its first ship to the nearest gateway or to the next member; none from a site."""
    hosts, lasers, rows = setup.hosts, 2 * len(links.a), []
    for run in setup.work.runs:
        ship = run.members[0]
        if run.asked.checkpoint_to == "peer":
            pair = _ring(setup, way, links, nodes, run.members[:2])
            rows.append(Paths(pair.start[:2], pair.link[: pair.start[1]]))
            continue
        if ship >= hosts.ships or run.checkpoint_bit <= 0.0:
            rows.append(Paths(np.zeros(2, dtype=np.int64), np.empty(0, dtype=np.int64)))
            continue
        node = np.array([setup.relay_count + ship])
        up = walk(way, np.array([len(hosts.names)]), node)
        rows.append(append(up.back(lasers), lasers + 2 * nodes + first_node(up, links, node)))
    return concatenate(rows)


def _copy_demand(setup: Setup, paces: Floats, copies: Paths) -> Floats:
    """Bits per second of checkpoint copies, spread over the interval; none where there is nothing to fly over."""
    ships = setup.hosts.ships
    return np.array(
        [
            p * r.checkpoint_bit / r.job.checkpoint_every_s if r.members[0] < ships else 0.0
            for p, r in zip(paces, setup.work.runs, strict=True)
        ]
    ) * (np.diff(copies.start) > 0)


def walk(way: Ways, row: Ints, target: Ints, on: np.ndarray | None = None) -> Paths:
    """Ways from rows of the fields to nodes; rows that are not `on` cross nothing."""
    if on is None:
        return Paths(*flows.walk(way.mesh, way.fields.latency_s, row, target))
    start, link = flows.walk(way.mesh, way.fields.latency_s, row[on], target[on])
    count = np.zeros(len(row), dtype=np.int64)
    count[on] = np.diff(start)
    return Paths(np.concatenate([[0], np.cumsum(count)]).astype(np.int64), link)


def first_node(path: Paths, links: Links, otherwise: Ints) -> Ints:
    """The node at which each way starts; `otherwise` where it crosses nothing."""
    crosses = np.diff(path.start) > 0
    link = (
        path.link[np.minimum(path.start[:-1], max(len(path.link) - 1, 0))]
        if len(path.link)
        else np.zeros(len(crosses), dtype=np.int64)
    )
    edge = link // 2
    origin = np.where(link % 2 == 0, links.a[edge], links.b[edge]) if len(links.a) else np.zeros_like(link)
    return np.where(crosses, origin, otherwise)


def append(path: Paths, last: Ints) -> Paths:
    """One more resource at the end of each way, where it is not negative."""
    return Paths(*flows.append(path.start, path.link, last))


def concatenate(parts: list[Paths]) -> Paths:
    """Several sets of ways as one, in the order given."""
    counts = np.concatenate([np.diff(p.start) for p in parts] + [np.empty(0, dtype=np.int64)])
    link = np.concatenate([p.link for p in parts] + [np.empty(0, dtype=np.int64)])
    return Paths(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), link.astype(np.int64))
