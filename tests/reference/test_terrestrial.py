"""The fibre twin against floors and measured round trips."""

import numpy as np
import pytest

from aether.base.errors import InputError
from aether.network import links, terrestrial

CITIES = {
    "new york": (40.71, -74.01), "london": (51.51, -0.13), "los angeles": (34.05, -118.24), "tokyo": (35.68, 139.69),
    "singapore": (1.35, 103.82), "san francisco": (37.77, -122.42), "sydney": (-33.87, 151.21),
    "sao paulo": (-23.55, -46.63), "mumbai": (19.08, 72.88), "johannesburg": (-26.20, 28.05),
    "frankfurt": (50.11, 8.68), "honolulu": (21.31, -157.86), "paris": (48.86, 2.35), "reykjavik": (64.15, -21.94),
}  # fmt: skip


def spot(city: str) -> tuple[float, float]:
    latitude, longitude = CITIES[city]
    return float(np.radians(latitude)), float(np.radians(longitude))


def trip(a: str, b: str, cut: tuple[str, ...] = ()) -> terrestrial.Route:
    return terrestrial.fibre(terrestrial.graph(), spot(a), spot(b), cut)


def test_new_york_to_london_has_the_published_floor() -> None:
    route = trip("new york", "london")
    assert 1e3 * route.floor_s == pytest.approx(54.6, rel=0.01)  # great circle 5,570 km at 204,200 km/s
    assert "Hibernia Express" in route.systems


def test_best_cable_between_the_exchanges_of_new_york_and_london_takes_58_95_ms() -> None:
    # Hibernia Express as published, 58.95 ms between the exchanges' data centres in Secaucus and Slough
    secaucus, slough = np.radians([40.78, -74.07]), np.radians([51.52, -0.62])
    route = terrestrial.fibre(terrestrial.graph(), tuple(secaucus), tuple(slough))
    assert 1e3 * route.round_trip_s == pytest.approx(58.95, rel=0.01)
    assert route.round_trip_s / 54.6e-3 == pytest.approx(1.08, rel=0.01)


@pytest.mark.parametrize(
    ("a", "b", "floor_ms", "measured_ms"),
    [  # floors by great circle at 204,200 km/s; measured: typical of carriers' round trips
        ("los angeles", "tokyo", 86, 100), ("singapore", "london", 106, 165), ("san francisco", "new york", 40, 65),
        ("sydney", "los angeles", 118, 140), ("sao paulo", "new york", 75, 115), ("mumbai", "london", 70, 120),
        ("johannesburg", "london", 89, 160), ("frankfurt", "new york", 61, 80), ("tokyo", "singapore", 52, 70),
    ],
)  # fmt: skip
def test_round_trips_lie_between_the_floor_and_what_is_measured(
    a: str, b: str, floor_ms: float, measured_ms: float
) -> None:
    route = trip(a, b)
    assert 1e3 * route.floor_s == pytest.approx(floor_ms, abs=1.0)
    assert route.floor_s < route.round_trip_s < 1.1e-3 * measured_ms


def test_every_segment_is_longer_than_its_great_circle_and_not_absurd() -> None:
    world = terrestrial.graph()
    arc = links.great_circle(
        world.latitude_rad[world.a],
        world.longitude_rad[world.a],
        world.latitude_rad[world.b],
        world.longitude_rad[world.b],
    )
    stretch = world.length_m / np.maximum(arc, 1.0)
    assert stretch.min() > 1.0
    assert stretch.max() < 6.0  # Stockholm to Helsinki around the gulf
    assert np.median(stretch) < 1.5


def test_published_systems_have_their_published_length() -> None:
    world = terrestrial.graph()
    whole = [cable for cable in world.cables.values() if cable.confidence == "published"]
    assert len(whole) > 25
    for cable in whole:
        assert sum(length for _, _, length in cable.segments) == pytest.approx(cable.length_m, rel=0.3), cable.name


def test_there_are_some_sixty_named_systems() -> None:
    assert len(terrestrial.cables()) >= 60


def test_a_cut_cable_makes_the_route_longer_and_goes_another_way() -> None:
    whole, cut = trip("new york", "london"), trip("new york", "london", ("Hibernia Express",))
    assert "Hibernia Express" not in cut.systems
    assert cut.round_trip_s > whole.round_trip_s + 0.001


def test_no_water_is_crossed_without_a_cable() -> None:
    every = tuple(terrestrial.graph().cables)
    assert np.isinf(trip("london", "paris", every).round_trip_s)
    assert np.isinf(trip("honolulu", "los angeles", every).round_trip_s)
    assert trip("new york", "san francisco", every).round_trip_s < 0.07
    assert np.isinf(trip("reykjavik", "london", ("FARICE-1", "DANICE", "Greenland Connect")).length_m)


def test_an_unknown_cable_names_its_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'MAREA'"):
        trip("new york", "london", ("MARIA",))


def test_matrix_agrees_with_single_routes() -> None:
    names = ["london", "mumbai", "sydney"]
    latitude, longitude = np.array([spot(name) for name in names]).T
    table = terrestrial.matrix(terrestrial.graph(), latitude, longitude)
    assert np.allclose(table, table.T)
    assert 2 * table[0, 1] == pytest.approx(trip("london", "mumbai").round_trip_s, abs=1e-6)
    assert (terrestrial.matrix(terrestrial.graph(), latitude, longitude, sources=1) == table[:1]).all()


def test_two_places_of_one_town_are_joined_straight() -> None:
    here, there = np.radians([48.86, 2.35]), np.radians([48.95, 2.50])
    route = terrestrial.fibre(terrestrial.graph(), tuple(here), tuple(there))
    assert route.length_m == pytest.approx(1.4 * float(links.great_circle(*here, *there)), rel=0.02)
