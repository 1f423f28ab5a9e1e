"""The theory of motion once more, one satellite and instant at a time, for the tests of the kernels.

Without drag and decay, written from Spacetrack Report No. 3 and AIAA 2006-6753 in their order and units (Earth radii,
minutes, radians), without the kernels' layout, series or turns.
"""

import math

KM = 6378.135  # WGS-72
KE = 60.0 / math.sqrt(KM**3 / 398600.8)
J2, J3, J4 = 1.082616e-3, -2.53881e-6, -1.65597e-6


def start(epoch_s, motion_rad_s, e, inclination, node, perigee, anomaly):
    """What `place` needs, in floats."""
    kozai, th = motion_rad_s * 60.0, math.cos(inclination)
    first = (KE / kozai) ** (2.0 / 3.0)
    factor = 0.75 * J2 * (3.0 * th**2 - 1.0) / (1.0 - e**2) ** 1.5
    delta = factor / first**2
    better = first * (1.0 - delta * (1.0 / 3.0 + delta * (1.0 + 134.0 / 81.0 * delta)))
    n = kozai / (1.0 + factor / better**2)
    a = (KE / n) ** (2.0 / 3.0)
    p = a * (1.0 - e**2)
    one = 1.5 * J2 / p**2 * n
    two, four, beta = 0.5 * one * J2 / p**2, -15.0 / 32.0 * J4 / p**4 * n, math.sqrt(1.0 - e**2)
    m_dot = n + 0.5 * one * beta * (3 * th**2 - 1) + two * beta * (13 - 78 * th**2 + 137 * th**4) / 16.0
    arg_dot = -0.5 * one * (1 - 5 * th**2) + two * (7 - 114 * th**2 + 395 * th**4) / 16.0
    arg_dot += four * (3 - 36 * th**2 + 49 * th**4)
    node_dot = th * (-one + 0.5 * two * (4 - 19 * th**2) + 2.0 * four * (3 - 7 * th**2))
    return epoch_s, a, e, inclination, anomaly, m_dot, perigee, arg_dot, node, node_dot


def place(start, time_s, gmst, sine_cosine):
    """Earth-fixed x, y, z [m]; `sine_cosine` of radians."""
    epoch_s, a, e, inclination, anomaly, m_dot, perigee, arg_dot, node, node_dot = start
    t = (time_s - epoch_s) / 60.0
    si, th = sine_cosine(inclination)
    p = a * (1.0 - e * e)
    s, c = sine_cosine(perigee + arg_dot * t)
    ax, ay = e * c, e * s - 0.5 * J3 / J2 * si / p
    u = anomaly + m_dot * t + perigee + arg_dot * t - 0.25 * J3 / J2 * si * (3.0 + 5.0 * th) / (1.0 + th) / p * ax
    longitude = u
    s, c = sine_cosine(longitude)
    for _ in range(20):
        step = (u - longitude + ax * s - ay * c) / (1.0 - ax * c - ay * s)
        longitude += min(0.95, max(-0.95, step))
        s, c = sine_cosine(longitude)
        if abs(step) < 1e-13:
            break
    near, e_sin, square = 1.0 - ax * c - ay * s, ax * s - ay * c, ax * ax + ay * ay
    beta, parameter = math.sqrt(1.0 - square), a * (1.0 - square)
    su = (s - ay - ax * e_sin / (1.0 + beta)) / near
    cu = (c - ax + ay * e_sin / (1.0 + beta)) / near
    sin2, cos2 = 2.0 * su * cu, 1.0 - 2.0 * su * su
    half, quarter = 0.5 * J2 / parameter, 0.5 * J2 / (parameter * parameter)
    radius = a * near * (1.0 - 1.5 * quarter * beta * (3.0 * th * th - 1.0)) + 0.5 * half * (1.0 - th * th) * cos2
    s, c = sine_cosine(-0.25 * quarter * (7.0 * th * th - 1.0) * sin2)
    su, cu = su * c + cu * s, cu * c - su * s
    so, co = sine_cosine(node + node_dot * t + 1.5 * quarter * th * sin2 - gmst)
    si, ci = sine_cosine(inclination + 1.5 * quarter * th * si * cos2)
    metres = radius * KM * 1000.0
    return metres * (co * cu - so * ci * su), metres * (so * cu + co * ci * su), metres * si * su


def circle(start, time_s, gmst):
    """Earth-fixed x, y, z [m] on a circle of the mean radius."""
    epoch_s, a, e, inclination, anomaly, m_dot, perigee, arg_dot, node, node_dot = start
    t = (time_s - epoch_s) / 60.0
    u, o = anomaly + perigee + (m_dot + arg_dot) * t, node + node_dot * t - gmst
    p, th = a * (1.0 - e**2), math.cos(inclination)
    metres = a * (1.0 - 0.75 * J2 / p**2 * (3.0 * th**2 - 1.0)) * KM * 1000.0
    x, y, z = math.cos(u), math.sin(u) * th, math.sin(u) * math.sin(inclination)
    return metres * (x * math.cos(o) - y * math.sin(o)), metres * (x * math.sin(o) + y * math.cos(o)), metres * z
