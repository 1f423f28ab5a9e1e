"""Clusters: satellites that stay within a kilometre or so of one another without being held.

All members share one orbit plane, one mean axis and one mean argument of latitude at the reference, and differ in
their eccentricity vectors. To first order each then runs around the reference on an ellipse of half axes a e (radial)
and 2 a e (along the track), once a turn, and the cluster keeps its outline while its lattice shears twice a turn.

References
[1] T. Aguera y Arcas et al., Project Suncatcher, arXiv:2511.19468, 2025, section 2.2.
[2] G. W. Hill, Researches in the lunar theory, American J. Mathematics 1, 1878; W. H. Clohessy, R. S. Wiltshire,
    Terminal guidance system for satellite rendezvous, J. Aerospace Sciences 27, 1960.
[3] S. D'Amico, O. Montenbruck, Proximity operations of formation-flying spacecraft using an eccentricity/inclination
    vector separation, J. Guidance, Control and Dynamics 29, 2006.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from aether.base.tables import Elements, Floats, Ints, Track
from aether.space.motion import THEORY_KE, THEORY_RADIUS_M, brouwer_axis
from aether.space.orbits import circular


def lattice(count: int) -> Ints:
    """The points of a square lattice nearest to its origin (count, 2), from the inside out.

    Reference [1]: 81 points fill a circle of five spacings.
    """
    reach = math.isqrt(count) + 1
    axis = np.arange(-reach, reach + 1)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    order = np.lexsort((grid[:, 1], grid[:, 0], (grid**2).sum(axis=1)))
    return np.asarray(grid[order[:count]], dtype=np.int64)


def cluster(
    count: int,
    radius_m: float,
    altitude_m: float,
    inclination_rad: float,
    node_rad: float = 0.0,
    phase_rad: float = 0.0,
    epoch_s: float = 0.0,
    shell: int = 0,
) -> Elements:
    """A planar cluster on a sheared square lattice, bounded without control in the theory that propagates it.

    Member at lattice point (p, q): radial offset p d, along-track offset 2 q d, with d = R / (2 rho) and rho the
    lattice's radius in spacings. Eccentricity e = d sqrt(p^2 + q^2) / a with the perigee such that x = -a e cos M,
    y = 2 a e sin M; the mean anomaly keeps the argument of latitude, and the mean motion its mean rate.

    count: members. radius_m R: the farthest any member comes from the middle [m]. altitude_m, inclination_rad,
    node_rad, phase_rad, epoch_s: of the middle, as `orbits.circular`. The ratio of the published ellipses, 2 : 1.0037,
    corrects osculating offsets for J2; here the offsets are mean ones, in which it is 2 : 1 and J2 acts on all members
    alike. Plane 0, slots in the order of `lattice`. Returns elements (count,). References [1], [2], [3].
    """
    points = lattice(count).astype(np.float64)
    spacing = radius_m / 2.0 / max(1.0, float(np.sqrt((points**2).sum(axis=1)).max()))
    middle = circular(altitude_m, inclination_rad, np.array([node_rad]), np.array([phase_rad]), shell=shell)
    cosine = math.cos(inclination_rad)
    axis = float(brouwer_axis(middle.mean_motion_rad_s * 60.0, np.zeros(1), np.array([cosine]))[0])
    eccentricity = spacing * np.sqrt((points**2).sum(axis=1)) / (axis * THEORY_RADIUS_M)
    anomaly = np.arctan2(points[:, 1], -points[:, 0])
    # y = 2 a e sin M is the equation of the centre, so mean latitude is the same for all: M + perigee = phase
    ones = np.ones(count)
    return replace(
        middle,
        epoch_s=epoch_s * ones,
        mean_motion_rad_s=_same_turn(axis, eccentricity, cosine) / 60.0,
        eccentricity=eccentricity,
        inclination_rad=inclination_rad * ones,
        node_rad=node_rad % (2.0 * math.pi) * ones,
        perigee_rad=np.mod(phase_rad - anomaly, 2.0 * math.pi),
        mean_anomaly_rad=np.mod(anomaly, 2.0 * math.pi),
        bstar=np.zeros(count),
        plane=np.zeros(count, dtype=np.int64),
        slot=np.arange(count),
        shell=np.full(count, shell, dtype=np.int64),
    )


def _same_turn(axis: float, eccentricity: Floats, cosine: float) -> Floats:
    """Kozai mean motions [rad/min] that put every member on one Brouwer axis [Earth radii]."""
    wanted = THEORY_KE / axis**1.5
    motion = np.full(len(eccentricity), wanted)
    for _ in range(8):
        motion *= (brouwer_axis(motion, eccentricity, np.full(len(eccentricity), cosine)) / axis) ** 1.5
    return motion


def offsets(track: Track, member: int = 0) -> Floats:
    """Places relative to one member in its radial, along-track and cross-track frame [m] (T, S, 3).

    x along r, z along r x v, y completing.

    track: with its inertial arrays (T, S, 3). member: whose frame. Reference [2].
    """
    middle, velocity = track.inertial_m[:, member], track.velocity_m_s[:, member]
    radial = middle / np.linalg.norm(middle, axis=-1, keepdims=True)
    normal = np.cross(middle, velocity)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    frame = np.stack([radial, np.cross(normal, radial), normal], axis=1)
    return np.asarray(np.einsum("tax,tsx->tsa", frame, track.inertial_m - middle[:, None, :]))


def neighbours(count: int) -> Ints:
    """Pairs of members one lattice step apart (E, 2), in the numbering of `lattice`. Reference [1]."""
    points = lattice(count)
    number = {(int(p), int(q)): index for index, (p, q) in enumerate(points)}
    pairs = [
        (index, number[other])
        for (p, q), index in number.items()
        for other in ((p + 1, q), (p, q + 1))
        if other in number
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def distances(track: Track, pairs: Ints) -> Floats:
    """The distance of each pair through a window [m] (T, E). pairs: (E, 2) satellite numbers. Reference [1]."""
    return np.asarray(np.linalg.norm(track.inertial_m[:, pairs[:, 0]] - track.inertial_m[:, pairs[:, 1]], axis=-1))
