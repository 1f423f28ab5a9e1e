"""Write the element file of the `real-elements` example from our own shells: `python tools/example_elements.py`."""

from pathlib import Path

import numpy as np

from aether.base.clock import iso_date, julian_date
from aether.scenario.catalog import Shell
from aether.space import elements, orbits

EPOCH = "2026-06-21T00:00:00Z"
SHELLS = (
    Shell(planes=24, per_plane=18, altitude="550 km", inclination="53 deg", odd_plane_offset=0.5),  # type: ignore[arg-type]
    Shell(planes=12, per_plane=12, altitude="570 km", inclination="70 deg", odd_plane_offset=0.5),  # type: ignore[arg-type]
)


def main() -> None:
    """Two shells, in a shuffled order, since planes are to be found."""
    made = orbits.join(*(
        orbits.walker(s.planes, s.per_plane, s.altitude, s.inclination, shell=i, odd_plane_offset=s.odd_plane_offset)
        for i, s in enumerate(SHELLS)
    ))  # fmt: skip
    order = np.random.Generator(np.random.PCG64(1)).permutation(len(made.epoch_s))
    shuffled = type(made)(**{k: getattr(made, k)[order] for k in made.__dataclass_fields__})
    names = [f"AETHER {i}" for i in order]
    folder = Path(__file__).resolve().parent.parent / "src" / "aether" / "examples"
    text = elements.write_tle(shuffled, names, julian_date(iso_date(EPOCH)))
    (folder / "real-elements.tle").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
