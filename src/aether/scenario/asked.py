"""What sites and workloads of a scenario name: places, parts, models, files, hosts. Problems before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aether.base.errors import Problem, unknown
from aether.scenario import document
from aether.scenario.catalog import Catalog
from aether.scenario.spec import Place

Find = Callable[[Catalog, str], Place | Problem]


def problems(text: document.Document, catalog: Catalog, find: Find) -> list[Problem]:
    """Everything wrong with the names in `sites` and `workloads`; find: looks a place up."""
    sites, workloads = _list(text.data.get("sites")), _list(text.data.get("workloads"))
    groups = [str(g.get("name")) for g in _list(text.data.get("ships"))]
    told = [p for i, site in enumerate(sites) for p in _site(text, catalog, find, i, site)]
    told += _twice(text, sites, groups)
    hosts = [*groups, *(str(s.get("name")) for s in sites)]
    for i, workload in enumerate(workloads):
        told += _workload(text, catalog, find, i, workload, hosts)
    names = [str(w.get("name")) for w in workloads]
    for i, name in enumerate(names):
        if name in names[:i]:
            told.append(
                text.problem(
                    ("workloads", i, "name"), f"'{name}' is already the name of workloads[{names.index(name)}]"
                )
            )
    return told


def _site(text: document.Document, catalog: Catalog, find: Find, i: int, site: dict[str, Any]) -> list[Problem]:
    at: document.Path_ = ("sites", i)
    told = _part(text, catalog, (*at, "site"), "sites", site.get("site"), "class of site")
    told += _part(text, catalog, (*at, "accelerator"), "accelerators", site.get("accelerator"), "accelerator")
    place = site.get("at")
    if isinstance(place, dict):
        country = place.get("country")
        if country is None:
            told.append(
                text.problem((*at, "at", "country"), "is missing", next="Two letters: whose grid and whose law")
            )
    elif isinstance(place, str):
        found = find(catalog, place)
        if isinstance(found, Problem):
            return [*told, text.problem((*at, "at"), found.what, found.nearest, found.next)]
        country = found.country
        if country is None:
            told.append(
                text.problem(
                    (*at, "at"), f"'{place}' has no country", next="Give name, latitude, longitude and country"
                )
            )
    else:
        country = None
    if isinstance(country, str) and country.lower() not in catalog.kind("grids"):
        known = unknown("", "country", country.lower(), catalog.kind("grids"))
        told.append(
            text.problem(
                (*at, "at"), f"no grid of '{country}' is in the catalog", known.nearest, "`aether catalog list grids`"
            )
        )
    return told


def _workload(
    text: document.Document, catalog: Catalog, find: Find, i: int, workload: dict[str, Any], hosts: list[str]
) -> list[Problem]:
    told: list[Problem] = []
    for key in ("inference", "training"):
        asked = workload.get(key)
        if not isinstance(asked, dict):
            continue
        model = asked.get("model")
        if isinstance(model, str) and not model.endswith(".json"):
            told += _part(text, catalog, ("workloads", i, key, "model"), "models", model, "model")
        requests = asked.get("requests")
        if isinstance(requests, dict):
            told += _requests(text, catalog, find, ("workloads", i, key, "requests"), requests)
    for j, name in enumerate(workload.get("where") or () if isinstance(workload.get("where"), list) else ()):
        if name not in hosts:
            known = unknown("", "ship group or site", str(name), hosts)
            told.append(text.problem(("workloads", i, "where", j), known.what, known.nearest, known.next))
    return told


def _requests(
    text: document.Document, catalog: Catalog, find: Find, at: document.Path_, requests: dict[str, Any]
) -> list[Problem]:
    told = _part(text, catalog, (*at, "lengths"), "lengths", requests.get("lengths"), "lengths")
    countries = {getattr(c, "country", "") for c in catalog.kind("cities").values()}
    added = {str(p.get("name")) for p in _list(((text.data.get("ground") or {}).get("cities") or {}).get("add"))}
    for j, name in enumerate(requests.get("places") or ()):
        if str(name) in countries or str(name) in added:
            continue
        found = find(catalog, str(name))
        if isinstance(found, Problem):
            told.append(text.problem((*at, "places", j), found.what, found.nearest, found.next))
    return told


def _twice(text: document.Document, sites: list[dict[str, Any]], groups: list[str]) -> list[Problem]:
    told, seen = [], list(groups)
    for i, site in enumerate(sites):
        name = str(site.get("name"))
        if name in seen:
            told.append(text.problem(("sites", i, "name"), f"'{name}' is already the name of another group or site"))
        seen.append(name)
    return told


def _part(
    text: document.Document, catalog: Catalog, path: document.Path_, kind: str, name: Any, label: str
) -> list[Problem]:
    if not isinstance(name, str) or name in catalog.kind(kind):
        return []
    told = unknown("", label, name, catalog.kind(kind))
    return [text.problem(path, told.what, told.nearest, told.next)]


def _list(value: Any) -> list[dict[str, Any]]:
    return [v if isinstance(v, dict) else {} for v in value] if isinstance(value, list) else []
