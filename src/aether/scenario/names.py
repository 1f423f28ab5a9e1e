"""Names in a scenario: parts, models, places, hosts, assumptions that it names must be there. Problems before anything runs."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from aether.base.errors import Problem, unknown
from aether.base.units import fmt
from aether.scenario import document
from aether.scenario.catalog import Catalog
from aether.scenario.places import find_place


def problems(text: document.Document, catalog: Catalog) -> list[Problem]:
    """Problems of names: unknown parts, places and ships, and names that stand twice."""
    data = text.data
    wanted: list[tuple[document.Path_, str, Any, str]] = []  # path, kind of part, name, what to call it
    relays = data.get("relays")
    if isinstance(relays, dict):
        wanted.append((("relays", "terminal"), "terminals", relays.get("terminal"), "laser terminal"))
        for i, shell in enumerate(_list(relays.get("shells"))):
            wanted.append((("relays", "shells", i, "mesh"), "meshes", shell.get("mesh"), "mesh"))
    for i, group in enumerate(_list(data.get("ships"))):
        wanted.append((("ships", i, "ship"), "ships", group.get("ship"), "ship"))
        for key, kind in (("array", "arrays"), ("battery", "batteries"), ("radiator", "radiators")):
            if isinstance(group.get(key), dict):
                wanted.append((("ships", i, key, "part"), kind, group[key].get("part"), key))
    wanted.append((("lifetime", "vehicle"), "launchers", _mapping(data.get("lifetime")).get("vehicle"), "launcher"))
    told = [p for path, kind, name, label in wanted for p in _known(text, catalog, path, kind, name, label)]
    told += _work(text, catalog) + _twice(text, "ships", "sites") + _twice(text, "workloads", "jobs")
    return (
        told + _probe_ends(text, catalog) + _degrading(text) + _happenings(text, catalog) + _assumptions(text, catalog)
    )


def _known(
    text: document.Document, catalog: Catalog, path: document.Path_, kind: str, name: Any, label: str
) -> list[Problem]:
    if not isinstance(name, str) or name in catalog.kind(kind):
        return []
    told = unknown("", label, name, catalog.kind(kind))
    return [text.problem(path, told.what, told.nearest, told.next)]


def _twice(text: document.Document, *keys: str) -> list[Problem]:
    """Entries of lists, which share their names, that bear the name of an earlier one."""
    seen: dict[str, str] = {}
    problems = []
    for key in keys:
        for i, entry in enumerate(_list(text.data.get(key))):
            name = str(entry.get("name"))
            if name in seen:
                what = f"'{name}' is already the name of {seen[name]}"
                problems.append(text.problem((key, i, "name"), what, next="Each needs a name of its own"))
            seen.setdefault(name, f"{key}[{i}]")
    return problems


def _probe_ends(text: document.Document, catalog: Catalog) -> list[Problem]:
    """Ends of probes that are neither a ship nor a place."""
    groups = {str(g.get("name")): g.get("count", 1) for g in _list(text.data.get("ships"))}
    return [
        text.problem(("probes", i, key), p.what, p.nearest, p.next)
        for i, probe in enumerate(_list(text.data.get("probes")))
        for key in ("from", "to")
        if isinstance(probe.get(key), str)
        for p in _end(probe[key], groups, catalog)
    ]


def _degrading(text: document.Document) -> list[Problem]:
    """Parts that degrade on ships that are not there."""
    rows = enumerate(_list(text.data.get("degrading")))
    return [p for i, entry in rows for p in _ship(text, ("degrading", i, "ship"), str(entry.get("ship")))]


def _ship(text: document.Document, at: document.Path_, ship: str) -> list[Problem]:
    """A ship, as group/number, that is not there."""
    groups = {str(g.get("name")): g.get("count", 1) for g in _list(text.data.get("ships"))}
    name, _, number = ship.partition("/")
    if name not in groups:
        known = unknown("", "group of ships", name, groups)
        return [text.problem(at, known.what, known.nearest, known.next)]
    if isinstance(groups[name], int) and re.fullmatch("[0-9]{1,6}", number) and int(number) >= groups[name]:
        return [text.problem(at, f"{name} has the numbers 0 to {groups[name] - 1}")]
    return []


def _happenings(text: document.Document, catalog: Catalog) -> list[Problem]:
    """Ships, sites, places and grids that events name and that are not there."""
    sites, told = [str(s.get("name")) for s in _list(text.data.get("sites"))], []
    for i, entry in enumerate(_list(text.data.get("events"))):
        at: document.Path_ = ("events", i)
        ships, lost = entry.get("ships"), entry.get("sites")
        for j, ship in enumerate(ships if isinstance(ships, list) else ()):
            told += _ship(text, (*at, "ships", j), str(ship))
        for j, name in enumerate(lost if isinstance(lost, list) else ()):
            if str(name) not in sites:
                known = unknown("", "site", str(name), sites)
                told.append(text.problem((*at, "sites", j), known.what, known.nearest, known.next))
        spot = _mapping(_mapping(entry.get("gateways")).get("within")).get("at")
        if isinstance(spot, str):
            found = find_place(catalog, spot)
            if isinstance(found, Problem):
                told.append(text.problem((*at, "gateways", "within", "at"), found.what, found.nearest, found.next))
        country = _mapping(entry.get("price")).get("country")
        if isinstance(country, str):
            told += _known(text, catalog, (*at, "price", "country"), "grids", country.lower(), "grid")
    return told


def _assumptions(text: document.Document, catalog: Catalog) -> list[Problem]:
    """General assumptions that are unknown, or whose value cannot be read."""
    given = text.data.get("assumptions")
    problems = []
    for name, value in given.items() if isinstance(given, dict) else ():
        problems += _known(text, catalog, ("assumptions", name), "assumptions", name, "assumption")
        if name in catalog.kind("assumptions"):
            problems += _assumption(text, ("assumptions", name), catalog, name, value)
    return problems


def _assumption(text: document.Document, at: document.Path_, catalog: Catalog, name: str, given: Any) -> list[Problem]:
    """Problems of one value: a quantity in its unit, or a mapping with its range and source; a price needs a source."""
    known, unit = catalog.assume(name), catalog.parts["assumptions"][name].quantity()  # type: ignore[attr-defined]
    asked_for = given if isinstance(given, dict) else {"value": given}
    strange = sorted(set(map(str, asked_for)) - {"value", "low", "high", "source", "date", "confidence", "note"})
    problems = [
        text.problem((*at, key), "unknown key", next="Known: value, low, high, source, date, confidence, note")
        for key in strange
    ]
    if "value" not in asked_for:
        problems.append(text.problem(at, "has no value"))
    for key in ("value", "low", "high"):
        try:
            if key in asked_for:
                unit.read(asked_for[key])
        except ValueError as error:
            problems.append(text.problem(at if given is not asked_for else (*at, key), str(error)))
    if not problems:
        read = [unit.read(asked_for[k]) for k in ("low", "value", "high") if k in asked_for]
        if read != sorted(read):
            problems.append(text.problem(at, "the range must be in order: low, value, high"))
    by_hand = text.told.get(at, "").startswith("--set")
    if "USD" in known.unit and not asked_for.get("source") and not by_hand:
        low, high = known.range
        what = f"a price has no source; the catalog says {fmt(known.value, known.unit)} ({fmt(low, known.unit)} to {fmt(high, known.unit)}): {known.source}"
        problems.append(text.problem(at, what, next="Give {value: ..., source: ...}"))
    return problems


def _end(name: str, groups: dict[str, Any], catalog: Catalog) -> list[Problem]:
    group, slash, number = name.partition("/")
    if slash and group in groups:
        count = groups[group]
        if not isinstance(count, int) or count < 1 or (number.isdigit() and int(number) < count):
            return []  # a count that is none is told by itself
        return [Problem("", f"'{name}' is no ship: {group} has the numbers 0 to {count - 1}")]
    found = find_place(catalog, name)
    return [found] if isinstance(found, Problem) else []


def _work(text: document.Document, catalog: Catalog) -> list[Problem]:
    """Problems of names in `sites` and `workloads`."""
    sites, workloads = _list(text.data.get("sites")), _list(text.data.get("workloads"))
    groups = [str(g.get("name")) for g in _list(text.data.get("ships"))]
    told = [p for i, site in enumerate(sites) for p in _site(text, catalog, i, site)]
    hosts = [*groups, *(str(s.get("name")) for s in sites)]
    for i, workload in enumerate(workloads):
        told += _workload(text, catalog, i, workload, hosts)
    for i, job in enumerate(_list(text.data.get("jobs"))):
        told += _where(text, ("jobs", i), job, hosts)
    return told


def _site(text: document.Document, catalog: Catalog, i: int, site: dict[str, Any]) -> list[Problem]:
    at: document.Path_ = ("sites", i)
    told = _known(text, catalog, (*at, "site"), "sites", site.get("site"), "class of site")
    told += _known(text, catalog, (*at, "accelerator"), "accelerators", site.get("accelerator"), "accelerator")
    place = site.get("at")
    if isinstance(place, dict):
        country = place.get("country")
        if country is None:
            told.append(
                text.problem((*at, "at", "country"), "is missing", next="Two letters: whose grid and whose law")
            )
    elif isinstance(place, str):
        found = find_place(catalog, place)
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
    text: document.Document, catalog: Catalog, i: int, workload: dict[str, Any], hosts: list[str]
) -> list[Problem]:
    told: list[Problem] = []
    for key in ("inference", "training"):
        asked = workload.get(key)
        if not isinstance(asked, dict):
            continue
        model = asked.get("model")
        if isinstance(model, str) and not model.endswith(".json"):
            told += _known(text, catalog, ("workloads", i, key, "model"), "models", model, "model")
        told += _parted(text, catalog, ("workloads", i, key), asked, hosts)
        requests = asked.get("requests")
        if isinstance(requests, dict):
            told += _requests(text, catalog, ("workloads", i, key, "requests"), requests)
    told += _stream(text, catalog, ("workloads", i, "stream"), _mapping(workload.get("stream")))
    told += _tuned(text, ("workloads", i, "tuning", "service"), workload.get("tuning"))
    return told + _where(text, ("workloads", i), workload, hosts)


def _parted(text: document.Document, catalog: Catalog, at: document.Path_, asked: dict[str, Any], hosts: list[str]) -> list[Problem]:  # fmt: skip
    """A draft that is no model, and hosts of a split that are not there."""
    draft, told = _mapping(asked.get("draft")).get("model"), list[Problem]()
    if isinstance(draft, str) and not draft.endswith(".json"):
        told += _known(text, catalog, (*at, "draft", "model"), "models", draft, "model")
    for key, names in _mapping(asked.get("split")).items():
        for j, name in enumerate(names if isinstance(names, list) else ()):
            if name not in hosts:
                known = unknown("", "ship group or site", str(name), hosts)
                told.append(text.problem((*at, "split", key, j), known.what, known.nearest, known.next))
    return told


def _where(text: document.Document, at: document.Path_, asked: dict[str, Any], hosts: list[str]) -> list[Problem]:
    """Hosts that work names and that are not there."""
    told, where = [], asked.get("where")
    for j, name in enumerate(where if isinstance(where, list) else ()):
        if name not in hosts:
            known = unknown("", "ship group or site", str(name), hosts)
            told.append(text.problem((*at, "where", j), known.what, known.nearest, known.next))
    return told


def _stream(text: document.Document, catalog: Catalog, at: document.Path_, stream: dict[str, Any]) -> list[Problem]:
    camera = _mapping(stream.get("imaging"))
    told = _known(text, catalog, (*at, "imaging", "terminal"), "terminals", camera.get("terminal"), "laser terminal")
    return told + _places(text, catalog, (*at, "places", "places"), _mapping(stream.get("places")).get("places"))


def _tuned(text: document.Document, at: document.Path_, tuning: Any) -> list[Problem]:
    """A tuner that names no inference workload."""
    if not isinstance(tuning, dict) or not isinstance(tuning.get("service"), str):
        return []
    served = [str(w.get("name")) for w in _list(text.data.get("workloads")) if isinstance(w.get("inference"), dict)]
    if tuning["service"] in served:
        return []
    known = unknown("", "inference workload", tuning["service"], served)
    return [text.problem(at, known.what, known.nearest, known.next)]


def _requests(text: document.Document, catalog: Catalog, at: document.Path_, requests: dict[str, Any]) -> list[Problem]:
    told = _known(text, catalog, (*at, "lengths"), "lengths", requests.get("lengths"), "lengths")
    countries = {getattr(c, "country", "") for c in catalog.kind("cities").values()}
    return told + _places(text, catalog, (*at, "places"), requests.get("places"), countries)


def _places(
    text: document.Document, catalog: Catalog, at: document.Path_, places: Any, besides: Collection[str] = ()
) -> list[Problem]:
    """Names of a list that are no city of the catalog, no place that the scenario adds, and nothing else allowed."""
    told: list[Problem] = []
    added = {str(p.get("name")) for p in _list(_mapping(_mapping(text.data.get("ground")).get("cities")).get("add"))}
    for j, name in enumerate(places if isinstance(places, list) else ()):
        if str(name) in besides or str(name) in added:
            continue
        found = find_place(catalog, str(name))
        if isinstance(found, Problem):
            told.append(text.problem((*at, j), found.what, found.nearest, found.next))
    return told


def _list(value: Any) -> list[dict[str, Any]]:
    return [v if isinstance(v, dict) else {} for v in value] if isinstance(value, list) else []


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
