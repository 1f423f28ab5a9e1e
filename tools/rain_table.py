"""Make `src/aether/network/data/rain.csv` from ITU-R P.837-7 and P.839-4.

Needs `pip install itur` (MIT; it carries the Recommendations' digital maps), which Aether itself does not depend on.
Run as `python tools/rain_table.py > src/aether/network/data/rain.csv`.
"""

from __future__ import annotations

import sys

import numpy as np
from itur.models import itu837, itu839

STEP_DEG = 2.5


def main() -> None:
    """Write one row per grid point: latitude, longitude, rain rate exceeded 0.01 % of a year, mean rain height."""
    latitude = np.arange(-90.0, 90.0 + STEP_DEG, STEP_DEG)
    longitude = np.arange(0.0, 360.0, STEP_DEG)
    out = sys.stdout
    out.write("# rain rate exceeded for 0.01 % of an average year [mm/h] and mean annual rain height [km above sea]\n")
    out.write("# source: ITU-R P.837-7 (2017) and P.839-4 (2013), read with itur by tools/rain_table.py\n")
    out.write("# first row: grid step [deg]; then latitudes -90 to 90, each one line of rates and one of heights,\n")
    out.write("# at east longitudes 0, step, ... 360 - step\n")
    out.write(f"{STEP_DEG}\n")
    for row in latitude:
        rows = np.full(longitude.size, np.clip(row, -89.9, 89.9))
        rate = np.asarray(itu837.rainfall_rate(rows, longitude, 0.01).value)
        height = np.asarray(itu839.rain_height(rows, longitude).value)
        out.write(",".join(f"{value:.0f}" for value in rate) + "\n")
        out.write(",".join(f"{value:.1f}" for value in height) + "\n")


if __name__ == "__main__":
    main()
