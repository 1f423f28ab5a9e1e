"""CZML, the JSON that Cesium draws: satellites as sampled positions, links as lines with the times they hold.

Frame: FIXED, turning with the Earth; CZML's INERTIAL is the ICRF, from which Aether's inertial frame is a third of a
degree of precession away. Time: UTC. Units: metres, seconds from the epoch. Precision: 0.1 m; what is drawn between
samples is Lagrange's polynomial of degree 5, within `ERROR_M` when sampled by `sample_step`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from aether.base.tables import Floats
from aether.results.export import numbers

DEGREE = 5  # of the interpolation that readers are asked for: six samples about a time
ERROR_M = 10.0  # between samples, ours: a fraction of a pixel unless one looks at the satellite itself
STEPS_S = (1, 2, 5, 10, 15, 20, 30, 60, 90, 120, 150, 180, 240, 300)  # whole parts of an hour
_END = 0.5 * 0.5 * 1.5 * 2.5 * 3.5 * 4.5 / 720.0  # |product of distances to the nodes| / 6! in the first of five gaps
_RELAY, _SHIP, _LINK = [120, 190, 255, 160], [255, 190, 60, 255], [120, 255, 170, 90]


def sample_step(rate_rad_s: float, radius_m: float) -> float:
    """The longest step between samples whose interpolation stays within `ERROR_M`.

    error = r (w h)^6 0.0205, the remainder of degree 5 on a circle in the first gap between samples, where it is worst.
    rate_rad_s: fastest angular rate of a satellite in the frame [rad/s]. radius_m: farthest from the Earth's centre
    [m]. Returns [s], one of `STEPS_S`. Valid for near-circular orbits; the shortest step is returned where none is
    enough. Reference: [1] remainder of Lagrange's interpolation.
    """
    most = (ERROR_M / (_END * radius_m)) ** (1.0 / 6.0) / rate_rad_s
    return float(max((s for s in STEPS_S if s <= most), default=STEPS_S[0]))


def date(when: datetime) -> str:
    """A UTC date as CZML writes it."""
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond:06d}Z"


def opening(name: str, start: datetime, duration_s: float) -> bytes:
    """The document packet with its clock; satellites and links follow it, then `CLOSING`.

    name: of the document. start: UTC. duration_s: [s]. Returns JSON. Reference: [1] CZML Guide, Cesium.
    """
    begin, end = date(start), date(start + timedelta(seconds=duration_s))
    clock = {"interval": f"{begin}/{end}", "currentTime": begin, "multiplier": 60, "range": "LOOP_STOP"}
    return b"[\n" + _json({"id": "document", "name": name, "version": "1.0", "clock": clock})


CLOSING = b"\n]\n"


def satellite(identifier: str, label: str, start: datetime, time_s: Floats, fixed_m: Floats) -> bytes:
    """One satellite's packet, with its comma before it.

    identifier: of the packet. label: text beside a ship; empty for a relay, which is drawn as a dot. start: UTC, the
    epoch of the samples. time_s: (T,) whole milliseconds [s]. fixed_m: (T, 3) Earth-fixed [m], finite. Returns JSON.
    Reference: [1] CZML Guide, Cesium.
    """
    begin, end = (date(start + timedelta(seconds=float(time_s[i]))) for i in (0, -1))
    shown = {"pixelSize": 6 if label else 2, "color": {"rgba": _SHIP if label else _RELAY}}
    packet: dict[str, object] = {
        "id": identifier, "name": label or identifier, "availability": f"{begin}/{end}", "point": shown,
    }  # fmt: skip
    if label:
        beside = {"cartesian2": [8, 0]}
        packet["label"] = {
            "text": label, "font": "11px sans-serif", "pixelOffset": beside, "horizontalOrigin": "LEFT",
        }  # fmt: skip
    place = {
        "epoch": date(start), "referenceFrame": "FIXED", "interpolationAlgorithm": "LAGRANGE",
        "interpolationDegree": DEGREE,
    }  # fmt: skip
    values = np.concatenate([time_s[:, None], fixed_m], axis=1)
    head = np.full(len(values), b",")
    head[0] = b""
    body = numbers.rows(head, values, (0 if (time_s % 1.0 == 0.0).all() else 3, 1, 1, 1), (1.0,) * 4, ",", "")
    opened = _json(packet)[:-1] + b',"position":' + _json(place)[:-1] + b',"cartesian":['
    return b"".join([b",\n", opened, body, b"]}}"])


def link(identifier: str, ends: tuple[str, str], start: datetime, held_s: Sequence[tuple[float, float]]) -> bytes:
    """One link's packet, with its comma before it: a straight line while the link holds.

    identifier: of the packet. ends: identifiers of two satellites. start: UTC. held_s: when it begins and ends [s] from
    the start. Returns JSON. Reference: [1] CZML Guide, Cesium.
    """
    spans = [f"{date(start + timedelta(seconds=a))}/{date(start + timedelta(seconds=b))}" for a, b in held_s]
    line = {
        "positions": {"references": [f"{end}#position" for end in ends]}, "arcType": "NONE", "width": 1,
        "material": {"solidColor": {"color": {"rgba": _LINK}}},
    }  # fmt: skip
    return b",\n" + _json({"id": identifier, "availability": spans, "polyline": line})


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
