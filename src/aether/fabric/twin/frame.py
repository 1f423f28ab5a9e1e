"""What the twin of a live fabric tells: hosts as they are now, thresholds that were crossed; as records and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any


@dataclass(frozen=True, slots=True)
class HostFrame:
    """A host as it is now, for people and placement; no event."""

    name: str
    group: str
    accelerator: str  # catalog name
    country: str  # whose law holds
    kind: str  # ship or site
    gpus_installed: float
    gpus_usable: float  # that could compute now: what power, heat, radiation and faults leave, at full clocks
    limit: str  # of these, which takes most: power, heat, radiation, faults; empty where next to nothing is taken
    lit: float  # share of the Sun's disc in view; 1 at a site
    charge_share: float | None  # of the battery's nameplate
    chip_k: float | None
    coolant_k: float | None
    radiator_k: float | None
    contact: bool  # reached for more than half the tick
    gateway_share: float  # share of the tick with a way to a gateway
    link_bit_s: float | None  # of a ship's links to the mesh together; None at a site, whose fibre is not bounded
    gpu_full_w: float  # of one at full clocks, its share of the host's power in it
    energy_usd_j: float
    latitude_deg: float
    longitude_deg: float
    altitude_m: float
    eclipse_in_s: float | None  # to the next darkness, 0 in it; None where none is in sight
    up: bool  # in service
    paused: bool  # chips wait inside a radiation anomaly
    gone_in_s: float | None = (
        None  # until it is out of reach by its orbit, 0 while it is; None where that is not in sight
    )


@dataclass(frozen=True, slots=True)
class Condition:
    """What a host may do from a time on: told when it changes, and of all hosts at first."""

    host: str
    time_s: float  # Unix, UTC
    gpus: int  # that may run
    limit: str
    contact: bool
    lit: bool
    up: bool


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether a host is within a watched round trip of a place from a time on."""

    host: str
    place: str
    limit_s: float
    within: bool
    time_s: float  # Unix, UTC


@dataclass(frozen=True, slots=True)
class Frame:
    """The hosts at the last tick that was stepped, and every threshold crossed since the frame before."""

    time_s: float  # Unix, UTC: start of that tick
    hosts: tuple[HostFrame, ...]
    conditions: tuple[Condition, ...]
    reaches: tuple[Reach, ...]
    round_trip_s: dict[str, dict[str, float]]  # between each watched place and the hosts that it reaches


_HOST, _CONDITION, _REACH = (attrgetter(*kind.__slots__) for kind in (HostFrame, Condition, Reach))


def to_json(frame: Frame) -> dict[str, Any]:
    """A Frame as JSON has it: rows without the fields' names, which would be half of it."""
    return {
        "time_s": frame.time_s,
        "hosts": [_HOST(h) for h in frame.hosts],
        "conditions": [_CONDITION(c) for c in frame.conditions],
        "reaches": [_REACH(r) for r in frame.reaches],
        "round_trip_s": frame.round_trip_s,
    }


def from_json(data: dict[str, Any]) -> Frame:
    """The Frame that `to_json` has written."""
    return Frame(
        data["time_s"],
        tuple(HostFrame(*row) for row in data["hosts"]),
        tuple(Condition(*row) for row in data["conditions"]),
        tuple(Reach(*row) for row in data["reaches"]),
        data["round_trip_s"],
    )
