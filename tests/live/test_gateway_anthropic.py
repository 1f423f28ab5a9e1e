"""Anthropic's SDK speaks with the gateway: what it is given is what the vendor's documentation says."""

import asyncio
import json
from datetime import UTC, datetime

import anthropic
import httpx
import pytest
from anthropic.types import Message, ModelInfo

from aether.fabric.gateway.asks import Trouble
from aether.fabric.gateway.front import anthropic_limits
from gateway_play import CALL, KEY, PlayDesk, front, streamed, streamed_calls, until, whole_chat

SAY = [{"role": "user", "content": "Hi"}]
TOOL = {
    "name": "weather",
    "description": "It",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
ASK = {"model": "aether-tiny", "max_tokens": 9, "messages": SAY}
PIXEL = "iVBORw0KGgo="


@pytest.fixture(scope="module")
def served():
    desk = PlayDesk()
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
    with (
        front(desk, beat_s=0.05) as url,
        httpx.Client(base_url=url, headers=headers, trust_env=False) as raw,
        anthropic.Anthropic(api_key=KEY, base_url=url, max_retries=0) as client,
    ):
        yield desk, client, raw, url


@pytest.fixture
def play(served):
    desk, client, raw, url = served
    desk.__init__()
    return desk, client, raw, url


def test_a_message_is_answered_in_one_piece_with_its_route(play):
    desk, client, _, _ = play
    raw = client.messages.with_raw_response.create(
        **ASK, system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}], stop_sequences=["x"],
        metadata={"user_id": "u1"}, extra_body={"temperature": 0.5, "top_k": 3},
    )  # fmt: skip
    answer = raw.parse()
    Message.model_validate_json(raw.http_response.text, strict=True)
    assert (answer.content[0].text, answer.role, answer.stop_reason) == ("Hello there, ship.", "assistant", "end_turn")
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (7, 4, 3)
    assert answer._request_id == raw.headers["request-id"] == desk.asks[0].request_id
    assert raw.headers["x-aether-ship"] == "ship-07"
    assert float(raw.headers["x-aether-cost-usd"]) == pytest.approx(11.5e-6)
    assert desk.asks[0].body == {
        "model": "aether-tiny", "max_tokens": 9, "temperature": 0.5, "top_k": 3, "stop": ["x"],
        "messages": [{"role": "system", "content": "Be brief."}, *SAY],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("finish", "more", "reason", "sequence"),
    [
        ("stop", {}, "end_turn", None),
        ("stop", {"stop_reason": "END"}, "stop_sequence", "END"),
        ("length", {}, "max_tokens", None),
        ("tool_calls", {}, "tool_use", None),
        ("content_filter", {}, "refusal", None),
    ],
)
def test_why_it_ended_is_said_in_the_vendors_words(play, finish, more, reason, sequence):
    desk, client, _, _ = play
    desk.answer, desk.pieces = whole_chat("a", finish, **more), streamed(["a"], finish, **more)
    asked = {**ASK, "stop_sequences": ["END"]}
    whole = client.messages.create(**asked)
    assert (whole.stop_reason, whole.stop_sequence) == (reason, sequence)
    with client.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert (final.stop_reason, final.stop_sequence) == (reason, sequence)


def test_a_message_is_streamed_in_the_documented_order(play):
    _, client, _, _ = play
    events = list(client.messages.create(**ASK, stream=True))
    assert [event.type for event in events] == [
        "message_start", "content_block_start", *["content_block_delta"] * 3, "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert events[-2].usage.output_tokens == 3
    assert events[-2].usage.aether["ship"] == "ship-07"
    for event in events:
        type(event).model_validate(event.to_dict(), strict=True)
    with client.messages.stream(**ASK) as stream:
        assert "".join(stream.text_stream) == "Hello there, ship."
        assert stream.get_final_message().usage.input_tokens == 7


def test_tools_go_both_ways(play):
    desk, client, _, _ = play
    desk.answer = whole_chat("Let me see.", "tool_calls", [CALL])
    first = client.messages.create(**ASK, tools=[TOOL], tool_choice={"type": "any", "disable_parallel_tool_use": True})
    assert first.stop_reason == "tool_use"
    assert (first.content[1].id, first.content[1].input) == ("call_1", {"city": "Oslo"})
    body = desk.asks[0].body
    function = {"name": "weather", "description": "It", "parameters": TOOL["input_schema"]}
    assert (body["tools"], body["tool_choice"]) == ([{"type": "function", "function": function}], "required")
    assert body["parallel_tool_calls"] is False
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    results = [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "no", "is_error": True},
        {"type": "text", "text": "Well?"}, image,
    ]  # fmt: skip
    back = [*SAY, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    desk.answer = whole_chat("Rain.")
    assert client.messages.create(**{**ASK, "messages": back}, tools=[TOOL]).content[0].text == "Rain."
    assert desk.asks[1].body["messages"][1:] == [
        {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "The tool failed: no"},
        {"role": "user", "content": [
            {"type": "text", "text": "Well?"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        ]},
    ]  # fmt: skip
    desk.pieces = streamed_calls()
    with client.messages.stream(**ASK, tools=[TOOL]) as stream:
        kinds = [event.type for event in stream if event.type.startswith("content_block_st")]
        final = stream.get_final_message()
    assert kinds == ["content_block_start", "content_block_stop"] * 3
    assert [block.input["city"] for block in final.content[1:]] == ["Oslo", "Rome"]


def test_arguments_that_are_no_json_are_handed_over_by_the_guides_name(play):
    desk, client, _, _ = play
    desk.answer = whole_chat(None, "tool_calls", [{**CALL, "function": {"name": "weather", "arguments": '{"city": '}}])
    assert client.messages.create(**ASK, tools=[TOOL]).content[0].input == {"INVALID_JSON": '{"city": '}


def test_tokens_are_counted(play):
    desk, client, _, _ = play
    assert client.messages.count_tokens(model="aether-tiny", messages=SAY, system="Be brief.").input_tokens == 11
    assert "max_tokens" not in desk.asks[0].body


def test_models_are_listed_in_pages(play):
    _, client, raw, _ = play
    assert [model.id for model in client.models.list(limit=2)] == [
        "aether-tiny",
        "big/model",
        "ft:aether-tiny:acme::a1",
    ]
    first = raw.get("/v1/models?limit=2").json()
    assert (first["has_more"], first["first_id"], first["last_id"]) == (True, "aether-tiny", "big/model")
    assert [model["id"] for model in raw.get("/v1/models?before_id=big/model").json()["data"]] == ["aether-tiny"]
    assert raw.get("/v1/models?limit=0").json()["error"]["type"] == "invalid_request_error"
    ModelInfo.model_validate_json(json.dumps(raw.get("/v1/models/big/model").json()), strict=True)
    assert client.models.retrieve("big/model").display_name == "big/model"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("none")


@pytest.mark.parametrize(
    ("trouble", "error", "kind", "status"),
    [
        (Trouble("invalid", "no"), anthropic.BadRequestError, "invalid_request_error", 400),
        (Trouble("unauthorised", "no"), anthropic.AuthenticationError, "authentication_error", 401),
        (Trouble("forbidden", "no"), anthropic.PermissionDeniedError, "permission_error", 403),
        (Trouble("missing", "no"), anthropic.NotFoundError, "not_found_error", 404),
        (Trouble("too-large", "no"), anthropic.APIStatusError, "request_too_large", 413),
        (Trouble("limited", "no", retry_after_s=2.5), anthropic.RateLimitError, "rate_limit_error", 429),
        (Trouble("overloaded", "no"), anthropic.InternalServerError, "overloaded_error", 529),
        (Trouble("unavailable", "no"), anthropic.InternalServerError, "api_error", 503),
        (Trouble("timeout", "no"), anthropic.InternalServerError, "timeout_error", 504),
        (Trouble("broken", "no"), anthropic.InternalServerError, "api_error", 502),
        (Trouble("refused", "no", status=422), anthropic.UnprocessableEntityError, "invalid_request_error", 422),
    ],
)
def test_each_trouble_is_the_sdks_own_error(play, trouble, error, kind, status):
    desk, client, _, _ = play
    desk.troubles = [trouble, trouble]
    for stream in (False, True):
        with pytest.raises(error) as caught:
            client.messages.create(**ASK, stream=stream)
        assert caught.value.body["error"] == {"type": kind, "message": "no"}
        assert (caught.value.status_code, caught.value.body["type"]) == (status, "error")
        assert caught.value.body["request_id"] == caught.value.request_id == desk.asks[-1].request_id
        if trouble.retry_after_s:
            assert int(caught.value.response.headers["retry-after"]) >= trouble.retry_after_s


def test_the_sdk_tries_again_and_is_answered(play):
    desk, client, _, _ = play
    desk.troubles = [
        Trouble("limited", "slower", retry_after_s=0.05),
        Trouble("overloaded", "full", retry_after_s=0.05),
    ]
    assert client.with_options(max_retries=2).messages.create(**ASK).stop_reason == "end_turn"
    assert len(desk.asks) == 3


def test_a_stream_that_the_client_leaves_is_closed_at_the_desk(play):
    desk, client, _, _ = play
    desk.pieces = [*streamed()[:2], 30.0]
    with client.messages.stream(**ASK) as stream:
        next(iter(stream.text_stream))
    until(lambda: desk.closed == 1)


def test_a_client_that_will_not_wait_gives_up_and_the_desk_is_told(play):
    desk, client, _, _ = play
    desk.delay_s = 30.0
    with pytest.raises(anthropic.APITimeoutError):
        client.with_options(timeout=0.2).messages.create(**ASK)
    until(lambda: desk.cancelled == 1)


def test_a_stream_that_breaks_ends_with_the_vendors_error(play):
    desk, client, raw, _ = play
    desk.pieces = [*streamed()[:3], Trouble("overloaded", "the ship was lost")]
    with pytest.raises(anthropic.APIStatusError, match="the ship was lost"):
        list(client.messages.create(**ASK, stream=True))
    text = raw.post("/v1/messages", json={**ASK, "stream": True}).text
    assert text.split("\n\n")[-2].startswith('event: error\ndata: {"type":"error","error":{"type":"overloaded_error"')
    assert "message_stop" not in text


def test_silence_in_a_stream_is_filled_with_pings(play):
    desk, client, raw, _ = play
    desk.pieces = [*streamed()[:2], 0.4, *streamed()[2:]]
    text = raw.post("/v1/messages", json={**ASK, "stream": True}).text
    assert text.count('event: ping\ndata: {"type":"ping"}') >= 3
    with client.messages.stream(**ASK) as stream:
        assert stream.get_final_text() == "Hello there, ship."


def test_what_is_not_supported_is_refused_by_name(play):
    _, client, raw, _ = play
    for extra, words in [
        ({"flavour": 1}, "flavour: Extra inputs are not permitted"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking: is not supported by this model"),
        ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"messages": []}, "messages: Input should have at least 1 items"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text: Field required"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role: Input should be 'user' or 'assistant'"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.input_schema: Field required"),
        ({"messages": [*SAY, {"role": "assistant", "content": "I"}]}, "assistant message prefill"),
    ]:
        answer = raw.post("/v1/messages", json={**ASK, **extra})
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
        assert words in answer.json()["error"]["message"]
    missing = raw.post("/v1/messages", json={"model": "aether-tiny", "messages": SAY}).json()
    assert missing["error"]["message"] == "max_tokens: Field required"
    assert raw.get("/v1/elsewhere").json()["error"] == {"type": "not_found_error", "message": "Not Found"}
    assert raw.get("/v1/messages").status_code == 405
    assert client.messages.create(**ASK, thinking={"type": "disabled"}).role == "assistant"


def test_the_asynchronous_client_streams_many_at_once(play):
    async def work(url):
        async with anthropic.AsyncAnthropic(api_key=KEY, base_url=url, max_retries=0) as client:

            async def one():
                async with client.messages.stream(**ASK) as stream:
                    return await stream.get_final_text()

            assert await asyncio.gather(*(one() for _ in range(20))) == ["Hello there, ship."] * 20

    asyncio.run(work(play[3]))


def test_limits_are_told_in_the_vendors_names(play):
    desk, client, _, _ = play
    desk.left = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-tokens": "59",
        "x-ratelimit-reset-requests": "1m0.5s",
    }
    said = client.messages.with_raw_response.create(**ASK).headers
    assert (said["anthropic-ratelimit-requests-limit"], said["anthropic-ratelimit-tokens-remaining"]) == ("60", "59")
    moment = anthropic_limits(desk.left, datetime(2026, 1, 1, tzinfo=UTC))["anthropic-ratelimit-requests-reset"]
    assert moment == "2026-01-01T00:01:00Z"
