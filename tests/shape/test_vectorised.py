"""Kernels that should use a processor's wide registers do, seen by their lead over a plain loop in the same process.

The loops below compute the same with the same sine and cosine, one satellite after another. Were a kernel to lose its
vectors (an index that may be negative, arrays that may overlap), its lead would fall to a fraction.
"""

import math
import time
from statistics import median

import numpy as np
import pytest
from llvmlite.binding import get_host_cpu_features
from numba import njit

import motion_twin
from aether.space import motion, motion_kernels, orbits, sun

# Between what was seen on eight lanes (24, 5.6 and 10) and what is left with NUMBA_LOOP_VECTORIZE=0 (4.5, 1.4 and 3.9);
# the rest of a lead is shorter chains and fewer divisions.
LEAD = {"sgp4": 7.0, "j2": 2.1, "eclipse": 5.5}
FEATURES = get_host_cpu_features()
pytestmark = pytest.mark.skipif(not (FEATURES.get("avx2") and FEATURES.get("fma")), reason="fewer than four lanes")


@njit
def sine_cosine(angle):
    return motion_kernels._sine_cosine(angle * (0.5 / math.pi))


plain_place = njit(motion_twin.place)


@njit
def plain_places(starts, time_s, gmst, out):
    for i in range(len(time_s)):
        for j in range(len(starts)):
            s = starts[j]
            start = (s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9])
            out[i, j, 0], out[i, j, 1], out[i, j, 2] = plain_place(start, time_s[i], gmst[i], sine_cosine)


@njit
def plain_circles(starts, time_s, gmst, out):
    for i in range(len(time_s)):
        for j in range(len(starts)):
            s = starts[j]
            t = (time_s[i] - s[0]) / 60.0
            su, cu = sine_cosine(s[4] + s[6] + (s[5] + s[7]) * t)
            so, co = sine_cosine(s[8] + s[9] * t - gmst[i])
            si, ci = sine_cosine(s[3])
            metres = s[1] * 6378135.0
            if metres > 1e9:
                break  # no orbit, but a loop that may end early stays one by one
            out[i, j, 0], out[i, j, 1] = metres * (co * cu - so * ci * su), metres * (so * cu + co * ci * su)
            out[i, j, 2] = metres * si * su


@njit
def plain_shadow(place, sun_m, out):
    for i in range(len(place)):
        for j in range(place.shape[1]):
            x, y, z = place[i, j]
            out[i, j] = sun._share(x, y, z, sun_m[i, 0], sun_m[i, 1], sun_m[i, 2])


def lead(plain, quick) -> float:
    """How many times quicker, by turns so that a busy machine slows both: the median of the ratios."""
    plain(), quick()
    ratios = []
    for _ in range(15):
        begun = time.thread_time()
        plain()
        between = time.thread_time()
        for _ in range(4):
            quick()
        ratios.append(4.0 * (between - begun) / (time.thread_time() - between))
    return median(ratios)


@pytest.fixture(scope="module")
def sky():
    shell = orbits.walker(16, 32, 550e3, 0.9, eccentricity=1e-4)
    time_s = np.arange(20) * 60.0
    names = ("epoch_s", "mean_motion_rad_s", "eccentricity", "inclination_rad", "node_rad", "perigee_rad")
    columns = [getattr(shell, n) for n in (*names, "mean_anomaly_rad")]
    starts = np.array([motion_twin.start(*map(float, row)) for row in zip(*columns, strict=True)])
    return shell, time_s, starts


@pytest.mark.parametrize(("theory", "plain"), [("sgp4", plain_places), ("j2", plain_circles)])
def test_positions_are_computed_many_at_a_time(sky, theory, plain) -> None:
    shell, time_s, starts = sky
    ready, out, gmst = motion.prepare(shell), np.empty((20, 512, 3)), sun.gmst_at(2461000.5, time_s)
    quick = lead(
        lambda: plain(starts, time_s, gmst, out), lambda: motion.positions(ready, time_s, 2461000.5, theory, out=out)
    )
    assert quick > LEAD[theory]


def test_the_eclipse_is_computed_many_at_a_time(sky) -> None:
    shell, time_s, _ = sky
    place, out = motion.propagate(shell, time_s, 2461000.5).inertial_m, np.empty((20, 512))
    sun_m = sun.position(2461000.5 + time_s / 86400.0)
    assert lead(lambda: plain_shadow(place, sun_m, out), lambda: sun.lit(place, sun_m)) > LEAD["eclipse"]
