"""A run with all its windows kept and joined, for tests that look at single ticks."""

from dataclasses import fields

import numpy as np

from aether.engine.record import Record
from aether.engine.run import play


def joined(windows):
    """Records of windows in a row as one record of them all."""
    return Record(**{f.name: _joined([getattr(w, f.name) for w in windows]) for f in fields(Record)})


def _joined(parts):
    if isinstance(parts[0], dict):
        return {k: _joined([p[k] for p in parts]) for k in parts[0]}
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    if hasattr(parts[0], "asked"):
        return type(parts[0])(**{f.name: _joined([getattr(p, f.name) for p in parts]) for f in fields(parts[0])})
    return parts[0]  # the first tick's number, and what all windows share


def recorded(setup, network=False):
    """The record of a whole run."""
    windows = []
    play(setup, network=network, each=windows.append)
    return joined(windows)
