"""`aether claims` as a process: a table for people, JSON for machines, a page where it is asked for."""

import json

QUICK = ("--only", "C24,C11,C22", "--hours", "6", "--draws", "20")


def test_json_stands_alone_and_the_same_seed_gives_the_same_page(aether, tmp_path):
    (tmp_path / "made").mkdir()
    code, out, err = aether("claims", *QUICK, "--json", "--html", "made")
    assert code == 0, err
    told = json.loads(out)
    assert [c["id"] for c in told["claims"]] == ["C11", "C22", "C24"]
    assert set(told["claims"][0]) == {
        "id",
        "claim",
        "articles",
        "verdict",
        "words",
        "criterion",
        "conditions",
        "measured",
        "scenarios",
        "live",
    }
    page = (tmp_path / "made" / "claims.html").read_text()
    assert "<script" not in page
    assert page.count("<svg") == 1
    code, again, _ = aether("claims", *QUICK, "--json", "--html", "again.html")
    assert code == 0
    assert again == out
    assert (tmp_path / "again.html").read_text() == page


def test_table_tells_verdicts_and_what_they_take(aether):
    code, out, err = aether("claims", *QUICK)
    assert code == 0, err
    assert "NVLink joins 72 of them" in " ".join(out.split())
    assert "not testable" in out
    assert "The live fabric will measure" in out
    assert "3 claims:" in out


def test_mistakes_are_told_before_anything_runs(aether, tmp_path):
    code, out, err = aether("claims", "--only", "C40,C9x")
    assert (code, out) == (2, "")
    assert "C40" in err
    assert "C9x" in err
    code, out, err = aether("claims", "--html", "nowhere/page.html", timeout=60)
    assert (code, out) == (2, "")
    assert "nowhere" in err
    assert not list(tmp_path.iterdir())
