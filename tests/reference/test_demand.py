"""Who asks when, against published figures, and traces that are wrong."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.base.errors import InputError
from aether.scenario.catalog import Lengths, packaged
from aether.workloads import demand

CATALOG = packaged()


def test_a_day_has_mean_one_and_its_peak_at_the_peak_hour() -> None:
    hours = np.arange(0.0, 24.0, 0.25)
    day = demand.profile(hours, 0.6, 15.0)
    assert day.mean() == pytest.approx(1.0, abs=1e-12)
    assert hours[day.argmax()] == 15.0
    assert (day.max(), day.min()) == pytest.approx((1.6, 0.4))


def test_the_world_asks_30_thousand_times_a_second() -> None:
    # NBER working paper 34255, 2025: 18 billion messages a week, 29,000 a second; 8.1 billion people
    hours = np.arange(24.0)[:, None] + np.zeros(3)
    people = np.array([4.1e9, 3e9, 1e9])
    made = demand.rates(people, CATALOG.value("demand.requests_per_person_day"), hours, 0.5, 15.0)
    assert made.shape == (24, 3)
    assert made.sum(axis=1).mean() == pytest.approx(18e9 / (7 * 86_400), rel=0.03)


def test_arrivals_have_the_mean_and_the_variance_of_their_rate() -> None:
    made = demand.arrivals(np.random.default_rng(3), np.full((200, 100), 0.5), 60.0)
    assert made.mean() == pytest.approx(30.0, rel=0.01)
    assert made.var() == pytest.approx(30.0, rel=0.05)
    assert (made == np.rint(made)).all()


@pytest.mark.parametrize(
    ("name", "asked", "answered"),
    [("azure-conversation", 1154.7, 211.1), ("azure-code", 2047.8, 27.9)],  # means over the traces themselves
)
def test_drawn_lengths_have_the_services_means(name: str, asked: float, answered: float) -> None:
    lengths = CATALOG.lengths(name)
    inputs, outputs = demand.sample(lengths, np.random.default_rng(1), 200_000)
    assert inputs.mean() == pytest.approx(asked, rel=0.04)
    assert outputs.mean() == pytest.approx(answered, rel=0.04)
    assert (lengths.input_mean.value, lengths.output_mean.value) == (asked, answered)
    assert np.quantile(inputs, 0.5) == pytest.approx(lengths.input_tokens[6], rel=0.02)
    assert min(inputs.min(), outputs.min()) >= 1.0


def test_quantiles_out_of_order_are_refused() -> None:
    wrong = Lengths(name="mine", source="mine", input_mean=1, output_mean=1, shares=(0.0, 0.5, 0.4),
                    input_tokens=(1.0, 2.0), output_tokens=(3.0, 2.0, 5.0))  # fmt: skip
    with pytest.raises(InputError) as caught:
        demand.sample(wrong, np.random.default_rng(1), 3)
    assert [p.path for p in caught.value.problems] == ["mine.shares", "mine.input_tokens", "mine.output_tokens"]


AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:46.6805900,374,44
"""


@pytest.mark.parametrize(
    "text",
    [
        AZURE,
        AZURE.replace(" 18", "T18"),
        AZURE.replace("0,", "0+00:00,"),
        "\ufeff" + AZURE,
        AZURE.replace("\n", "\r\n"),
        "arrived_at,model,num_prefill_tokens,num_decode_tokens\n104.314579,a,396,109\n\n100,b,374,44\n",
        'Timestamp,"Request tokens","Response tokens","Total tokens"\n4.314579,396,109,505\n 0 , 374,44,418\n',
        "output_length,input_length,timestamp\n109,396,1777142838.314579\n44,374,1777142834\n",
    ],
)
def test_usual_traces_are_read_and_sorted(text: str) -> None:
    trace = demand.read_trace(text, "trace.csv")
    assert trace.time_s.tolist() == pytest.approx([0.0, 4.314579], abs=1e-6)
    assert trace.input_tokens.tolist() == [374.0, 396.0]
    assert trace.output_tokens.tolist() == [44.0, 109.0]


def problems(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        demand.read_trace(text, "trace.csv")
    return [str(p) for p in caught.value.problems]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("-1,5,5", "time must be 0 or later, got -1"),
        ("soon,5,5", "time 'soon' is not a number"),
        ("nan,5,5", "time must be 0 or later, got nan"),
        ("2024-01-01,5,5", "time '2024-01-01' is not a number"),
        ("1,0,5", "input tokens must be above 0"),
        ("1,5,-3", "output tokens must be above 0"),
        ("1,NaN,5", "input tokens must be above 0 and at most 100,000,000, got NaN"),
        ("1,inf,5", "input tokens must be above 0"),
        ("1,1e12,5", "input tokens must be above 0 and at most 100,000,000, got 1e12"),
        ("1,,5", "input tokens '' is not a number"),
        ("1,5", "has 2 columns; 3 are needed"),
    ],
)
def test_a_bad_row_is_told_with_its_line(row: str, words: str) -> None:
    told = problems(f"time,input_tokens,output_tokens\n0,1,1\n{row}\n2,1,1\n")
    assert len(told) == 1
    assert told[0].startswith(f"trace.csv:3: {words}")


def test_ten_bad_rows_are_told_and_the_others_counted() -> None:
    told = problems("time,input_tokens,output_tokens\n" + "1,0,5\n" * 41)
    assert told[9].startswith("trace.csv:11: ")
    assert told[10:] == ["trace.csv: and 31 more"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("time,input_tokens,output_tokens\n", "only a header"),
        ("time,input_tokens,answer\n1,2,3\n", "there is no column of output tokens; the columns are time, input_tokens, answer"),
        ("time,input_tokens,output_tokens\nsoon,5,5\n1,5,5\n", "neither a date"),
        ("time,input_tokens,output_tokens\n2024-01-01 00:00:00,5,5\n7,5,5\n", "time '7' is neither a date"),
        ("time,input_tokens,output_tokens\n1,5,\x00\n", "trace.csv:2"),
    ],
)  # fmt: skip
def test_what_is_no_trace_is_refused(text: str, words: str) -> None:
    told = problems(text)
    assert len(told) == 1
    assert words in told[0]


def test_a_million_rows_are_read_in_seconds() -> None:
    rng = np.random.default_rng(1)
    rows = zip(rng.random(1_000_000).tolist(), rng.integers(1, 9999, 1_000_000).tolist(), strict=True)
    text = "time,input_tokens,output_tokens\n" + "\n".join(f"{a},{b},7" for a, b in rows)
    start = time.perf_counter()
    assert demand.read_trace(text, "trace.csv").time_s.size == 1_000_000
    assert time.perf_counter() - start < 5.0


TRACE = demand.Trace(np.array([0.0, 10.0, 70.0, 90.0]), np.array([1.0, 3.0, 5.0, 7.0]), np.array([2.0, 2.0, 4.0, 8.0]))


def test_a_trace_falls_into_the_ticks_of_its_times() -> None:
    counts, asked, answered = demand.replay(TRACE, [30.0, 90.0, 150.0], 60.0, repeat=False)
    assert counts.tolist() == [2.0, 2.0, 0.0]
    assert asked.tolist() == [2.0, 6.0, 4.0]  # an empty tick has the whole trace's mean
    assert answered.tolist() == [2.0, 6.0, 4.0]


def test_a_repeated_trace_starts_again_after_a_mean_gap() -> None:
    # 90 s and a mean gap of 30 s: again at 120, 130, 190, 210 s
    counts, asked, _ = demand.replay(TRACE, [30.0, 90.0, 150.0, 210.0], 60.0, scale=2.5)
    assert counts.tolist() == [5.0, 5.0, 5.0, 5.0]
    assert asked.tolist() == [2.0, 6.0, 2.0, 6.0]


@settings(max_examples=60, deadline=None)
@given(times=st.lists(st.floats(0.0, 5e3), min_size=1, max_size=60), step=st.floats(0.5, 900.0), repeat=st.booleans())
def test_no_request_and_no_token_is_lost_or_doubled(times: list[float], step: float, repeat: bool) -> None:
    times_s = np.sort(times) - min(times)
    trace = demand.Trace(times_s, np.arange(1.0, len(times) + 1.0), np.full(len(times), 5.0))
    span = times_s[-1] + (times_s[-1] / (len(times) - 1) if times_s[-1] > 0 else step)
    ticks = int(np.ceil((times_s[-1] if not repeat else 3 * span) / step)) + 1
    counts, asked, answered = demand.replay(trace, (np.arange(ticks) + 0.5) * step, step, repeat=repeat)
    assert (counts >= 0).all()
    if repeat:
        assert 3 * len(times) <= counts.sum() <= (ticks * step / span + 2) * len(times)
    else:
        assert counts.sum() == len(times)
        assert (counts * asked).sum() == pytest.approx(trace.input_tokens.sum())
        assert (counts * answered).sum() == pytest.approx(trace.output_tokens.sum())
