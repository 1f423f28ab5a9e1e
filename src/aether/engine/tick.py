"""One tick: the loop that closes. Eclipse drains the battery, power and heat set the clocks, links say what can be reached."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aether.base.tables import (
    Access,
    Buffered,
    Capacity,
    Energy,
    Fleet,
    Floats,
    Heat,
    Ints,
    Links,
    Scaled,
    State,
    Tuned,
)
from aether.engine import batch, faults, scaling, streams, tuners
from aether.engine.assemble import Setup
from aether.engine.block import Block
from aether.engine.reach import Ways, ways
from aether.engine.serve import Served, nothing, serve
from aether.network import downlink, handover, topology
from aether.space import power, thermal, visibility


@dataclass(frozen=True)
class Mesh:
    """The network of one tick."""

    links: Links
    sky: visibility.Sky  # relays as places on the ground look for them
    gateways: Access
    attached: Floats  # (K,) mesh terminals that hold a relay
    share: Floats  # (K,) share of the tick with a path to a gateway
    rate_bit_s: Floats  # (K,) over the links to the mesh, less acquisition
    handovers: int  # terminals that went from one relay to another in the tick
    ways: Ways | None  # from every place to every host, where anything is asked
    held: Ints  # (K, terminals) relays that ships hold, below 0 for none


@dataclass(frozen=True)
class Tick:
    """What one tick came to."""

    capacity: Capacity
    energy: Energy
    heat: Heat
    mesh: Mesh
    served: Served | None  # where anything is asked
    ran: batch.Ran | None = None  # where the scenario has jobs


def start(setup: Setup, first: Block) -> State:
    """The state before the first tick: batteries full, heat at rest at what the ship can bear, no laser link yet."""
    fleet = setup.fleet
    sink_k = first.pose.sink_k[0]
    gpu_w = np.minimum(fleet.gpus * fleet.gpu_full_w, thermal.steady(fleet, sink_k, fleet.bus_w))
    terminals = np.arange(int(setup.mesh_terminals.max(initial=0)))
    attached = np.where(terminals < setup.mesh_terminals[:, None], handover.FREE, handover.ABSENT)
    heat = thermal.equilibrium(fleet, sink_k, gpu_w, fleet.bus_w)
    underway = batch.begin(setup) if setup.work.jobs.names else None
    return State(
        fleet.battery_j.copy(), heat, attached, np.zeros(attached.shape), *nothing(setup), streams.nothing(setup),
        tuners.nothing(setup), scaling.nothing(setup), underway,
    )  # fmt: skip


def step(
    setup: Setup, state: State, block: Block, i: int, known: Mesh | None = None, load_gpu: Floats | None = None
) -> tuple[State, Tick]:
    """Advance one tick.

    Faults take away, power offers, heat limits, radiation pauses, the mesh reaches; what is asked is placed, carried and
    served; then power and heat settle by what really ran. known: the mesh of this tick, where a variant of the run with
    the same mesh has made it. load_gpu: (K,) GPUs at work on each ship whatever the scenario asks, where real work decides it.
    """
    setup, spec = setup.at(float(block.time_s[i])), setup.scenario.spec
    on, step_s, ships = spec.couplings, spec.step, len(setup.fleet.name)
    fleet, charge_j = _fleet(setup, state, block, i)
    sink_k, paused = block.pose.sink_k[i], block.paused[i]
    ahead = power.Outlook(
        *(getattr(block.outlook, k)[i] for k in ("light_s", "light_array_w", "dark_s", "dark_array_w"))
    )

    offered = power.offer(fleet, charge_j, block.array_w[i], ahead, step_s, np.ones(ships))
    allowed_w = offered.gpu_w
    if on.heat:
        allowed_w = thermal.limit(fleet, state.heat, sink_k, offered.gpu_w, fleet.bus_w, step_s)
    mesh, attached, acquiring_s = known, state.attached, state.acquiring_s
    if mesh is None:
        mesh, attached, acquiring_s = connect(setup, state, block, i)
    by_power = power.compute_for_power(fleet, offered.gpu_w)
    by_heat = np.minimum(by_power, power.compute_for_power(fleet, allowed_w))
    by_radiation = by_heat * block.intact[i]
    capacity = Capacity(setup.fleet.gpus, fleet.gpus, by_power, by_heat, by_radiation, by_radiation * mesh.share)

    served, waiting, jobs = None, state.waiting, state.jobs
    if mesh.ways is not None:
        served = serve(setup, state, block, i, capacity, mesh.links, mesh.ways, mesh.held)
        waiting, jobs = served.waiting, served.jobs
    ran = _jobs(setup, state, block, i, capacity, served, mesh)
    idle_w = np.minimum(allowed_w, fleet.gpus * fleet.gpu_idle_w)
    run_w = idle_w + (allowed_w - idle_w) * _busy(setup, capacity, served, ran, load_gpu)
    energy = power.settle(fleet, charge_j, offered, np.where(paused, idle_w, run_w), step_s)
    heat = thermal.settle(fleet, state.heat, sink_k, energy.gpu_w, energy.bus_w, step_s)
    underway = ran.underway if ran else state.underway
    after = State(
        energy.charge_j,
        heat,
        attached,
        acquiring_s,
        waiting,
        jobs,
        *_data(served, state),
        underway,
        state.cache_share if served is None else served.cache_share,
        state.kept if served is None else served.kept,
    )
    return after, Tick(capacity, energy, heat, mesh, served, ran)


def _fleet(setup: Setup, state: State, block: Block, i: int) -> tuple[Fleet, Floats]:
    """The ships as they are in a tick, and what their batteries hold: less where parts degrade."""
    thrust_w = block.thrusting[i] * setup.manoeuvres.thrust_w
    fleet = replace(setup.fleet, gpus=block.working[i, : len(setup.fleet.name)], bus_w=setup.fleet.bus_w + thrust_w)
    if block.health is None:
        return fleet, state.charge_j
    battery_j = fleet.battery_j * block.health.battery[i]
    flow = block.health.loop[i]  # coolant carries less from plates and to the radiator
    fleet = replace(
        fleet, battery_j=battery_j, plate_coolant_w_k=fleet.plate_coolant_w_k * flow, coolant_radiator_w_k=fleet.coolant_radiator_w_k * flow
    )  # fmt: skip
    return fleet, np.minimum(state.charge_j, battery_j)


def _data(served: Served | None, before: State) -> tuple[tuple[Buffered, ...], tuple[Tuned, ...], tuple[Scaled, ...]]:
    if served is None:
        return before.streams, before.tuned, before.scaled
    return (
        tuple(s.state for s in served.streamed),
        tuple(t.state for t in served.tuned),
        tuple(s.state for s in served.sized),
    )


def _busy(
    setup: Setup, capacity: Capacity, served: Served | None, ran: batch.Ran | None, load_gpu: Floats | None
) -> Floats:
    """Share of what each ship could compute that it did (K,): all of it where nothing is asked and the ship is free."""
    ships = setup.hosts.ships
    if load_gpu is not None:
        return np.clip(load_gpu / np.maximum(capacity.radiation, 1e-12), 0.0, 1.0)
    if served is None or setup.work.filled:
        return np.ones(ships)
    jobs = 0.0 if ran is None else ran.gpu
    used = (served.inference_gpu + served.training_gpu + served.data_gpu + jobs)[:ships]
    return np.clip(used / np.maximum(capacity.radiation, 1e-12), 0.0, 1.0)


def _jobs(
    setup: Setup, state: State, block: Block, i: int, capacity: Capacity, served: Served | None, mesh: Mesh
) -> batch.Ran | None:
    """Jobs in what services and training leave; none while a plan's calendar counts it all as used."""
    if state.underway is None or served is None or mesh.ways is None or setup.work.filled:
        return None
    free = np.concatenate([capacity.reach, block.working[i, setup.hosts.ships :]])
    sky = (block.outlook.light_s[i], mesh.rate_bit_s)
    return batch.advance(setup, state.underway, float(block.time_s[i]), free, served, mesh.ways, sky)


def connect(setup: Setup, state: State, block: Block, i: int) -> tuple[Mesh, Ints, Floats]:
    """The mesh of a tick: ships take relays, links get range and rate, gateways open the way down."""
    spec, relays = setup.scenario.spec, setup.relay_count
    up_here = ((block.ship_up[i] >= 0.5) & (block.thrusting[i] < 0.5))[:, None]
    ships_m, aloft_m = (np.where(up_here, p[i], np.nan) for p in (block.ships.fixed_m, block.ships.inertial_m))
    nodes_m = np.concatenate([block.relays.fixed_m[i], ships_m])
    terminal, grazing_m = setup.relay_laser, setup.scenario.value("link.grazing")
    spare = np.where(np.isfinite(block.relays.fixed_m[i, :, 0]), spec.relays.ship_terminals, 0).astype(np.int64)
    attached, acquiring_s, alive = handover.attach(
        aloft_m, block.relays.inertial_m[i], state.attached, state.acquiring_s, spare, terminal.max_range_m,
        terminal.acquisition_s if spec.couplings.acquisition else 0.0, spec.step,
        grazing_m=grazing_m, drift_m_s=(block.ships.velocity_m_s[i], block.relays.velocity_m_s[i]),
        view=(block.boresight[i], setup.view_rad),
    )  # fmt: skip
    up, up_alive = handover.ship_pairs(attached, alive, relays)
    climbs = topology.links(nodes_m, up, terminal, up_alive, grazing_m)
    links = topology.join(
        topology.links(nodes_m, block.mesh_pairs, terminal, _joined(block, i), grazing_m),
        climbs,
        *(topology.links(nodes_m, pairs, laser, 1.0, grazing_m) for pairs, laser in setup.neighbours),
    )
    sky = visibility.sky(block.relays.fixed_m[i])
    gateways = visibility.seen(setup.gateways.horizon, sky)
    way_down = downlink.open_share(gateways, setup.gateway_open * block.gateway_up[i], len(nodes_m))
    share = downlink.reach_share(links, way_down)[relays:]
    rate_bit_s = np.bincount(up[:, 1] - relays, climbs.rate_bit_s * climbs.alive, len(state.charge_j)).astype(
        np.float64
    )
    moved = int(((attached != state.attached) & (attached >= 0) & (state.attached >= 0)).sum())
    held = (attached >= 0).sum(axis=1).astype(np.float64)
    way = ways(setup, sky, links, in_service(gateways, block.gateway_up[i])) if setup.work.some else None
    return Mesh(links, sky, gateways, held, share, rate_bit_s, moved, way, attached), attached, acquiring_s


def _joined(block: Block, i: int) -> Floats:
    """1 for each link between relays, 0 where a terminal at one of its ends has dropped out (E,)."""
    alive, (start, link) = np.ones(len(block.mesh_pairs)), block.held
    relay, side = np.divmod(block.links_down[i], faults.TERMINALS)
    at = start[relay] + side
    alive[link[at[at < start[relay + 1]]]] = 0.0
    return alive


def in_service(gateways: Access, up: Floats) -> Access:
    """What gateways in service see; nothing for the others."""
    if (up >= 0.5).all():
        return gateways
    count = np.diff(gateways.start)
    keep = np.repeat(up >= 0.5, count)
    start = np.concatenate([[0], np.cumsum(np.where(up >= 0.5, count, 0))]).astype(np.int64)
    return Access(start, gateways.satellite[keep], gateways.slant_m[keep])
