"""`aether export` as a process: what it prints, what it writes, what it refuses."""

import json

import pytest

SMALL = ("--set", "duration=5 min", "--set", "ships.0.count=2", "--set", "relays.shells.0.shell.planes=8")


@pytest.mark.parametrize(("form", "files"), [("czml", 1), ("oem", 8 * 22 + 2), ("ns3", 5 + 2 * 5)])
def test_export_writes_a_format_and_tells_what(aether, tmp_path, form, files):
    code, out, err = aether("export", form, "ai1-ring", "--out", "made/x", "--json", *SMALL)
    assert (code, err) == (0, "")
    told = json.loads(out)
    there = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert told["format"] == form
    assert told["files"] == len(there) == files
    assert told["bytes"] == sum(p.stat().st_size for p in there)
    assert told["counts"]["satellites"] == 8 * 22 + 2
    assert told["seconds"] > 0
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["x"]


def test_export_tells_people_size_and_speed_and_replaces_a_file(aether, tmp_path):
    (tmp_path / "x.czml").write_text("old")
    code, out, _ = aether("export", "czml", "ai1-ring", "--out", "x.czml", "--links", *SMALL)
    assert code == 0
    assert "MB/s" in out
    assert "links" in out
    assert len(json.loads((tmp_path / "x.czml").read_text())) > 1 + 178
    assert [p.name for p in tmp_path.iterdir()] == ["x.czml"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("cmzl", "ai1-ring"), "did you mean 'czml'"),
        (("oem", "ai1-ring", "--links"), "only CZML draws links"),
        (("oem", "ai2-ring"), "ai1-ring"),
        (("ns3", "ai1-ring", "--set", "step=1.0005 s", "--set", "duration=1 min"), "milliseconds"),
    ],
)
def test_bad_input_exits_with_2_and_writes_nothing(aether, tmp_path, arguments, told):
    code, _, err = aether("export", *arguments, "--out", "x")
    assert code == 2
    assert told in err
    assert list(tmp_path.iterdir()) == []
