"""Element sets: every fault named, real fleets sorted into planes, and a round trip through python-sgp4."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from sgp4.api import Satrec

from aether.base.errors import InputError
from aether.base.tables import Elements
from aether.space import elements as element_sets
from aether.space import orbits

EPOCH_JD = 2461000.7
ISS = """\
ISS (ZARYA)
1 25544U 98067A   08264.51782528 -.00002182  00000-0 -11606-4 0  2927
2 25544  51.6416 247.4627 0006703 130.5360 325.0288 15.72125391563537
"""  # the example of CelesTrak's description of the format
RECORD = {
    "OBJECT_NAME": "ISS (ZARYA)", "NORAD_CAT_ID": 25544, "EPOCH": "2008-09-20T12:25:40.104192",
    "MEAN_MOTION": 15.72125391, "ECCENTRICITY": 0.0006703, "INCLINATION": 51.6416, "RA_OF_ASC_NODE": 247.4627,
    "ARG_OF_PERICENTER": 130.536, "MEAN_ANOMALY": 325.0288, "BSTAR": -1.1606e-5,
}  # fmt: skip
FLEETS = sorted(Path(__file__).resolve().parents[3].glob("*/data/orbits/*.gz"))


def fleet(start: str) -> Elements:
    """A real fleet, from a folder beside the project's if there is one."""
    for path in FLEETS:
        if path.name.startswith(start):
            return element_sets.read(gzip.decompress(path.read_bytes()).decode(), EPOCH_JD).elements
    pytest.skip(f"no element sets '{start}*' beside the project: they are not ours to ship")


def test_a_two_line_set_is_read_as_sgp4_reads_it() -> None:
    _, first, second = ISS.splitlines()
    satellite = Satrec.twoline2rv(first, second)
    found = element_sets.read(ISS, satellite.jdsatepoch)
    assert found.names == ("ISS (ZARYA)",)
    assert found.numbers == ("25544",)
    assert found.elements.epoch_s[0] == pytest.approx(satellite.jdsatepochF * 86400.0, abs=1e-5)
    assert found.elements.mean_motion_rad_s[0] * 60.0 == pytest.approx(satellite.no_kozai, rel=1e-14)
    assert found.elements.inclination_rad[0] == pytest.approx(satellite.inclo, rel=1e-14)
    assert found.elements.bstar[0] == pytest.approx(-1.1606e-5, rel=1e-12)


def test_two_and_three_line_sets_json_and_csv_give_the_same_elements() -> None:
    columns = [name for name in RECORD if name != "NORAD_CAT_ID"]
    table = ",".join(columns) + "\n" + ",".join(str(RECORD[name]) for name in columns) + "\n"
    forms = [
        ISS,
        ISS.split("\n", 1)[1],
        "0 " + ISS.replace("\n", "\r\n"),
        json.dumps([RECORD]),
        json.dumps(RECORD),
        table,
    ]
    read = [element_sets.read(text, 2454729.5) for text in forms]
    assert all(found.problems == () for found in read)
    for name in Elements.__dataclass_fields__:
        values = np.array([getattr(found.elements, name)[0] for found in read])
        assert values == pytest.approx(np.full(len(forms), values[0]), rel=1e-12, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (ISS.replace("51.6416", "51.6417"), 2, "bad checksum on line 2: '7' written, 8 computed"),
        (ISS.replace("0  2927", "0  2926"), 2, "bad checksum on line 1: '6' written, 7 computed"),
        (ISS.rsplit("\n", 2)[0], 2, "line 1 is not followed by a line 2"),
        (ISS.split("\n", 2)[2], 1, "line 2 without a line 1"),
        ("hello\n" + ISS, 1, "no line 1 of 69 characters after this"),
        ("", 0, "no element set found"),
        ("[]", 0, "no element set found"),
        ("{bad", 1, "not JSON"),
        (json.dumps([RECORD | {"BSTAR": None}]), 0, "missing field BSTAR"),
        (json.dumps([RECORD | {"INCLINATION": "steep"}]), 0, "INCLINATION: 'steep' is not a number"),
        (json.dumps([RECORD | {"ECCENTRICITY": math.nan}]), 0, "is not finite"),
        (json.dumps([RECORD | {"ECCENTRICITY": 1.5}]), 0, "eccentricity 1.5 is outside 0 to 1"),
        (json.dumps([RECORD | {"MEAN_MOTION": 1.0027}]), 0, "not near-Earth: a period of 1436 min"),
        (json.dumps([RECORD | {"EPOCH": "yesterday"}]), 0, "EPOCH: 'yesterday' is not a date"),
        (json.dumps([7]), 0, "not a record of fields"),
        ("OBJECT_NAME,EPOCH,MEAN_MOTION\nA,2024-01-01,15\n", 2, "missing field ECCENTRICITY"),
    ],
)
def test_every_fault_is_reported_with_its_line_and_reason(text: str, line: int, reason: str) -> None:
    problems = element_sets.read(text, EPOCH_JD, file="fleet.txt").problems
    assert len(problems) == 1
    assert reason in problems[0].what
    assert problems[0].line == line
    assert problems[0].file == "fleet.txt"


def test_a_bad_record_does_not_hide_the_good_ones() -> None:
    found = element_sets.read(ISS.replace("51.6416", "51.6417") + ISS, EPOCH_JD)
    assert len(found.names) == 1
    assert len(found.problems) == 1


def test_an_unknown_form_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'json'"):
        element_sets.read(ISS, EPOCH_JD, form="jsn")


def test_written_sets_are_read_back_by_sgp4_within_the_formats_resolution() -> None:
    shell = orbits.walker(5, 4, 550e3, math.radians(97.6), phasing=1.0, epoch_s=40_000.0)
    shell = Elements(
        **{**{n: getattr(shell, n) for n in Elements.__dataclass_fields__}, "bstar": np.full(20, -1.23456e-4)}
    )
    text = element_sets.write_tle(shell, [f"SHIP {n}" for n in range(20)], EPOCH_JD)
    time_s = np.arange(0.0, 86400.0, 7200.0)
    track = orbits.propagate(shell, time_s, EPOCH_JD)
    lines = text.splitlines()
    for n in range(20):
        satellite = Satrec.twoline2rv(lines[3 * n + 1], lines[3 * n + 2])
        assert satellite.bstar == pytest.approx(-1.2346e-4, rel=1e-9)
        states = [satellite.sgp4(EPOCH_JD, t / 86400.0) for t in time_s]
        away = np.linalg.norm(track.inertial_m[:, n] - 1000.0 * np.array([s[1] for s in states]), axis=-1)
        assert away.max() < 40.0  # angles to 0.5e-4 degrees each, 6 m; the mean eccentricity's floor, 14 m
    again = element_sets.read(text, EPOCH_JD)
    assert again.problems == ()
    assert again.names[7] == "SHIP 7"


def test_planes_and_slots_of_our_own_shells_are_found_again() -> None:
    first = orbits.walker(72, 22, 550e3, math.radians(53.0), phasing=3.0)
    second = orbits.walker(6, 58, 560e3, math.radians(97.6), shell=1, raan_start_rad=-0.001)
    third = orbits.walker(7, 9, 1200e3, math.radians(88.0), raan_spread_rad=math.pi, shell=2, epoch_s=86400.0)
    built = orbits.join(first, second, third)
    mixed = np.random.default_rng(4).permutation(len(built.shell))
    shuffled = Elements(**{n: getattr(built, n)[mixed] for n in Elements.__dataclass_fields__})
    noise = np.random.default_rng(5).normal(0.0, 3e-4, len(mixed))  # planes at node 0 then lie on both sides of it
    shuffled = Elements(
        **{
            **{n: getattr(shuffled, n) for n in Elements.__dataclass_fields__},
            "node_rad": np.mod(shuffled.node_rad + noise, 2 * math.pi),
        }
    )
    found = element_sets.find_planes(shuffled)
    for shell, planes, slots in ((0, 72, 22), (1, 6, 58), (2, 7, 9)):
        members = shuffled.shell == shell
        assert len(set(found.shell[members])) == 1
        pairs = set(zip(shuffled.plane[members], found.plane[members], strict=True))
        assert len(pairs) == planes  # each plane built is one plane found
        assert found.slot[members].max() + 1 == slots
    one = shuffled.plane == 0
    order = np.argsort(found.slot[one & (shuffled.shell == 0)])
    steps = np.diff(shuffled.slot[one & (shuffled.shell == 0)][order]) % 22
    assert set(steps.tolist()) == {1}  # neighbours in slot are neighbours in the orbit


def test_a_single_ring_is_one_plane() -> None:
    found = element_sets.find_planes(orbits.ring(12, 600e3, 64800.0, EPOCH_JD))
    assert set(found.plane.tolist()) == {0}
    assert sorted(found.slot.tolist()) == list(range(12))


def test_the_planes_of_starlink_in_2026_are_found() -> None:
    # 72 planes of the 540 km, 53.2 degree shell: SpaceX's filing SAT-MOD-20200417-00037
    starlink = fleet("starlink_2026")
    assert len(starlink.epoch_s) == 10_359
    found = element_sets.find_planes(starlink)
    assert (found.shell < 0).mean() < 0.08  # on their way up or down
    altitude = orbits.mean_altitude(starlink)
    upper = found.shell[
        np.argmin(np.abs(altitude - 539e3) + 1e6 * np.abs(starlink.inclination_rad - math.radians(53.22)))
    ]
    assert found.plane[found.shell == upper].max() + 1 == 72


def test_the_twelve_planes_of_oneweb_are_found() -> None:
    # 12 planes of 49 and spares, 1,200 km, 87.9 degrees: phase 1 of OneWeb's filing SAT-MPL-20200526-00062
    found = element_sets.find_planes(fleet("oneweb"))
    assert found.plane.max() + 1 == 12
    assert found.shell.max() == 0
    assert np.median(np.bincount(found.plane[found.plane >= 0])) == pytest.approx(51, abs=4)
