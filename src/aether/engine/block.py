"""What can be known of a window of ticks before stepping through it: positions, light, attitude, radiation, contacts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aether.base.tables import Bools, Dose, Floats, Ints, Light, Outage, Pose, Track
from aether.engine import faults, streams, work
from aether.engine.assemble import Setup
from aether.engine.manoeuvres import thrusting
from aether.network import topology
from aether.operations import degradation
from aether.space import attitude, motion, power, radiation, sun

WINDOW = 120  # most ticks in a block
BLOCK_BYTES = 250e6  # what the relays of a block may take: fewer ticks at a time for larger meshes
MESH_TERMINALS = 4  # of a relay for other relays: fore, aft, left, right; those for ships come on top
AHEAD_S = 9000.0  # batteries look an orbit ahead (127 min at 2,000 km): the next darkness must end inside


@dataclass(frozen=True)
class Block:
    """A window, (T, ...) each."""

    first: int  # tick number of row 0
    time_s: Floats
    relays: Track
    ships: Track
    light: Light
    pose: Pose
    dose: Dose
    boresight: Floats  # (T, K, 3) middle of the terminals' field of view, inertial; zero where it is not limited
    array_w: Floats  # (T, K) that the arrays make
    outlook: power.Outlook  # (T, K)
    paused: Bools  # (T, K) inside the anomaly, chips wait
    intact: Floats  # (T, K) share of compute that radiation leaves: 0 in a pause, else less what upsets destroy
    mesh_pairs: Ints  # (E, 2) relays that hold one another
    held: tuple[Ints, Ints]  # the rows of `mesh_pairs` in which each relay stands, as `topology.held` has it
    working: Floats  # (T, H) GPUs of each host not failed, worn out or out of service
    ship_up: Floats  # (T, K) share of the tick in which a ship is in service at all
    thrusting: Floats  # (T, K) share of the tick in which a ship thrusts: its lasers lose the mesh
    gateway_up: Floats  # (T, W)
    links_down: tuple[Ints, ...]  # of each tick: terminals of relays that have dropped out
    arrivals: Floats  # (T, Q, C) requests
    interruptions: tuple[tuple[tuple[float, ...], ...], ...]  # of each tick and job: when, seconds into the tick
    made: tuple[streams.Made, ...]  # by each stream of data
    health: degradation.Health | None  # of ships' parts, where any degrade


def block(setup: Setup, first: int, time_s: Floats, previous: Ints | None) -> Block:
    """The Block of some ticks; previous: relay pairs of the block before, kept where nothing better has come."""
    spec, fleet = setup.scenario.spec, setup.fleet
    step_s, ticks = spec.step, len(time_s)
    ahead = np.arange(1, round(AHEAD_S / step_s) + 1) * step_s
    track = motion.propagate(setup.ships_ready, np.concatenate([time_s, time_s[-1] + ahead]), setup.julian)
    light = sun.light(track, setup.julian)
    if not spec.couplings.eclipse:
        light = replace(light, lit=np.ones_like(light.lit))
    pose = attitude.pose(
        track, light, fleet, setup.scenario.value("earth.albedo"), setup.scenario.value("earth.infrared")
    )
    if not spec.couplings.attitude:
        pose = attitude.ideal_pose(light, fleet, setup.scenario.value("attitude.ideal_sink"))
    season = attitude.irradiance_w_m2(np.linalg.norm(light.sun_m, axis=1)) / power.SOLAR_CONSTANT_W_M2
    array_w = fleet.array_rated_w * pose.array_cosine * light.lit * season[:, None]
    health = _health(setup, track.time_s)
    if health is not None:
        array_w = array_w * health.array
    outlook = power.outlook(light.lit, array_w, step_s)
    now = slice(0, ticks)
    ships = Track(
        track.time_s[now], track.inertial_m[now], track.velocity_m_s[now], track.fixed_m[now], track.gmst_rad[now]
    )
    seen = Light(light.time_s[now], light.sun_m[now], light.lit[now], light.beta_rad[now])
    boresight = attitude.boresight(ships, seen, fleet)
    if not spec.couplings.attitude:
        boresight = np.zeros_like(boresight)
    relays = motion.propagate(setup.relays_ready, time_s, setup.julian)
    dose = _dose(setup, ships)
    paused, intact = _intact(setup, dose)
    failed = faults.window(
        (*setup.outages, *_broken(setup), *setup.happenings.struck),
        setup.hosts,
        (setup.relay_count, len(setup.gateways.names)),
        time_s,
        step_s,
        on=spec.couplings.faults,
    )
    pairs = mesh_pairs(setup, relays.fixed_m[ticks // 2], previous)
    relays.fixed_m[failed.relay_down] = np.nan
    relays.inertial_m[failed.relay_down] = np.nan
    return Block(
        first, time_s, relays, ships,
        seen,
        Pose(pose.array_cosine[now], pose.absorbed_w_m2[now], pose.sink_k[now]), dose,
        boresight, array_w[now],
        power.Outlook(outlook.light_s[now], outlook.light_array_w[now], outlook.dark_s[now], outlook.dark_array_w[now]),
        paused, intact, pairs, topology.held(pairs, setup.relay_count), _working(setup, failed), failed.ship_up,
        _thrusting(setup, time_s), failed.gateway_up, failed.links_down,
        work.arrivals(setup.scenario, setup.work, first, time_s),
        faults.interruptions(setup.scenario, setup.work.runs, dose, first, len(time_s), _sudden(setup)),
        tuple(streams.ahead(setup, source, time_s, failed.gateway_up) for source in setup.sources),
        None if health is None else degradation.Health(health.array[now], health.loop[now], health.battery[now]),
    )  # fmt: skip


def _health(setup: Setup, time_s: Floats) -> degradation.Health | None:
    if not setup.degrading or not setup.scenario.spec.couplings.faults:
        return None
    return degradation.health(setup.degrading, setup.drains, len(setup.fleet.name), time_s)


def _broken(setup: Setup) -> list[Outage]:
    """Ships that break since what degraded was let be, and those that rest; none without faults."""
    if not setup.scenario.spec.couplings.faults:
        return []
    return [*degradation.breakdowns(setup.degrading, setup.drains, setup.scenario.clock.duration_s), *setup.drains]


def _sudden(setup: Setup) -> list[Outage]:
    """What takes hosts from under their training: ships that break, ships and sites that events strike."""
    return [*_broken(setup), *(o for o in setup.happenings.struck if o.kind in ("ship", "site"))]


def redrawn(setup: Setup, calm: Block) -> Block:
    """A block made without faults as it is with this setup's: its outages, requests and interruptions; the sky stays.

    setup: faults on, in all else the one that `calm` was made of but for its seed. Returns the Block that `block` would make.
    """
    spec, time_s = setup.scenario.spec, calm.time_s
    if setup.degrading:  # arrays and what batteries look ahead to are others then
        return block(setup, calm.first, time_s, calm.mesh_pairs)
    failed = faults.window(
        (*setup.outages, *_broken(setup), *setup.happenings.struck),
        setup.hosts,
        (setup.relay_count, len(setup.gateways.names)),
        time_s,
        spec.step,
        on=spec.couplings.faults,
    )
    relays = replace(calm.relays, fixed_m=calm.relays.fixed_m.copy(), inertial_m=calm.relays.inertial_m.copy())
    relays.fixed_m[failed.relay_down] = np.nan
    relays.inertial_m[failed.relay_down] = np.nan
    return replace(
        calm, relays=relays, working=_working(setup, failed), ship_up=failed.ship_up, thrusting=_thrusting(setup, time_s), gateway_up=failed.gateway_up,
        links_down=failed.links_down, arrivals=work.arrivals(setup.scenario, setup.work, calm.first, time_s),
        interruptions=faults.interruptions(setup.scenario, setup.work.runs, calm.dose, calm.first, len(time_s), _sudden(setup)),
        made=tuple(streams.ahead(setup, source, time_s, failed.gateway_up) for source in setup.sources),
    )  # fmt: skip


def struck(setup: Setup, ahead: Block) -> Block:
    """A block as it is under this setup's events; setup: in all else the one that `ahead` was made of."""
    relays_gateways = (setup.relay_count, len(setup.gateways.names))
    found = (*setup.outages, *_broken(setup), *setup.happenings.struck)
    failed = faults.window(found, setup.hosts, relays_gateways, ahead.time_s, setup.scenario.spec.step, on=setup.scenario.spec.couplings.faults)  # fmt: skip
    return replace(
        ahead, working=_working(setup, failed), ship_up=failed.ship_up, gateway_up=failed.gateway_up,
        interruptions=faults.interruptions(setup.scenario, setup.work.runs, ahead.dose, ahead.first, len(ahead.time_s), _sudden(setup)),
        made=tuple(streams.ahead(setup, source, ahead.time_s, failed.gateway_up) for source in setup.sources),
    )  # fmt: skip


def _thrusting(setup: Setup, time_s: Floats) -> Floats:
    spec = setup.scenario.spec
    return thrusting(setup.manoeuvres, len(setup.fleet.name), time_s, spec.step, spec.couplings.manoeuvres)


def _working(setup: Setup, failed: faults.Window) -> Floats:
    """GPUs left at each host: less those worn out before the run, those that failed in it, and hosts out of service."""
    left = setup.hosts.gpus * (setup.worn if setup.scenario.spec.couplings.faults else 1.0)
    return np.maximum(left - failed.gpus_lost, 0.0) * failed.host_up


def window(setup: Setup) -> int:
    """Ticks in a block, so that memory does not grow with the mesh: nine floats per relay and tick."""
    return int(max(1, min(WINDOW, BLOCK_BYTES / (72.0 * max(setup.relay_count, 1)))))


def mesh_pairs(setup: Setup, relays_m: Floats, previous: Ints | None) -> Ints:
    """The links that relays hold with one another, by the scenario's policy."""
    relays = setup.scenario.spec.relays
    policy = topology.topologies.get(relays.topology, "relays.topology")
    return policy(setup.relays, relays_m, setup.relay_laser.max_range_m, MESH_TERMINALS, previous)


def _dose(setup: Setup, ships: Track) -> Dose:
    environment = setup.scenario.spec.environment
    threshold = environment.anomaly_flux
    limit = setup.scenario.value("radiation.anomaly_flux") if threshold is None else threshold
    return radiation.exposure(ships.fixed_m, setup.shielding, limit)


def _intact(setup: Setup, dose: Dose) -> tuple[Bools, Floats]:
    """Who pauses, and what share of compute radiation leaves.

    An upset stops the chip's whole NVLink domain of D chips for the recovery time r, so with u upsets per chip and second
    the share at work is 1 / (1 + u D r) (renewal of work and recovery).
    """
    shape = dose.anomaly.shape
    if not setup.scenario.spec.couplings.anomaly:
        return np.zeros(shape, dtype=np.bool_), np.ones(shape)
    domains = [setup.scenario.catalog.accelerator(b.ship.accelerator).domain for b in setup.budgets]
    size = np.minimum(np.array(domains, dtype=np.float64)[setup.group], setup.fleet.gpus)
    work = 1.0 / (1.0 + dose.upset_s * size * setup.scenario.value("radiation.recovery"))
    return dose.anomaly, np.where(dose.anomaly, 0.0, work)
