"""One search for every crossing in time: eclipse, contact, pass, anomaly, limit."""

from __future__ import annotations

import numpy as np

from aether.base.tables import Event, Floats


def find_events(
    kind: str, subject: str, time_s: Floats, value: Floats, limit: float = 0.0, above: bool = True, most: bool = True
) -> list[Event]:
    """The intervals in which a sampled quantity is above (or below) a limit.

    Crossings are placed by linear interpolation between samples, so their error is of second order in the step.
    time_s, value: (T,) increasing times [s] and samples. `value` of an event is the extreme reached in it (`most`) or 0.
    """
    signed = (value - limit) if above else (limit - value)
    inside = signed > 0.0
    if not inside.any():
        return []
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    span = signed[edges + 1] - signed[edges]
    cross = time_s[edges] - signed[edges] / np.where(span == 0.0, 1.0, span) * (time_s[edges + 1] - time_s[edges])
    starts = list(cross[inside[edges + 1]])
    ends = list(cross[~inside[edges + 1]])
    if inside[0]:
        starts.insert(0, float(time_s[0]))
    if inside[-1]:
        ends.append(float(time_s[-1]))
    events = []
    for start, end in zip(starts, ends, strict=True):
        within = (time_s >= start) & (time_s <= end)
        extreme = 0.0
        if most and within.any():
            extreme = float(value[within].max() if above else value[within].min())
        events.append(Event(kind, subject, float(start), float(end), extreme))
    return events
