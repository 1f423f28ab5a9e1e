"""One tick: the loop that closes. Eclipse drains the battery, power and heat set the clocks, links say what can be reached."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.tables import Access, Capacity, Energy, Floats, Heat, Ints, Links, State
from aether.engine.assemble import Setup
from aether.engine.block import Block
from aether.network import downlink, topology
from aether.space import ground, power, thermal


@dataclass(frozen=True)
class Mesh:
    """The network of one tick."""

    links: Links
    gateways: Access
    attached: Floats  # (K,) mesh terminals that hold a relay
    share: Floats  # (K,) share of the tick with a path to a gateway
    rate_bit_s: Floats  # (K,) over the links to the mesh, less acquisition
    handovers: int  # terminals that went from one relay to another in the tick


@dataclass(frozen=True)
class Tick:
    """What one tick came to."""

    capacity: Capacity
    energy: Energy
    heat: Heat
    mesh: Mesh


def start(setup: Setup, first: Block) -> State:
    """The state before the first tick: batteries full, heat at rest at what the ship can bear, no laser link yet."""
    fleet = setup.fleet
    sink_k = first.pose.sink_k[0]
    gpu_w = np.minimum(fleet.gpus * fleet.gpu_full_w, thermal.steady(fleet, sink_k, fleet.bus_w))
    terminals = np.arange(int(setup.mesh_terminals.max()))
    attached = np.where(terminals < setup.mesh_terminals[:, None], topology.FREE, topology.ABSENT)
    heat = thermal.equilibrium(fleet, sink_k, gpu_w, fleet.bus_w)
    return State(fleet.battery_j.copy(), heat, attached, np.zeros(attached.shape))


def step(setup: Setup, state: State, block: Block, i: int, known: Floats | None = None) -> tuple[State, Tick]:
    """Advance one tick: power offers, heat limits, radiation pauses, the mesh reaches, then power and heat settle.

    known: share of the tick with a path to a gateway (K,), where another run with the same mesh has found it.
    """
    fleet, on, step_s = setup.fleet, setup.scenario.spec.couplings, setup.scenario.spec.step
    sink_k, paused = block.pose.sink_k[i], block.paused[i]
    ahead = power.Outlook(
        *(getattr(block.outlook, k)[i] for k in ("light_s", "light_array_w", "dark_s", "dark_array_w"))
    )

    offered = power.offer(fleet, state.charge_j, block.array_w[i], ahead, step_s, np.ones(len(fleet.name)))
    allowed_w = offered.gpu_w
    if on.heat:
        allowed_w = thermal.limit(fleet, state.heat, sink_k, offered.gpu_w, fleet.bus_w, step_s)
    idle_w = np.minimum(allowed_w, fleet.gpus * fleet.gpu_idle_w)
    energy = power.settle(fleet, state.charge_j, offered, np.where(paused, idle_w, allowed_w), step_s)
    heat = thermal.settle(fleet, state.heat, sink_k, energy.gpu_w, energy.bus_w, step_s)
    mesh, attached, acquiring_s = connect(setup, state, block, i) if known is None else _reached(state, known)

    by_power = power.compute_for_power(fleet, offered.gpu_w)
    by_heat = np.minimum(by_power, power.compute_for_power(fleet, allowed_w))
    by_radiation = by_heat * block.intact[i]
    capacity = Capacity(fleet.gpus, by_power, by_heat, by_radiation, by_radiation * mesh.share)
    return State(energy.charge_j, heat, attached, acquiring_s), Tick(capacity, energy, heat, mesh)


def _reached(state: State, share: Floats) -> tuple[Mesh, Ints, Floats]:
    """The mesh of a tick of which only the ships' reach is known."""
    ends, none, unknown = np.empty(0, dtype=np.int64), np.empty(0), np.zeros(len(share))
    links, seen = Links(ends, ends, none, none, none), Access(np.zeros(1, dtype=np.int64), ends, none)
    return Mesh(links, seen, unknown, share, unknown, 0), state.attached, state.acquiring_s


def connect(setup: Setup, state: State, block: Block, i: int) -> tuple[Mesh, Ints, Floats]:
    """The mesh of a tick: ships take relays, links get range and rate, gateways open the way down."""
    spec, relays = setup.scenario.spec, setup.relay_count
    nodes_m = np.concatenate([block.relays.fixed_m[i], block.ships.fixed_m[i]])
    terminal, grazing_m = setup.relay_laser, setup.scenario.value("link.grazing")
    spare = np.where(np.isfinite(block.relays.fixed_m[i, :, 0]), spec.relays.ship_terminals, 0).astype(np.int64)
    attached, acquiring_s, alive = topology.attach(
        block.ships.inertial_m[i], block.relays.inertial_m[i], state.attached, state.acquiring_s, spare, terminal.max_range_m,
        terminal.acquisition_s if spec.couplings.acquisition else 0.0, spec.step,
        grazing_m=grazing_m, drift_m_s=(block.ships.velocity_m_s[i], block.relays.velocity_m_s[i]),
        view=(block.boresight[i], setup.view_rad),
    )  # fmt: skip
    up, up_alive = topology.ship_pairs(attached, alive, relays)
    climbs = topology.links(nodes_m, up, terminal, up_alive, grazing_m)
    links = topology.join(
        topology.links(nodes_m, block.mesh_pairs, terminal, 1.0, grazing_m),
        climbs,
        *(topology.links(nodes_m, pairs, laser, 1.0, grazing_m) for pairs, laser in setup.neighbours),
    )
    gateways = ground.visible(setup.gateways.fixed_m, block.relays.fixed_m[i], setup.gateways.elevation_rad)
    way_down = downlink.open_share(gateways, setup.gateway_open, len(nodes_m))
    share = downlink.reach_share(links, way_down)[relays:]
    rate_bit_s = np.bincount(up[:, 1] - relays, climbs.rate_bit_s * climbs.alive, len(state.charge_j)).astype(
        np.float64
    )
    moved = int(((attached != state.attached) & (attached >= 0) & (state.attached >= 0)).sum())
    held = (attached >= 0).sum(axis=1).astype(np.float64)
    return Mesh(links, gateways, held, share, rate_bit_s, moved), attached, acquiring_s
