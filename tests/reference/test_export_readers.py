"""Exports read back by the tools of others: czml3 for CZML, oem for CCSDS messages."""

import json
from datetime import datetime

import numpy as np
import pytest
from astropy.time import TimeDelta
from czml3 import Document
from oem import OrbitEphemerisMessage

from aether.engine.assemble import assemble
from aether.space import motion, orbits
from aether.study import exports
from exported import RELAYS, SHIPS, TICKS, small


@pytest.fixture(scope="module", name="small")
def _small():
    return small()


@pytest.fixture(scope="module")
def written(small, tmp_path_factory):
    """`written(form)`: where a format lies."""

    def write(form):
        out = tmp_path_factory.mktemp(form) / "out"
        exports.export(small, form, out, links=form == "czml")
        return out

    return write


def track(small, time_s):
    """Our own motion of relays and then ships."""
    setup = assemble(small)
    return motion.propagate(orbits.join(setup.relays, setup.ships), np.asarray(time_s, float), setup.julian)


# --- CZML -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def czml(written):
    """The document by czml3, which takes no property that it does not know."""
    return Document.model_validate({"packets": json.loads(written("czml").read_text())}).packets


def when(text):
    return datetime.fromisoformat(text)


def test_czml3_reads_satellites_where_our_satellites_are(small, czml):
    document, *rest = czml
    satellites = [p for p in rest if p.position is not None]
    assert len(satellites) == RELAYS + SHIPS
    assert [p.label.text for p in satellites if p.label is not None] == ["ai1/0", "ai1/1", "ai1/2"]
    begin = when(document.clock.interval.start)
    time_s = np.array(satellites[0].position.cartesian.values).reshape(-1, 4)[:, 0]
    ours = track(small, time_s).fixed_m
    for k, packet in enumerate(satellites):
        rows = np.array(packet.position.cartesian.values).reshape(-1, 4)
        assert packet.position.referenceFrame == "FIXED"
        assert when(packet.position.epoch) == begin
        assert rows[:, 0].tolist() == time_s.tolist()
        assert rows[:, 1:] == pytest.approx(ours[:, k], abs=0.051)


def test_czml3_reads_links_between_satellites_that_are_there_at_the_times_they_hold(small, czml):
    document, *rest = czml
    begin = when(document.clock.interval.start)
    number = {p.id: i for i, p in enumerate(p for p in rest if p.position is not None)}
    drawn = {}
    for packet in (p for p in rest if p.polyline is not None):
        ends = tuple(sorted(number[e.removesuffix("#position")] for e in packet.polyline.positions.references.values))
        drawn[ends] = [
            tuple((when(t) - begin).total_seconds() for t in (span.start, span.end))
            for span in packet.availability.values
        ]
    for tick, _, _, links in exports._network(assemble(small), lambda *_: None):
        on = links.alive > 0
        ours = {tuple(sorted(p)) for p in zip(links.a[on].tolist(), links.b[on].tolist(), strict=True)}
        assert {ends for ends, spans in drawn.items() if any(a <= 60.0 * tick < b for a, b in spans)} == ours


# --- OEM --------------------------------------------------------------------------------------------------------------


def test_oem_reads_every_message_and_finds_our_states(small, written):
    folder, ours = written("oem"), track(small, np.arange(TICKS + 1) * 60.0)
    begin = small.clock.epoch.replace(tzinfo=None)
    names = [f"relay/{i}" for i in range(RELAYS)] + [f"ship/ai1/{i}" for i in range(SHIPS)]
    assert len(list(folder.rglob("*.oem"))) == len(names)
    for k, name in list(enumerate(names))[::13]:
        (segment,) = OrbitEphemerisMessage.open(folder / f"{name}.oem").segments
        assert segment.metadata["OBJECT_NAME"] == name.removeprefix("ship/")
        assert [segment.metadata[key] for key in ("REF_FRAME", "CENTER_NAME", "TIME_SYSTEM")] == [
            "TEME",
            "EARTH",
            "UTC",
        ]
        states = list(segment.states)
        assert [(s.epoch.to_datetime() - begin).total_seconds() for s in states] == [60.0 * i for i in range(TICKS + 1)]
        found = np.array([np.concatenate([s.position, s.velocity]) for s in states]) * 1e3
        assert found[:, :3] == pytest.approx(ours.inertial_m[:, k], abs=1e-3, rel=0)
        assert found[:, 3:] == pytest.approx(ours.velocity_m_s[:, k], abs=1e-3, rel=0)


def test_oem_interpolates_between_our_states_to_a_metre(small, written):
    message = OrbitEphemerisMessage.open(written("oem") / "ship" / "ai1" / "1.oem")
    first = next(iter(message.states)).epoch
    time_s = np.arange(240.0, 360.0, 17.0)  # four states on either side
    ours = track(small, time_s).inertial_m[:, RELAYS + 1]
    found = [message(first + TimeDelta(t, format="sec")).position for t in time_s]
    assert np.array(found) * 1e3 == pytest.approx(ours, abs=1.0, rel=0)
