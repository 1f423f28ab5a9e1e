"""What a key may ask in a minute, and what it is told of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.fabric.gateway.asks import Trouble
from aether.fabric.gateway.limits import Limits, duration


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.time_s = 100.0

    def __call__(self):
        return self.time_s


@pytest.fixture
def clock():
    return Clock()


def refused(limits, tokens=0):
    with pytest.raises(Trouble) as caught:
        limits.take(tokens)
    assert caught.value.kind == "limited"
    assert caught.value.code == "rate_limit_exceeded"
    return caught.value


def test_a_minutes_worth_may_be_asked_at_once_and_then_one_after_another(clock):
    limits = Limits(6, None, clock)
    for _ in range(6):
        limits.take(10**9)
    trouble = refused(limits)
    assert trouble.retry_after_s == pytest.approx(10.0)
    assert trouble.message == "The key's limit of 6 requests a minute is reached; try again in 10s."
    clock.time_s += trouble.retry_after_s
    limits.take(0)
    refused(limits)


def test_an_hour_of_silence_saves_no_more_than_a_minutes_worth(clock):
    limits = Limits(2, None, clock)
    clock.time_s += 3600.0
    limits.take(0)
    limits.take(0)
    refused(limits)


def test_a_request_refused_for_its_tokens_takes_no_request_either(clock):
    limits = Limits(2, 100, clock)
    limits.take(90)
    refused(limits, 20)
    assert limits.headers()["x-ratelimit-remaining-requests"] == "1"
    assert limits.headers()["x-ratelimit-remaining-tokens"] == "10"


def test_what_was_not_used_is_put_back_and_never_above_the_limit(clock):
    limits = Limits(None, 100, clock)
    limits.take(80)
    limits.settle(80, 30)
    assert limits.headers()["x-ratelimit-remaining-tokens"] == "70"
    clock.time_s += 60.0
    limits.settle(50, 0)
    assert limits.headers()["x-ratelimit-remaining-tokens"] == "100"


def test_what_was_used_beyond_the_estimate_is_owed(clock):
    limits = Limits(None, 60, clock)
    limits.take(10)
    limits.settle(10, 120)
    assert limits.headers()["x-ratelimit-remaining-tokens"] == "0"
    assert refused(limits, 1).retry_after_s == pytest.approx(61.0)


def test_a_request_above_the_limit_is_not_told_to_wait(clock):
    trouble = refused(Limits(None, 100, clock), 101)
    assert trouble.retry_after_s is None
    assert trouble.message == "This request may come to 101 tokens, and the key's limit is 100 a minute."
    assert refused(Limits(0, None, clock)).retry_after_s is None


def test_without_limits_all_is_taken_and_nothing_is_told(clock):
    limits = Limits(None, None, clock)
    limits.take(10**12)
    limits.settle(0, 10**12)
    assert limits.headers() == {}


def test_the_headers_are_openais(clock):
    limits = Limits(60, 1000, clock)
    limits.take(500)
    assert limits.headers() == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "500",
        "x-ratelimit-reset-tokens": "30s",
    }
    limits.settle(500, 6500)
    assert limits.headers()["x-ratelimit-reset-tokens"] == "6m30s"


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0.0, "0s"),
        (0.0085, "9ms"),
        (0.12, "120ms"),
        (0.9995, "1s"),
        (1.0, "1s"),
        (59.2, "1m0s"),
        (360.0, "6m0s"),
        (3600.0, "1h0m0s"),
    ],
)
def test_a_duration_is_written_as_openai_writes_it(time_s, text):
    assert duration(time_s) == text


def test_of_two_limits_that_are_reached_the_one_that_lasts_longer_is_told():
    clock = Clock()
    limits = Limits(60, 60, clock)
    limits.take(60)
    for _ in range(59):
        limits.take(0)
    clock.time_s += 0.5
    with pytest.raises(Trouble, match="60 tokens a minute") as told:
        limits.take(30)
    clock.time_s += told.value.retry_after_s
    limits.take(30)
    with pytest.raises(Trouble, match="may come to 61 tokens") as told:
        limits.take(61)
    assert told.value.retry_after_s is None


@given(
    st.integers(1, 50),
    st.integers(1, 500),
    st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(0, 100), st.floats(0.0, 1.0))),
)
def test_no_stretch_of_time_sees_more_than_a_full_bucket_and_what_flowed_in(requests, tokens, asked):
    clock = Clock()
    limits = Limits(requests, tokens, clock)
    begun_s, made, used = clock.time_s, 0, 0
    for wait_s, estimate, share in asked:
        clock.time_s += wait_s
        try:
            limits.take(estimate)
        except Trouble as trouble:
            if trouble.retry_after_s is not None:
                clock.time_s += trouble.retry_after_s
                limits.take(estimate)
                made, used = made + 1, used + estimate
        else:
            limits.settle(estimate, round(estimate * share))
            made, used = made + 1, used + round(estimate * share)
        minutes = 1.0 + (clock.time_s - begun_s) / 60.0
        assert made <= requests * minutes + 1e-3
        assert used <= tokens * minutes + 1e-3
