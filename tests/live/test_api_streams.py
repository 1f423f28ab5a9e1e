"""What is followed: events and logs as server-sent events, resumed without gap or repeat, given up with the reader or the key."""

import pytest

pytest.importorskip("fastapi", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from aether.fabric.api import frame, logs
from aether.fabric.core import events
from aether.fabric.store.store import Store, StoreAway
from api_play import Api, Ship


@pytest.fixture
def api(tmp_path):
    made = Api(tmp_path)
    yield made
    made.close()


@pytest.fixture
def ship(api):
    made = Ship(api, "a/0")
    made.join()
    return made


def write(api, job, data, attempt=1, offset=0, host="a/0", rank=0):
    """A runtime brings a piece of a log."""
    path = f"/runtime/v1/logs?attempt={job}/{attempt}&rank={rank}&offset={offset}"
    return api.ask("POST", path, api.given.token(host), content=data)


def text(stream):
    return "".join(data["text"] for kind, _, data in stream.events() if kind == "log")


def test_events_resume_without_gap_or_repeat(api):
    seen, last = [], 0
    for _ in range(4):
        with api.stream("/v1/events?after=0", **({"last-event-id": str(last)} if last else {})) as stream:
            api.submit()
            until = api.store.last_seq
            api.until(lambda s=stream, n=until: s.events() and int(s.events()[-1][1]) >= n)
        api.submit()  # while nobody looks
        seen += [int(number) for _, number, _ in stream.events()]
        last = seen[-1]
    assert seen == list(range(1, last + 1))


def test_without_a_place_to_begin_events_are_told_from_now_on(api):
    with api.stream("/v1/events") as stream:
        api.until(lambda: api.given.watchers)
        job = api.submit()
        api.until(stream.events)
    assert stream.events()[0][0] == "submitted"
    assert stream.events()[0][2]["subject"] == job


def test_events_of_one_subject(api):
    job, _ = api.submit(), api.submit()
    with api.stream(f"/v1/events?after=0&subject={job}") as stream:
        api.until(stream.events)
    assert {e["subject"] for _, _, e in stream.events()} == {job}


def test_one_who_hangs_up_frees_the_place_and_one_too_many_is_refused(api, monkeypatch):
    monkeypatch.setattr(frame, "MOST_WATCHERS", 2)
    job = api.submit()
    with api.stream("/v1/events"), api.stream(f"/v1/jobs/{job}/logs?follow=true"):
        api.until(lambda: len(api.given.watchers) == 2)
        for path in ("/v1/events", f"/v1/jobs/{job}/logs?follow=true"):
            told = api.ask("GET", path)
            assert (told.status_code, told.headers["retry-after"]) == (429, "10")
    api.until(lambda: not api.given.watchers)
    with api.stream("/v1/events") as stream:
        api.until(lambda: stream.status == 200)


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_key_that_is_worth_nothing_any_more_ends_its_streams(tmp_path, how):
    from api_play import Time

    time = Time()
    api = Api(tmp_path, time)
    key = api.key("p", "write", expires_s=api.plane.clock.now() + 100.0)
    job = api.submit(key)
    Ship(api, "a/0").join()
    with api.stream("/v1/events?after=0", key) as stream, api.stream(f"/v1/jobs/{job}/logs?follow=true", key) as lines:
        api.until(lambda: stream.events() and len(api.given.watchers) == 2)
        if how == "revoked":
            api.put(events.KeyRevoked(key=key.split("-")[1]))
        else:
            time.go(101.0)
            api.submit()  # any news
        api.until(stream.over.is_set)
        write(api, job, b"secret")
        api.until(lines.over.is_set)
        assert b"secret" not in lines.raw
    api.close()


def test_a_database_that_is_away_holds_events_up_and_loses_none(tmp_path, monkeypatch):
    from aether.fabric.api import stream as module

    monkeypatch.setattr(module, "AWAY_S", 0.01)
    away, tried = [], []

    class Shaky(Store):
        def read(self, *given, **more):
            if away and len(given) > 3:
                tried.append(1)
                raise StoreAway("gone")
            return super().read(*given, **more)

    api = Api(tmp_path, store=Shaky)
    with api.stream("/v1/events?after=0") as stream:
        api.until(stream.events)
        away.append(1)
        api.submit()
        api.until(lambda: len(tried) > 2)
        away.clear()
        api.until(lambda: int(stream.events()[-1][1]) >= api.store.last_seq)
    assert [int(n) for _, n, _ in stream.events()] == list(range(1, len(stream.events()) + 1))
    api.close()


def test_a_log_is_kept_once_however_often_its_pieces_come(api):
    job = api.submit()
    assert write(api, job, b"one ").json() == {"offset": 4}
    assert write(api, job, b"one ").json() == {"offset": 4}
    assert write(api, job, b"one two ").json() == {"offset": 8}
    assert write(api, job, b"late", offset=100).json() == {"offset": 8}  # a gap: come again from 8
    assert write(api, job, b"two three", offset=4).json() == {"offset": 13}
    with api.stream(f"/v1/jobs/{job}/logs") as stream:
        api.until(stream.over.is_set)
    assert text(stream) == "one two three"


@pytest.mark.parametrize(
    "attempt",
    ["j", "/1", "j/", "j/x", "j/²", "j/-1", "../../x/1", "..%2f..%2fx/1", "a..b/1", "j/1/1", "j/" + "9" * 30, "%00/1"],
)
def test_a_log_has_no_other_place_than_its_own(api, tmp_path, attempt):
    before = {p for p in tmp_path.rglob("*") if p.suffix != ".new"}
    told = api.ask("POST", f"/runtime/v1/logs?attempt={attempt}&rank=0&offset=0", api.given.token("a/0"), content=b"x")
    assert (told.status_code, told.headers["content-type"]) == (422, "application/problem+json")
    assert {p for p in tmp_path.rglob("*") if p.suffix != ".new"} <= before


def test_a_log_goes_on_over_attempts_and_resumes_where_it_was_left(api, ship):
    job = api.submit(orbit={"retries": 5})
    ship.work(job, code=1)
    write(api, job, b"first\n")
    api.until(lambda: api.status(job) == "queued")
    with api.stream(f"/v1/jobs/{job}/logs?follow=true") as stream:
        api.until(lambda: text(stream) == "first\n")
        place = stream.events()[-1][1]
    assert place == "1/6"
    api.put(events.CancelAsked(jobs=(job,)))
    write(api, job, b"second\n", attempt=1, offset=6)
    with api.stream(f"/v1/jobs/{job}/logs?follow=true", **{"last-event-id": place}) as stream:
        api.until(stream.over.is_set)
    assert [(k, n) for k, n, _ in stream.events()] == [("log", "1/13"), ("end", "1/13")]
    assert stream.events()[-1][2] == {"status": "cancelled"}
    for cursor, wanted in (("1/6", "second\n"), ("1/13", ""), ("9/0", ""), ("0/0", "first\nsecond\n")):
        with api.stream(f"/v1/jobs/{job}/logs?cursor={cursor}") as stream:
            api.until(stream.over.is_set)
        assert text(stream) == wanted


def test_characters_of_several_bytes_are_never_cut(api, ship, monkeypatch):
    monkeypatch.setattr(logs, "CHUNK", 7)
    monkeypatch.setattr(logs, "LOOK_S", 0.005)
    job = api.submit()
    ship.work(job, code=None)
    line = "é€𝄞ü漢字 " * 5
    raw = line.encode()
    with api.stream(f"/v1/jobs/{job}/logs?follow=true") as stream:
        for at in range(0, len(raw), 5):
            write(api, job, raw[at : at + 5], offset=at)
        api.until(lambda: text(stream) == line)
        assert "\ufffd" not in text(stream)


@pytest.mark.parametrize("raw", [b"\x80" * 30, b"ok\xe2\x82", b"\xff\xfe\x00", b"\xf0\x9f" * 9])
def test_bytes_that_are_no_text_are_told_as_such_and_end(api, monkeypatch, raw):
    monkeypatch.setattr(logs, "CHUNK", 7)
    job = api.submit()
    write(api, job, raw)
    api.put(events.CancelAsked(jobs=(job,)))
    with api.stream(f"/v1/jobs/{job}/logs?follow=true") as stream:
        api.until(stream.over.is_set)
    assert stream.events()[-1][1] == f"1/{len(raw)}"
    assert text(stream).count("\ufffd") > 0


def test_the_last_lines_come_though_the_job_is_over_before_they_are_sent(api, ship, monkeypatch):
    monkeypatch.setattr(logs, "LOOK_S", 0.02)
    job = api.submit()
    with api.stream(f"/v1/jobs/{job}/logs?follow=true") as stream:
        ship.work(job)
        api.until(lambda: api.status(job) == "succeeded")
        write(api, job, b"last words")
        api.until(stream.over.is_set)
    assert text(stream) == "last words"


def test_a_log_stops_growing_at_its_limit_and_its_runtime_goes_on(api, monkeypatch):
    monkeypatch.setattr(logs, "MOST_LOG", 10)
    job = api.submit()
    assert write(api, job, b"0123456789").json() == {"offset": 10}
    assert write(api, job, b"more", offset=10).json() == {"offset": 14}
    with api.stream(f"/v1/jobs/{job}/logs") as stream:
        api.until(stream.over.is_set)
    assert text(stream) == "0123456789"
