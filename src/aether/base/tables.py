"""The records that join the rooms: frozen, no behaviour.

Axes in fixed order: time T, then satellite S (relays first, then ships), ship K, ground place G, then xyz.
Times are UTC seconds from the scenario's epoch, at the middle of the tick. Everything is SI; a name ends in its unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Elements:
    """Mean orbital elements (SGP4's, Brouwer mean, TEME), one row per satellite (S,)."""

    epoch_s: Floats  # from the scenario's epoch
    mean_motion_rad_s: Floats  # SGP4's Kozai mean motion
    eccentricity: Floats
    inclination_rad: Floats
    node_rad: Floats
    perigee_rad: Floats
    mean_anomaly_rad: Floats
    bstar: Floats  # drag term [1/Earth radii]; 0 switches drag off
    plane: Ints  # plane within its shell, -1 where none was found
    slot: Ints  # place within the plane, -1 where none was found
    shell: Ints  # which shell of the scenario


@dataclass(frozen=True, slots=True)
class Track:
    """Where satellites are through a window."""

    time_s: Floats  # (T,)
    inertial_m: Floats  # (T, S, 3) TEME
    velocity_m_s: Floats  # (T, S, 3) TEME
    fixed_m: Floats  # (T, S, 3) Earth-fixed
    gmst_rad: Floats  # (T,)


@dataclass(frozen=True, slots=True)
class Light:
    """The Sun through a window."""

    time_s: Floats  # (T,)
    sun_m: Floats  # (T, 3) from the Earth's centre, inertial
    lit: Floats  # (T, K) share of the Sun's disc in view, 0 to 1
    beta_rad: Floats  # (T, K) Sun's elevation over the orbit plane


@dataclass(frozen=True, slots=True)
class Fleet:
    """Compute ships as the engine sees them: one row per ship (K,), from `space.sizing`.

    Powers are at the ship's bus unless said. `age` has already been applied to array and coatings.
    """

    name: tuple[str, ...]
    kind: tuple[str, ...]  # catalog name of the ship's class
    attitude: tuple[str, ...]  # a name in `space.attitude`
    gpus: Floats
    flops_per_gpu: Floats  # dense BF16 [FLOP/s]
    gpu_full_w: Floats  # per GPU at full clocks, its share of CPU, NVLink switches and fans included
    gpu_idle_w: Floats  # per GPU powered but waiting
    clock_min: Floats  # lowest clock as a share of full; below it GPUs take turns
    clock_power_exponent: Floats  # dynamic power ~ clock ** exponent between clock_min and 1
    bus_w: Floats  # avionics, attitude, laser terminals, pumps: served first
    array_rated_w: Floats  # at normal incidence, 1 au, bus side, at this age
    array_area_m2: Floats
    battery_j: Floats  # nameplate
    depth_of_discharge: Floats  # share of nameplate that may be used in normal running
    charge_efficiency: Floats
    discharge_efficiency: Floats
    charge_max_w: Floats
    radiator_area_m2: Floats  # planform; both faces radiate
    radiator_emissivity: Floats
    radiator_absorptivity: Floats  # solar, at this age
    fin_effectiveness: Floats
    chip_j_k: Floats  # thermal masses of the nodes
    plate_j_k: Floats
    coolant_j_k: Floats
    radiator_j_k: Floats
    chip_plate_w_k: Floats  # conductances between them
    plate_coolant_w_k: Floats
    coolant_radiator_w_k: Floats
    chip_limit_k: Floats
    coolant_limit_k: Floats
    shielding_m: Floats  # aluminium equivalent
    terminals: Ints
    terminal: tuple[str, ...]  # catalog name of the laser terminal
    mass_kg: Floats
    drag_area_m2: Floats  # in the ship's attitude


@dataclass(frozen=True, slots=True)
class Pose:
    """What attitude makes of the Sun and the Earth, through a window (T, K)."""

    array_cosine: Floats  # share of full illumination on the array, self-shadow included, eclipse not
    absorbed_w_m2: (
        Floats  # on the radiator per planform area, both faces, eclipse included: Sun, albedo, Earth, own array
    )
    sink_k: Floats  # the temperature at which the radiator emits just that


@dataclass(frozen=True, slots=True)
class Dose:
    """Radiation through a window (T, K)."""

    proton_flux_cm2_s: Floats  # trapped, above 50 MeV, omnidirectional, before shielding
    dose_rad_s: Floats  # behind the ship's shielding, silicon
    anomaly: Bools  # inside the South Atlantic Anomaly by the ship's threshold
    upset_s: Floats  # interrupting upsets per chip and second (uncorrectable memory, functional interrupt)
    corruption_s: Floats  # silent corruptions per chip and second


@dataclass(frozen=True, slots=True)
class Offer:
    """The most GPUs may draw this tick by power alone (K,), from `power.offer`."""

    gpu_w: Floats
    array_w: Floats  # what the array makes
    shed_w: Floats  # of the bus load that cannot be served


@dataclass(frozen=True, slots=True)
class Energy:
    """One tick's energy balance, mean powers (K,): array_w + discharge_w = bus_w + gpu_w + charge_w + curtailed_w."""

    array_w: Floats  # what the array could make
    curtailed_w: Floats  # of it not taken
    bus_w: Floats
    gpu_w: Floats
    charge_w: Floats  # into the battery, before losses
    discharge_w: Floats  # out of the battery, after losses
    charge_j: Floats  # at the tick's end
    shed_w: Floats  # bus load that could not be served


@dataclass(frozen=True, slots=True)
class Heat:
    """Temperatures at the tick's end (K,) and the heat that left in the tick (K,)."""

    chip_k: Floats
    plate_k: Floats
    coolant_k: Floats
    radiator_k: Floats
    rejected_w: Floats  # mean through the tick: net of what the radiator absorbs


@dataclass(frozen=True, slots=True)
class Links:
    """Laser links at one tick, undirected: node numbers (relays first, then ships)."""

    a: Ints  # (E,)
    b: Ints
    range_m: Floats
    rate_bit_s: Floats
    alive: Floats  # share of the tick in which the link carries data (the rest is acquisition)


@dataclass(frozen=True, slots=True)
class Access:
    """Which satellites each ground place sees at one tick, compressed rows: place g owns [start[g], start[g+1])."""

    start: Ints  # (G + 1,)
    satellite: Ints  # (V,)
    slant_m: Floats  # (V,)


@dataclass(frozen=True, slots=True)
class Fields:
    """One-way propagation time from each source to every node [s] (K, N); infinity where there is no path."""

    source: Ints  # (K,) node numbers
    latency_s: Floats32


@dataclass(frozen=True, slots=True)
class Event:
    """Something with a begin and an end."""

    kind: str  # eclipse, anomaly, pass, contact, limit, outage
    subject: str
    start_s: float
    end_s: float
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Capacity:
    """What each ship can deliver in one tick, in GPUs at full clocks (K,): each no larger than the one before."""

    installed: Floats
    working: Floats  # not failed, worn out or in a ship out of service
    power: Floats  # what power lets run
    heat: Floats  # and heat
    radiation: Floats  # less anomaly pauses and what upsets destroy
    reach: Floats  # less the time without a path to a gateway: deliverable


@dataclass(frozen=True, slots=True)
class Serving:
    """How one replica of a model serves at full clocks, by requests in flight (B,), from `workloads.inference`."""

    gpus: int  # of the replica
    batch: Floats  # requests in flight, rising, 1 to what memory holds
    request_s: Floats  # requests per second
    iteration_s: Floats  # between two tokens of an answer
    first_token_s: Floats  # from admission to the first token
    weight_bytes: float
    kv_bytes: float  # of one request at its end


@dataclass(frozen=True, slots=True)
class Outage:
    """Something out of service, from `operations.faults`."""

    kind: str  # ship, relay, link, gateway, site, gpu
    subject: int  # its number among its kind
    start_s: float
    end_s: float  # infinity for what is not repaired
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What placement sees at a tick. Hosts H: ships, then ground sites. Classes of requests Q, places C, jobs W."""

    time_s: float
    step_s: float
    ships: int  # hosts before this number are ships
    requests: Floats  # (Q, C) to be placed: those that waited and those that come in this tick
    free_gpu_s: Floats  # (H,) GPU-seconds at full clocks that hosts can give in this tick
    need_gpu_s: Floats  # (Q, H) of one request; infinity where its model does not fit
    allowed: Bools  # (Q, H) by jurisdiction and by the workload's own choice of hosts
    round_trip_s: Floats32  # (C, H) delivered; infinity without a path
    limit_s: Floats  # (Q,) longest round trip
    value_usd: Floats  # (Q,) worth of one request served
    late_worth: float  # share of that worth left to a request at its longest round trip
    energy_usd: Floats  # (Q, H) price of the energy of one request
    carbon_usd: Floats  # (Q, H) of one request's carbon, at the price that placement holds against it
    light_s: Floats  # (H,) of sunlight left; 0 in darkness, infinite at a site
    charge_share: Floats  # (H,) of the battery; 1 at a site
    contact_s: (
        Floats  # (H,) that a ship's link to the mesh still lasts if both ends fly straight on; infinite at a site
    )
    cache_share: Floats  # (H,) of memory for caches in use in the tick before
    installed_gpu: Floats  # (H,)
    ahead_s: float  # of sunlight or contact that counts as plenty
    weights: tuple[float, ...]  # weights of the router's terms, in its order
    job_gpu: Floats  # (W, H) GPUs that a training job asks of a host; 0 where it has no part
    job_value_usd: Floats  # (W,) worth of a GPU-second of training
    job_apart: frozenset[int] = frozenset()  # jobs whose members go on without one another
    kept: Floats | None = (
        None  # (Q, C, H) share of a prompt that a host still has cached; None where no class reuses any
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs where in a tick, from a placement policy: rows of requests (P,) and the share of training jobs."""

    work: Ints  # (P,) class of request
    place: Ints  # (P,)
    host: Ints  # (P,)
    requests: Floats  # (P,) how many
    job_share: Floats  # (W, H) of `job_gpu` granted, 0 to 1


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one training job has come."""

    step: float  # inner steps done and kept
    phase_s: float  # of compute left to the next synchronisation, at full pace
    sync_bit: float = 0.0  # left to send of the synchronisation under way, each member to the next
    kept_s: float = 0.0  # useful work since the last checkpoint; past the interval, how far its writing is
    down_s: float = 0.0  # of restart still to do


@dataclass(frozen=True, slots=True)
class Buffered:
    """What one stream of data has not made insight yet, in bits by age in ticks (B, S)."""

    waiting: Floats  # (B, S) at the sources
    raw: Floats  # (B, S) the same, had all been sent down raw by the sources' own radio
    attached: Ints  # (S, 1) relay that an imager's laser holds, -1 when free
    acquiring_s: Floats  # (S, 1)


@dataclass(frozen=True, slots=True)
class Tuned:
    """How far one served model's tuning has come."""

    version: int  # that serves everywhere
    busy: int  # 0 gathering, 1 training, 2 sending
    host: int  # that trains, -1 for none
    since_s: float  # since the training of the last version began
    left: float  # samples still to train on
    left_bit: Floats  # (H,) to send to each host
    pending: Floats  # (B,) samples by age in ticks, not in any version yet
    taught: Floats  # (B,) samples in the version under way


@dataclass(frozen=True, slots=True)
class Scaled:
    """Which hosts hold the weights of a service that scales (H,)."""

    ready: Bools
    left_bit: Floats  # of weights on their way
    source: Ints  # host that they come from, -1 for none
    load_s: Floats  # from the last byte's arrival to the first answer, still to go
    since_s: float  # since hosts were last added or let go


@dataclass(frozen=True, slots=True)
class Underway:
    """How far jobs have come that are placed into what is left (J,); members M."""

    done_s: Floats  # of work kept
    best_s: Floats  # of work done at some time, thrown away or not
    host: Ints  # (J, M) of each member, -1 while it does not run
    finished_s: Floats  # when, infinity while not
    preemptions: Floats
    moves: Floats
    lost_s: Floats  # of work thrown away
    moving_s: Floats  # of input or checkpoint still to move
    held_s: Floats  # with GPUs


@dataclass(frozen=True, slots=True)
class State:
    """What lasts from tick to tick."""

    charge_j: Floats  # (K,)
    heat: Heat
    attached: Ints  # (K, terminals) relay that each mesh terminal holds, -1 when free
    acquiring_s: Floats  # (K, terminals) acquisition still to do
    waiting: Floats  # (B, Q, C) requests not served yet, by how many ticks they have waited
    jobs: tuple[Progress, ...] = ()
    streams: tuple[Buffered, ...] = ()
    tuned: tuple[Tuned, ...] = ()
    scaled: tuple[Scaled, ...] = ()
    underway: Underway | None = None  # where the scenario has jobs
    cache_share: Floats | None = None  # (H,) of memory for caches in use, where anything was served
    kept: Floats | None = None  # (Q, C, H) share of a prompt that a host has cached, where a class reuses any


@dataclass(frozen=True, slots=True)
class Factors:
    """What a new ship does and bears by date and age, measured by runs of the engine: groups G, dates D, ages A."""

    dates_s: Floats  # (D,) into the year, rising
    ages_s: Floats  # (A,) rising from 0
    deliverable: Floats  # (G, D, A) share of installed compute that power, heat and radiation leave, nothing failed
    bus_w: Floats  # (G, D, A) mean power of the bus
    gpu_w: Floats  # (G, D, A) mean power of the GPUs
    dose_rad_s: Floats  # (G, D, A) behind the ship's shielding
