"""Make the coastlines that the report's map draws: src/aether/results/data/land.json.

Source: Natural Earth, 1:110m land (public domain, naturalearthdata.com), in TopoJSON as the npm package world-atlas
ships it (countries-110m.json):

    python tools/land.py countries-110m.json src/aether/results/data/land.json

Rings are decoded, cut where the source closes them along the map's edge, thinned by Douglas and Peucker's rule and
written in tenths of a degree, longitude and latitude in turn.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

THINNING_DEG = 0.25  # on a map 800 px wide a pixel is 0.45 degrees
LEAST_EXTENT_DEG = 1.2  # smaller islands would be specks


def main(source: Path, target: Path) -> None:
    """Write the polylines of every coast."""
    topology = json.loads(source.read_text(encoding="utf-8"))
    lines = [
        np.round(10 * thin(part)).astype(int).ravel().tolist()
        for ring in rings(topology)
        if np.ptp(ring, axis=0).max() >= LEAST_EXTENT_DEG
        for part in cut(ring)
    ]
    told = {"source": "Natural Earth 1:110m land, public domain", "unit": "0.1 deg, longitude and latitude in turn"}
    target.write_text(json.dumps(told | {"lines": lines}, separators=(",", ":")) + "\n", encoding="utf-8")


def rings(topology: dict[str, Any]) -> Iterator[np.ndarray]:
    """Every ring of the land as (N, 2) longitude and latitude [deg]."""
    scale, shift = (np.array(topology["transform"][k]) for k in ("scale", "translate"))
    arcs = [np.cumsum(arc, axis=0) * scale + shift for arc in topology["arcs"]]
    for shape in topology["objects"]["land"]["geometries"]:
        polygons = shape["arcs"] if shape["type"] == "MultiPolygon" else [shape["arcs"]]
        for ring in (r for polygon in polygons for r in polygon):
            parts = [arcs[i] if i >= 0 else arcs[~i][::-1] for i in ring]
            yield np.concatenate([parts[0], *(p[1:] for p in parts[1:])])


def cut(ring: np.ndarray) -> Iterator[np.ndarray]:
    """The ring without what runs along the date line or under the pole."""
    edge = (np.abs(ring[:, 0]) > 179.9) | (ring[:, 1] < -85.0)
    seam = edge[:-1] & edge[1:] | (np.abs(np.diff(ring[:, 0])) > 180.0)
    for part in np.split(ring, np.flatnonzero(seam) + 1):
        if len(part) > 1:
            yield part


def thin(line: np.ndarray) -> np.ndarray:
    """The line without points nearer than THINNING_DEG to the chord of their neighbours."""
    if len(line) < 3:
        return line
    along, off = line[-1] - line[0], line - line[0]
    length = float(np.hypot(*along))
    away = np.abs(along[0] * off[:, 1] - along[1] * off[:, 0]) / length if length > 1e-9 else np.hypot(*off.T)
    far = int(away.argmax())
    if away[far] < THINNING_DEG:
        return line[[0, -1]]
    return np.concatenate([thin(line[: far + 1])[:-1], thin(line[far:])])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
