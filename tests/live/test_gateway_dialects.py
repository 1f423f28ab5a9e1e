"""The dialects as functions: what one asks in another's form, and what an answer becomes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.fabric.gateway.asks import Caller, Route, Trouble
from aether.fabric.gateway.dialects import Asked, chat, frames, happenings, messages, plain
from aether.fabric.gateway.dialects.form import parse
from aether.fabric.gateway.dialects.trouble import ANTHROPIC, OPENAI, anthropic, openai, retry_headers
from aether.fabric.gateway.front import bill_of, conversation_of, cost_usd
from gateway_play import CALL, USAGE, streamed, streamed_calls, whole_chat

SAY = [{"role": "user", "content": "Hi"}]
CHAT = {"model": "m", "messages": SAY}
MESSAGE = {"model": "m", "max_tokens": 5, "messages": SAY}
RESPONSE = {"model": "m", "input": "Hi"}


def events(pieces, chunks):
    """The events that chunks become, with the end."""
    data = b"".join([*(pieces.piece(chunk) for chunk in chunks), pieces.end()])
    lines = [line for line in data.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(line[6:]) for line in lines if line != "data: [DONE]"]


def test_each_dialect_asks_the_same_of_the_fabric():
    asked = [chat.accept(CHAT), messages.dialect.accept(MESSAGE), happenings.dialect.accept(RESPONSE)]
    assert [one.body["messages"] for one in asked] == [SAY] * 3
    caller = Caller("k", "acme", frozenset())
    assert len({conversation_of(one, caller, None) for one in asked}) == 1  # one conversation, however it is spoken


@pytest.mark.parametrize(
    ("choice", "turned"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
    ],
)
def test_the_choice_of_tools_is_said_in_chats_words(choice, turned):
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    assert messages.dialect.accept({**MESSAGE, "tools": tools, "tool_choice": choice}).body["tool_choice"] == turned


def test_a_form_of_the_answer_is_handed_on():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    body = messages.dialect.accept(
        {**MESSAGE, "output_config": {"format": {"type": "json_schema", "schema": schema}}}
    ).body
    assert body["response_format"]["json_schema"]["schema"] == schema
    form = {"type": "json_schema", "name": "n", "schema": schema}
    body = happenings.dialect.accept({**RESPONSE, "text": {"format": form}, "reasoning": {"effort": "low"}}).body
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    assert body["reasoning_effort"] == "low"


def test_what_is_null_is_as_if_it_were_not_there():
    assert chat.accept({**CHAT, "temperature": None, "audio": None, "tools": None}).body == CHAT
    assert happenings.dialect.accept({**RESPONSE, "previous_response_id": None, "tools": None}).body == CHAT


@pytest.mark.parametrize("value", ["x", ["a", "b"], [1, 2], [[1], [2, 3]]])
def test_prompts_come_in_four_forms(value):
    assert plain.completions.accept({"model": "m", "prompt": value}).body["prompt"] == value
    assert plain.embeddings.accept({"model": "m", "input": value}).body["input"] == value


@pytest.mark.parametrize("value", [7, [], ["a", 1], [1, "a"], [[1], "a"], [True], [-1], [[1.5]], {}])
def test_other_prompts_are_refused(value):
    for dialect, name in ((plain.completions, "prompt"), (plain.embeddings, "input")):
        with pytest.raises(Trouble) as caught:
            dialect.accept({"model": "m", name: value})
        assert caught.value.kind == "invalid"


@given(st.lists(st.text(min_size=1), max_size=8), st.integers(0, 9), st.integers(0, 9))
def test_a_stream_comes_to_what_the_whole_answer_says(texts, prompt, cached):
    bill = bill_of(Route(price_usd_mtok=(1.0, 2.0)))
    usage = {**USAGE, "prompt_tokens": prompt + cached, "prompt_tokens_details": {"cached_tokens": cached}}
    chunks = streamed(texts)
    chunks[-1]["usage"] = usage
    answer = {**whole_chat("".join(texts)), "usage": usage}
    asked = messages.dialect.accept(MESSAGE)
    told = events(messages.Events(asked, bill), chunks)
    text = "".join(event["delta"]["text"] for event in told if event["type"] == "content_block_delta")
    whole = messages.whole(answer, asked, bill)
    assert text == "".join(block["text"] for block in whole["content"])
    assert {name: value for name, value in whole["usage"].items() if name != "service_tier"} == told[-2]["usage"]
    assert told[-2]["usage"]["input_tokens"] + told[-2]["usage"]["cache_read_input_tokens"] == prompt + cached
    asked = happenings.dialect.accept(RESPONSE)
    told = events(happenings.Events(asked, bill), chunks)
    whole = happenings.dialect.whole(answer, asked, bill)
    last = told[-1]["response"]
    assert last["output"][0]["content"] == whole["output"][0]["content"]
    assert last["usage"] == whole["usage"]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))


def test_every_block_is_opened_filled_and_closed_once_and_in_turn():
    told = events(messages.Events(Asked({}, "m"), bill_of(Route())), streamed_calls())
    turns = [(event["type"].removeprefix("content_block_"), event["index"]) for event in told if "index" in event]
    assert turns == [
        ("start", 0),
        ("delta", 0),
        ("stop", 0),
        *[(kind, i) for i in (1, 2) for kind in ("start", "delta", "delta", "stop")],
    ]


def test_a_server_that_goes_back_to_an_ended_call_is_no_server():
    chunks = streamed_calls()
    chunks.insert(-2, chunks[2])
    for pieces in (
        messages.Events(Asked({}, "m"), bill_of(Route())),
        happenings.Events(Asked({}, "m"), bill_of(Route())),
    ):
        with pytest.raises(Trouble, match="went back"):
            events(pieces, chunks)


def test_a_call_without_words_is_the_only_item():
    asked = happenings.dialect.accept(RESPONSE)
    output = happenings.dialect.whole(whole_chat(None, "tool_calls", [CALL]), asked, bill_of(Route()))["output"]
    assert [item["type"] for item in output] == ["function_call"]


def test_every_kind_of_trouble_is_said_by_both_vendors():
    assert OPENAI.keys() == ANTHROPIC.keys()
    for kind in OPENAI:
        trouble = Trouble(kind, "words", param="p", code="c", retry_after_s=0.0012)
        assert openai.error(trouble, "r")[1]["error"].keys() == {"message", "type", "param", "code"}
        assert anthropic.error(trouble, "r")[1]["request_id"] == "r"
        assert retry_headers(trouble) == {"retry-after": "1", "retry-after-ms": "2"}


def test_the_price_is_that_of_the_tokens():
    assert cost_usd({"prompt_tokens": 2_000_000, "completion_tokens": 500_000}, Route(price_usd_mtok=(0.5, 2.0))) == 2.0
    assert cost_usd({}, Route(price_usd_mtok=(0.5, 2.0))) == 0.0


@given(
    st.recursive(
        st.text() | st.floats() | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_frame_is_two_lines_whatever_it_bears(value):
    data = frames.data(value)
    assert data.endswith(b"\n\n")
    assert len(data[:-2].decode().splitlines()) == 1
    json.loads(data[6:], parse_constant=lambda name: pytest.fail(name))


@given(st.text(st.characters(codec="utf-8")))
def test_what_was_parsed_is_written_as_it_was(text):
    assert parse(frames.dump({"a": text})) == {"a": text}


def test_what_a_models_server_refuses_has_the_name_that_its_status_has():
    for status, kind in (
        (413, "request_too_large"),
        (404, "not_found_error"),
        (400, "invalid_request_error"),
        (422, "invalid_request_error"),
    ):
        told = anthropic.error(Trouble("refused", "no", status=status), "req_1")
        assert (told[0], told[1]["error"]["type"]) == (status, kind)
