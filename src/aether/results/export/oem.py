"""Orbit Ephemeris Messages: CCSDS 502.0-B-2, version 2.0, in keyword = value notation.

Frame: TEME (true equator, mean equinox of date), the frame of SGP4 and of Aether's motion, centred on the Earth. Time:
UTC. Units: km and km/s. Precision: 1e-6 km (1 mm) and 1e-9 km/s, times to the microsecond. One file per satellite.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aether.base.tables import Floats
from aether.results.export import numbers

DEGREE = 7  # of interpolation: within 1 m between states five minutes apart in low orbit, by the error term of [1]


def message(name: str, made: str, dates: NDArray[np.bytes_], inertial_m: Floats, velocity_m_s: Floats) -> bytes:
    """One satellite's file.

    error between states h apart = r (n h)^8 43.1 / 8! in the middle of eight, n the angular rate of the orbit.
    name: of the satellite, OBJECT_NAME and OBJECT_ID. made: UTC date of the file. dates: (T,) UTC as
    2026-06-21T00:00:00.000000. inertial_m, velocity_m_s: (T, 3) TEME [m], [m/s], finite. Returns ASCII text.
    References: [1] Lagrange interpolation. [2] CCSDS 502.0-B-2 (2009), section 5.
    """
    first, last = dates[0].decode(), dates[-1].decode()
    head = (
        f"CCSDS_OEM_VERS = 2.0\nCOMMENT Modelled by Aether, not tracked\nCREATION_DATE = {made}\nORIGINATOR = AETHER\n\n"
        f"META_START\nOBJECT_NAME = {name}\nOBJECT_ID = {name}\nCENTER_NAME = EARTH\nREF_FRAME = TEME\n"
        f"TIME_SYSTEM = UTC\nSTART_TIME = {first}\nSTOP_TIME = {last}\n"
    )
    if len(dates) > DEGREE:
        head += f"INTERPOLATION = LAGRANGE\nINTERPOLATION_DEGREE = {DEGREE}\n"
    states = np.concatenate([inertial_m, velocity_m_s], axis=1)
    body = numbers.rows(np.char.add(dates, b" "), states, (6, 6, 6, 9, 9, 9), (1e-3,) * 6, " ", "\n")
    return b"".join([head.encode("ascii"), b"META_STOP\n\n", body])
