"""Places by name: a city or gateway of the catalog, accents and case aside."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from aether.base.errors import Problem, nearest
from aether.scenario.catalog import Catalog
from aether.scenario.spec import Place


def find_place(catalog: Catalog, name: str) -> Place | Problem:
    """The place of a city or gateway name; a bare city name that several share means the one five times larger than the next."""
    wanted = _plain(name)
    index = _index(catalog)
    exact = index.get(name.strip().casefold()) or index.get(wanted)
    if exact is not None:
        return _spot(exact)
    shared = sorted((index[k] for k in index if k.split(",")[0] == wanted), key=lambda r: -getattr(r, "population", 0))
    if shared and (len(shared) == 1 or getattr(shared[0], "population", 0) >= 5 * getattr(shared[1], "population", 0)):
        return _spot(shared[0])
    if shared:
        return Problem(
            "", f"several places are called '{name}'", next="Say which: " + "; ".join(r.name for r in shared[:6])
        )
    near = nearest(wanted, index)
    return Problem("", f"unknown place '{name}'", index[near].name if near else "",
                   "Give a city of over 100,000 people, a gateway, a ship as group/number, or name, latitude and longitude")  # fmt: skip


_INDEX: dict[int, tuple[Catalog, dict[str, Any]]] = {}


def _index(catalog: Catalog) -> dict[str, Any]:
    kept = _INDEX.get(id(catalog))
    if kept is None or kept[0] is not catalog:
        rows: dict[str, Any] = {}
        cities = sorted(catalog.kind("cities").values(), key=lambda c: -getattr(c, "population", 0))
        places = [*cities, *catalog.kind("gateways").values()]
        for key in (str.casefold, _plain):  # a name as written goes before one that is alike without its accents
            for row in places:
                rows.setdefault(key(row.name), row)
        _INDEX.clear()
        kept = _INDEX[id(catalog)] = (catalog, rows)
    return kept[1]


def _spot(row: Any) -> Place:
    radian = 0.017453292519943295  # pi/180
    country = getattr(row, "country", None)
    return Place.model_construct(
        name=row.name,
        latitude=row.latitude * radian,
        longitude=row.longitude * radian,
        country=country,
        people=0.0,
        fibre=True,
    )


def _plain(name: str) -> str:
    """A name without accents, in lower case."""
    letters = unicodedata.normalize("NFKD", name)
    return re.sub(r"\s+", " ", "".join(c for c in letters if not unicodedata.combining(c))).strip().casefold()
