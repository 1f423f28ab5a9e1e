"""What the loader accepts, and how it refuses."""

import json

import pytest
import yaml

from aether.base.errors import InputError
from aether.base.provenance import Assumption
from aether.scenario import catalog, document, load
from constellation import fabric

MINIMAL = {
    "name": "small",
    "start": "2026-06-21T00:00:00Z",
    "duration": "12 h",
    "relays": {"shells": [{"mesh": "starlink-s1"}]},
    "ships": [{"name": "a", "ship": "ai1", "orbit": {"ring": {"altitude": "600 km", "node_local_time": "18 h"}}}],
}


def write(tmp_path, data):
    path = tmp_path / "scenario.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False))
    return path


def refusal(source, **more):
    with pytest.raises(InputError) as error:
        load.load(source, **more)
    return str(error.value)


def changed(path, value):
    data = json.loads(json.dumps(MINIMAL))
    here = data
    *steps, last = path
    for step in steps:
        here = here[step]
    here[last] = value
    return data


@pytest.mark.parametrize("name", sorted(load.examples()))
def test_packaged_scenarios_are_valid(name):
    assert load.load(name).spec.name == name


def test_starter_is_a_valid_scenario_with_the_editor_line(tmp_path):
    text = load.starter("s.schema.json")
    assert text.startswith("# yaml-language-server: $schema=s.schema.json\n")
    assert load.load(write(tmp_path, text)).spec.ships[0].name == "alpha"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("ships", 0, "radiatr"), {}, ["ships[0].radiatr", "did you mean 'radiator'"]),
        (("ships", 0, "radiator"), {"aera": "90 m2"}, ["ships[0].radiator.aera", "did you mean 'area'"]),
        (("ships", 0, "orbit", "ring", "altitude"), 600, ["ships[0].orbit.ring.altitude", "has no unit", "550 km"]),
        (("ships", 0, "orbit", "ring", "altitude"), "600 kg", ["'kg' is not a unit of a length"]),
        (("ships", 0, "orbit", "ring", "altitude"), "-600 km", ["at least 150 km"]),
        (("ships", 0, "orbit", "ring", "altitude"), "nan km", ["expected a length"]),
        (("ships", 0, "orbit", "ring", "altitude"), ".nan", ["expected a length"]),
        (("ships", 0, "ship"), "ai2", ["unknown ship 'ai2'", "did you mean 'ai1'"]),
        (("ships", 0, "count"), 0, ["ships[0].count", "greater than or equal to 1"]),
        (("ships", 0, "orbit"), {}, ["exactly one of ring, walker, cluster"]),
        (("relays", "shells", 0), {"shell": {"planes": 0, "per_plane": 22, "altitude": "550 km", "inclination": "53 deg"}},
         ["relays.shells[0].shell.planes"]),
        (("relays", "shells", 0), {"shell": {"planes": 3, "per_plane": 22, "altitude": "-100 km", "inclination": "53 deg"}},
         ["relays.shells[0].shell.altitude", "at least 150 km"]),
        (("relays", "shells", 0), {"mesh": "starlnk-s1"}, ["did you mean 'starlink-s1'"]),
        (("relays", "shells", 0), {"elements": "nothing.tle"}, ["nothing.tle", "cannot be read"]),
        (("relays", "shells"), [], ["relays.shells"]),
        (("relays", "shells", 0), {"shell": {"planes": 2000, "per_plane": 2000, "altitude": "550 km", "inclination": "53 deg"}},
         ["4,000,000 relays", "at most"]),
        (("ships", 0, "count"), 100000, ["100,000 ships", "rows"]),
        (("start",), "yesterday", ["start", "not a date"]),
        (("duration",), "10 s", ["step is longer"]),
        (("probes",), [{"from": "Atlantis Underwater", "to": "Nairobi"}], ["probes[0].from", "unknown place"]),
        (("probes",), [{"from": "a/7", "to": "Nairobi"}], ["'a/7' is no ship"]),
        (("assumptions",), {"access.scheduling": "16 kg"}, ["assumptions.access.scheduling", "not a unit of a time"]),
        (("assumptions",), {"access.schedulin": "16 ms"}, ["did you mean 'access.scheduling'"]),
    ],
)  # fmt: skip
def test_bad_scenarios_are_refused_with_path_and_reason(tmp_path, path, value, words):
    told = refusal(write(tmp_path, changed(path, value)))
    assert all(w in told for w in words), told
    assert "scenario.yaml" in told


def test_two_ships_of_one_name_are_refused(tmp_path):
    data = json.loads(json.dumps(MINIMAL))
    data["ships"].append(dict(data["ships"][0]))
    assert "ships[1].name: 'a' is already the name of ships[0]" in refusal(write(tmp_path, data))


def test_all_problems_come_at_once_with_their_lines(tmp_path):
    path = write(
        tmp_path,
        "name: x\nstart: 2026-06-21\nduration: 24\nrelays: {shells: [{mesh: starlink-s1}]}\nships:\n- {name: a, ship: ai9}\n",
    )
    told = refusal(path)
    assert told.startswith("3 problems:")
    for place in (
        "scenario.yaml:3: duration",
        "scenario.yaml:6: ships[0].orbit: is missing",
        "scenario.yaml:6: ships[0].ship: unknown ship",
    ):
        assert place in told


@pytest.mark.parametrize(
    "text", ["a: [1, 2", "x: 1\nx: 2\n", "&a [*a]", "- 1\n", "", "\x00", "a: !!python/object:os.system x"]
)
def test_what_is_no_scenario_is_refused(tmp_path, text):
    assert "scenario.yaml" in refusal(write(tmp_path, text))


def test_a_scenario_of_fifty_megabytes_is_refused_before_it_is_parsed(tmp_path):
    path = tmp_path / "scenario.yaml"
    path.write_bytes(b"# padding\n" * 5_000_000)
    assert "50 MB" in refusal(path)


def test_aliases_that_unfold_without_end_are_refused(tmp_path):
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    assert "more than" in refusal(write(tmp_path, bomb))


def test_overrides_replace_values_and_are_named_in_errors():
    made = load.load(
        "ai1-ring", {"ships.0.radiator.area": "90 m2", "ships[0].count": "3", "assumptions.access.scheduling": "10 ms"}
    )
    assert made.spec.ships[0].radiator.area == 90.0
    assert made.spec.ships[0].count == 3
    assert made.value("access.scheduling") == pytest.approx(0.010)
    assert "--set ships.0.radiator.aera" in refusal("ai1-ring", overrides={"ships.0.radiator.aera": "90 m2"})
    assert "no place in a list of 1" in refusal("ai1-ring", overrides={"ships.5.count": "3"})


def test_a_bare_city_name_means_the_much_larger_one_and_others_must_be_told_apart():
    made = load.load("ai1-ring")
    assert made.place("london").name == "London, GB"
    assert made.place("Sao Paulo").name == "São Paulo"
    with pytest.raises(InputError, match="several places"):
        made.place("Barcelona")


def test_an_own_catalog_adds_and_overrides_parts(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "radiators:\n  mine: {source: test, emissivity: 0.9, absorptivity: 0.1, absorptivity_aged: 0.2, ageing: 5 year, effectiveness: 0.8,\n"
        "    areal_mass: 5 kg/m2, stowed_thickness: 20 mm, heat_capacity: 4000 J/K/m2}\n"
        "assumptions:\n  access.scheduling: {unit: s, value: 9 ms, source: test}\n"
    )
    made = catalog.load(tmp_path)
    assert made.radiator("mine").emissivity.source == "test"
    assert made.value("access.scheduling") == pytest.approx(0.009)
    assert catalog.packaged().value("access.scheduling") == pytest.approx(0.016)


def test_a_part_without_source_or_with_a_wrong_range_is_refused(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "launchers:\n  mine: {payload: [5 t, 4 t, 6 t], bay_diameter: 4 m, bay_volume: 9 m3, price: 1 USD, paylod: 3}\n"
    )
    with pytest.raises(InputError) as error:
        catalog.load(tmp_path)
    told = str(error.value)
    assert "mine.yaml:2: launchers.mine.source: is missing" in told
    assert "did you mean 'payload'" in told


def test_every_packaged_number_has_a_source_and_ranges_are_in_order():
    for kind in catalog.KINDS:
        for part in catalog.packaged().kind(kind).values():
            assert part.source
            for a in part.assumptions():
                assert isinstance(a, Assumption)
                assert a.range[0] <= a.value <= a.range[1]


def test_ranges_and_full_mappings_both_read():
    text = document.parse("terminals: {}")
    assert text.data == {"terminals": {}}
    ai1 = catalog.packaged().ship("ai1")
    assert ai1.bus_power.range == (1500.0, 5000.0)
    assert ai1.radiator_area.source.startswith("disclosed AI1")


def test_schema_names_units_and_every_key():
    made = load.schema()
    assert made["additionalProperties"] is False
    assert "550 km" in json.dumps(made)
    assert set(made["properties"]) >= {"name", "start", "relays", "ships", "probes", "couplings"}


def test_accents_tell_towns_apart_and_their_absence_means_the_larger():
    made = load.load("ai1-ring")
    assert made.place("Los Angeles").latitude > 0.5
    assert made.place("Los Ángeles").latitude < 0.0
    assert made.place("Bogota").name == "Bogotá"


CHAT = {"model": "llama-3.1-8b", "requests": {"rate": "5 1/s"}}
TRAIN = {"model": "llama-3.1-8b", "tokens": 1e9}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workloads": [{"name": "w", "inference": CHAT, "training": TRAIN}]}, ["workloads[0]", "got inference and training"]),
        ({"workloads": [{"name": "w"}]}, ["workloads[0]", "exactly one of inference, training, tuning, stream; got none"]),
        ({"workloads__0__inference": {**CHAT, "requests": {}}}, ["exactly one of per_person_day, rate, trace; got none"]),
        ({"workloads__0__inference__requests__rate": "5 1/s"}, ["workloads[0].inference.requests", "got per_person_day and rate"]),
        ({"workloads__0__inference__requests": {"rate": "5 kg"}}, ["workloads[0].inference.requests.rate", "'kg'"]),
        ({"workloads__0__inference__requests": {"per_person_day": -1}}, ["per_person_day", "greater than or equal to 0"]),
        ({"workloads__0__inference__requests": {"trace": "no.csv"}}, ["workloads[0].inference.requests.trace", "no.csv cannot be read"]),
        ({"workloads__0__inference__requests__scale": 0}, ["requests.scale"]),
        ({"workloads__0__inference__requests__places": ["Istambul"]}, ["requests.places[0]", "did you mean 'Istanbul'"]),
        ({"workloads__0__inference__requests__lengths": "azure-cod"}, ["did you mean 'azure-code'"]),
        ({"workloads__0__inference__model": "lama-3.1-8b"}, ["workloads[0].inference.model", "did you mean 'llama-3.1-8b'"]),
        ({"workloads__0__inference__model": "no.json"}, ["workloads[0].inference.model", "no.json cannot be read"]),
        ({"workloads__2__training__model": "lama-3.1-8b"}, ["workloads[2].training.model", "did you mean 'llama-3.1-8b'"]),
        ({"workloads__0__inference__precision": "fp7"}, ["workloads[0].inference.precision"]),
        ({"workloads__0__inference__patience": "-1 s"}, ["workloads[0].inference.patience"]),
        ({"workloads__0__inference__price": "10 s"}, ["workloads[0].inference.price", "'s' is not a unit"]),
        ({"workloads__2__training__precision": "fp4"}, ["workloads[2].training.precision"]),
        ({"workloads__2__training__tokens": 0}, ["workloads[2].training.tokens"]),
        ({"workloads__2__training__sync_every": 0}, ["workloads[2].training.sync_every"]),
        ({"workloads__1__name": "chat"}, ["workloads[1].name", "already the name of workloads[0]"]),
        ({"workloads__0__where": ["c"]}, ["workloads[0].where[0]", "Known: a, b, dublin, virginia"]),
        ({"workloads__0__where": ["dubln"]}, ["did you mean 'dublin'"]),
        ({"workloads__1__jurisdictions": ["Ireland"]}, ["workloads[1].jurisdictions[0]"]),
        ({"sites__0__site": "liquid-coold"}, ["sites[0].site", "did you mean 'liquid-cooled'"]),
        ({"sites__0__accelerator": "gb300-nvl7"}, ["sites[0].accelerator", "did you mean 'gb300-nvl72'"]),
        ({"sites__0__at": "Dubln"}, ["sites[0].at", "did you mean 'Dublin'"]),
        ({"sites__0__at": {"name": "Here", "latitude": "0 deg", "longitude": "0 deg"}}, ["sites[0].at.country", "is missing"]),
        ({"sites__0__at": {"name": "Pole", "latitude": "-90 deg", "longitude": "0 deg", "country": "AQ"}}, ["sites[0].at", "no grid of 'AQ'"]),
        ({"sites__0__gpus": 0}, ["sites[0].gpus"]),
        ({"sites__1__name": "dublin"}, ["sites[1].name", "already the name"]),
        ({"sites__1__name": "a"}, ["sites[1].name", "already the name"]),
        ({"couplings__flow": False}, ["couplings.flow", "did you mean 'flows'"]),
        ({"placement__policies": "value"}, ["placement.policies", "did you mean 'policy'"]),
        ({"assumptions": {"cost.hull": "10e6 USD"}}, ["assumptions.cost.hull", "a price has no source", "the catalog says", " to "]),
        ({"assumptions": {"cost.hull": {"value": "10 s", "source": "mine"}}}, ["assumptions.cost.hull.value"]),
        ({"assumptions": {"cost.hull": {"source": "mine"}}}, ["assumptions.cost.hull", "has no value"]),
        ({"assumptions": {"cost.hull": {"value": "1 USD", "sauce": "mine"}}}, ["assumptions.cost.hull.sauce", "unknown key"]),
        ({"assumptions": {"demand.swin": 0.4}}, ["did you mean 'demand.swing'"]),
    ],
)  # fmt: skip
def test_bad_sites_and_work_are_refused_with_path_and_reason(changes, words):
    told = refusal(fabric(**changes))
    assert all(w in told for w in words), told


def test_a_workload_may_be_held_to_a_state_that_no_host_is_under():
    assert load.load(fabric(workloads__1__jurisdictions=["FR"])).spec.workloads[1].jurisdictions == (
        "FR",
    )  # told by the run


def test_values_of_the_scenario_replace_the_catalogs_with_their_own_source_and_range():
    own = {
        "cost.hull": {"value": "10e6 USD", "low": "8e6 USD", "high": "12e6 USD", "source": "a quotation"},
        "demand.swing": 0.2,
    }
    made = load.load(fabric(assumptions=own))
    hull, swing = (made.assume(name) for name in own)
    assert (hull.value, hull.range, hull.source) == (10e6, (8e6, 12e6), "a quotation")
    assert (swing.value, swing.range, swing.source) == (0.2, (0.2, 0.2), "the scenario small")
    assert catalog.packaged().assume("cost.hull").value != 10e6


def test_a_price_given_on_the_command_line_needs_no_source():
    made = load.load(fabric(), {"assumptions.cost.hull": "10e6 USD"})
    assert made.value("cost.hull") == 10e6


def test_a_price_in_a_catalog_folder_needs_a_source(tmp_path):
    (tmp_path / "mine.yaml").write_text("assumptions:\n  cost.hull: {unit: USD, value: 10e6 USD}\n")
    with pytest.raises(InputError, match=r"mine.yaml:2: assumptions.cost.hull.source: is missing"):
        catalog.load(tmp_path)
    (tmp_path / "mine.yaml").write_text(
        "assumptions:\n  cost.hull: {unit: USD, value: 10e6 USD, source: a quotation}\n"
    )
    assert catalog.load(tmp_path).value("cost.hull") == 10e6


def test_a_value_outside_its_own_range_is_refused():
    told = refusal(fabric(assumptions={"demand.swing": {"value": 0.5, "low": 0.6, "high": 0.8}}))
    assert "assumptions.demand.swing" in told
    assert "range" in told


def test_a_site_stands_where_its_city_is_and_under_its_law():
    made = load.load(fabric())
    dublin = made.place("Dublin")
    assert (dublin.country, round(dublin.latitude * 57.29578)) == ("IE", 53)
    assert made.place("Washington").country == "US"
