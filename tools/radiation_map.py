"""Make the table of trapped particles that the package ships: src/aether/space/data/trapped.npz.

Run it in an environment of its own, with numpy and aep8 (NASA's AP8/AE8 through IRBEM, BSD-3; it brings astropy):

    python tools/radiation_map.py src/aether/space/data/trapped.npz

The models are evaluated in the magnetic fields that they were made with, which they need to give right counts:
Jensen and Cain 1960 for AP8 MIN and for AE8, GSFC 12/66 carried to 1970 for AP8 MAX.
"""

from __future__ import annotations

import sys
from pathlib import Path

import aep8
import numpy as np
from astropy import units as u
from astropy.coordinates import EarthLocation
from astropy.time import Time

LATITUDE_DEG = np.arange(-90.0, 90.1, 3.0)
LONGITUDE_DEG = np.arange(-180.0, 180.0, 5.0)
ALTITUDE_KM = np.array([300, 350, 400, 450, 500, 550, 600, 650, 700, 800, 900, 1000, 1200, 1400, 1700, 2000], float)
PROTON_MEV = np.array([10, 20, 30, 50, 70, 100, 150, 200, 300, 400], float)
ELECTRON_MEV = np.array([0.5, 1, 2, 3, 4, 5], float)
STEP_DEX = 0.01  # of log10(1 + flux): 2.3 % at most


def main(path: Path) -> None:
    """Evaluate the models on the grid and write log10(1 + flux [1/cm2/s]) in steps of STEP_DEX."""
    altitude, latitude, longitude = np.meshgrid(ALTITUDE_KM, LATITUDE_DEG, LONGITUDE_DEG, indexing="ij")
    where = EarthLocation.from_geodetic(longitude * u.deg, latitude * u.deg, altitude * u.km)
    when = Time("1970-01-01")  # the fields of the models are fixed; the date only has to be valid
    tables = {}
    for particle, energies in (("p", PROTON_MEV), ("e", ELECTRON_MEV)):
        for solar in ("min", "max"):
            model = aep8.model(particle=particle, solar=solar)
            shell, field = model.geomagnetic_coordinates(where, when)
            with np.errstate(invalid="ignore"):
                flux = np.stack(
                    [
                        model.integral_flux_for_geomagnetic_coordinates(shell, field, energy * u.MeV).value
                        for energy in energies
                    ]
                )
            flux = np.nan_to_num(np.where(flux > 0.0, flux, 0.0), nan=0.0, posinf=0.0)
            tables[f"{particle}_{solar}"] = np.round(np.log10(1.0 + flux) / STEP_DEX).astype(np.uint16)
    np.savez_compressed(
        path,
        latitude_deg=LATITUDE_DEG, longitude_deg=LONGITUDE_DEG, altitude_km=ALTITUDE_KM,
        proton_mev=PROTON_MEV, electron_mev=ELECTRON_MEV, step_dex=STEP_DEX, **tables,
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
