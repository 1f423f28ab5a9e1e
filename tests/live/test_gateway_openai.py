"""OpenAI's SDK speaks with the gateway: what it is given is what the vendor's documentation says."""

import asyncio
import base64
import json
import struct

import httpx
import openai
import pytest
from aiohttp import web
from openai.types import CreateEmbeddingResponse, responses
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from aether.fabric.gateway.asks import Trouble
from gateway_play import CALL, KEY, OTHER, PlayDesk, chunk, front, streamed, streamed_calls, until, whole_chat

SAY = [{"role": "user", "content": "Hi"}]
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
FLAT = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}


@pytest.fixture(scope="module")
def served():
    desk = PlayDesk()
    with (
        front(desk) as url,
        httpx.Client(base_url=url, headers={"authorization": f"Bearer {KEY}"}, trust_env=False) as raw,
        openai.OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0) as client,
    ):
        yield desk, client, raw, url


@pytest.fixture
def play(served):
    desk, client, raw, url = served
    desk.__init__()
    return desk, client, raw, url


def test_a_chat_is_answered_in_one_piece_with_its_route(play):
    desk, client, _, _ = play
    raw = client.chat.completions.with_raw_response.create(
        model="aether-tiny",
        messages=SAY,
        max_completion_tokens=9,
        temperature=0.5,
        stop=["x"],
        seed=7,
        user="u1",
        store=False,
    )
    answer = raw.parse()
    ChatCompletion.model_validate(json.loads(raw.text), strict=True)
    assert answer.choices[0].message.content == "Hello there, ship."
    assert answer.usage.prompt_tokens == 11
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    assert answer._request_id.startswith("req_")
    assert desk.asks[0].request_id == answer._request_id
    assert desk.asks[0].body == {
        "model": "aether-tiny", "messages": SAY, "max_tokens": 9, "temperature": 0.5, "stop": ["x"], "seed": 7,
    }  # fmt: skip
    said = raw.headers
    assert (said["x-aether-ship"], said["x-aether-deployment"], said["x-aether-country"]) == ("ship-07", "tiny", "US")
    assert (said["x-aether-modelled-round-trip-ms"], said["x-aether-measured-first-byte-ms"]) == ("42.100", "53.300")
    assert (said["x-aether-tries"], said["x-aether-price-usd-per-mtok"]) == ("2", "0.5;2")
    assert float(said["x-aether-cost-usd"]) == pytest.approx((11 * 0.5 + 3 * 2.0) / 1e6)
    assert int(said["openai-processing-ms"]) >= 0
    assert answer.usage.aether["cost_usd"] == pytest.approx(11.5e-6)


def test_a_chat_is_streamed_with_usage_where_it_is_asked_for(play):
    _, client, _, _ = play
    asked = {"model": "aether-tiny", "messages": SAY, "stream": True}
    bare = list(client.chat.completions.create(**asked))
    assert "".join(piece.choices[0].delta.content or "" for piece in bare) == "Hello there, ship."
    assert all(piece.usage is None for piece in bare)
    told = list(client.chat.completions.create(**asked, stream_options={"include_usage": True}))
    assert [piece.usage for piece in told[:-1]] == [None] * (len(told) - 1)
    assert told[-1].choices == []
    assert told[-1].usage.completion_tokens == 3
    assert told[-1].usage.aether["ship"] == "ship-07"
    for piece in told:
        ChatCompletionChunk.model_validate(piece.to_dict(), strict=True)


def test_usage_that_comes_with_the_last_words_is_still_told_only_where_asked(play):
    desk, client, _, _ = play
    desk.pieces = [
        chunk({"content": "a"}),
        chunk({"content": "b"}, "stop", usage={"prompt_tokens": 1, "completion_tokens": 2}),
    ]
    assert all(
        piece.usage is None for piece in client.chat.completions.create(model="aether-tiny", messages=SAY, stream=True)
    )


def test_tools_go_both_ways(play):
    desk, client, _, _ = play
    desk.answer = whole_chat(None, "tool_calls", [CALL])
    first = client.chat.completions.create(model="aether-tiny", messages=SAY, tools=[TOOL], tool_choice="required")
    call = first.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Oslo"}
    assert desk.asks[0].body["tools"] == [TOOL]
    desk.answer = whole_chat("Rain.")
    back = [*SAY, first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    assert (
        client.chat.completions.create(model="aether-tiny", messages=back, tools=[TOOL]).choices[0].message.content
        == "Rain."
    )
    assert desk.asks[1].body["messages"][1]["tool_calls"] == [CALL]
    desk.pieces = streamed_calls()
    with client.chat.completions.stream(model="aether-tiny", messages=SAY, tools=[TOOL]) as stream:
        final = stream.get_final_completion()
    assert [json.loads(one.function.arguments)["city"] for one in final.choices[0].message.tool_calls] == [
        "Oslo",
        "Rome",
    ]


def test_completions_whole_and_streamed(play):
    _, client, _, _ = play
    assert client.completions.create(model="aether-tiny", prompt="Say").choices[0].text == "Hello there"
    pieces = client.completions.create(
        model="aether-tiny", prompt=[1, 2], stream=True, stream_options={"include_usage": True}
    )
    texts = [piece.choices[0].text if piece.choices else piece.usage.total_tokens for piece in pieces]
    assert texts == ["Hel", "lo", 14]


def test_embeddings_as_floats_and_packed(play):
    desk, client, raw, _ = play
    assert client.embeddings.create(model="aether-tiny", input=["a", "b"]).data[1].embedding == [0.5, -0.25, 0.125]
    plain = client.embeddings.create(model="aether-tiny", input="a", encoding_format="float")
    assert plain.data[0].embedding == [0.5, -0.25, 0.125]
    packed = raw.post("/v1/embeddings", json={"model": "aether-tiny", "input": "a", "encoding_format": "base64"}).json()
    assert struct.unpack("<3f", base64.b64decode(packed["data"][0]["embedding"])) == (0.5, -0.25, 0.125)
    CreateEmbeddingResponse.model_validate(plain.to_dict(), strict=True)
    assert [ask.body["encoding_format"] for ask in desk.asks] == ["float"] * 3


def test_models_are_listed_to_those_who_may_use_them(play):
    _, client, raw, url = play
    assert [model.id for model in client.models.list()] == ["aether-tiny", "big/model", "ft:aether-tiny:acme::a1"]
    assert client.models.retrieve("big/model").owned_by == "aether"
    assert raw.get("/v1/models").json()["data"][0]["aether"]["price_usd_per_mtok"] == {"in": 0.5, "out": 2.0}
    with openai.OpenAI(api_key=OTHER, base_url=f"{url}/v1", max_retries=0) as other:
        assert len(list(other.models.list())) == 2
        with pytest.raises(openai.NotFoundError):
            other.models.retrieve("ft:aether-tiny:acme::a1")


def test_a_response_is_answered_and_repeats_what_was_asked(play):
    desk, client, _, _ = play
    raw = client.responses.with_raw_response.create(
        model="aether-tiny", input="Hi", instructions="Be brief.", max_output_tokens=5, temperature=0.25, tools=[FLAT]
    )
    answer = raw.parse()
    responses.Response.model_validate_json(raw.text, strict=True)
    assert answer.output_text == "Hello there, ship."
    assert (answer.status, answer.instructions, answer.store) == ("completed", "Be brief.", False)
    assert (answer.usage.input_tokens, answer.usage.input_tokens_details.cached_tokens) == (11, 4)
    assert desk.asks[0].body == {
        "model": "aether-tiny", "max_tokens": 5, "temperature": 0.25,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}, "strict": False}}],
    }  # fmt: skip
    desk.answer = whole_chat("Cut", "length")
    cut = client.responses.create(model="aether-tiny", input="Hi")
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_calls_of_a_response_come_back_as_items(play):
    desk, client, _, _ = play
    desk.answer = whole_chat(None, "tool_calls", [CALL])
    items = [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]
    first = client.responses.create(
        model="aether-tiny", input=items, tools=[FLAT], tool_choice={"type": "function", "name": "weather"}
    )
    call = first.output[0]
    assert (call.type, call.call_id, call.arguments) == ("function_call", "call_1", '{"city": "Oslo"}')
    desk.answer = whole_chat("Rain.")
    back = [*items, *first.output, {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    second = client.responses.create(model="aether-tiny", input=back, tools=[FLAT])
    assert second.output_text == "Rain."
    assert desk.asks[1].body["messages"][1:] == [
        {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]  # fmt: skip
    desk.answer = whole_chat("Again.")
    third = client.responses.create(
        model="aether-tiny", input=[*back, *second.output, {"role": "user", "content": "More"}]
    )
    assert third.output_text == "Again."


def test_the_tokens_of_a_response_are_counted_before_it_is_asked_for(play):
    desk, client, raw, _ = play
    told = client.responses.input_tokens.count(model="aether-tiny", input="Hi", instructions="Be brief.", tools=[FLAT])
    assert (told.input_tokens, told.object) == (11, "response.input_tokens")
    asked = desk.asks[-1].body
    client.responses.create(model="aether-tiny", input="Hi", instructions="Be brief.", tools=[FLAT])
    assert asked == desk.asks[-1].body  # what is counted is what will be read
    for wrong in ("personality", "previous_response_id", "conversation", "temperature"):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.input_tokens.count(model="aether-tiny", input="Hi", extra_body={wrong: "1"})
        assert caught.value.param == wrong
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.input_tokens.count(model="aether-tiny")
    assert caught.value.param == "input"
    with pytest.raises(openai.NotFoundError):
        client.responses.input_tokens.count(model="none", input="Hi")
    assert raw.get("/v1/responses/input_tokens").status_code == 405


def test_a_response_is_streamed_in_the_documented_order(play):
    desk, client, _, _ = play
    events = list(client.responses.create(model="aether-tiny", input="Hi", stream=True))
    assert [event.type.removeprefix("response.") for event in events] == [
        "created", "in_progress", "output_item.added", "content_part.added", *["output_text.delta"] * 3, "output_text.done",
        "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.output_text == "Hello there, ship."
    assert events[-1].response.usage.aether["tries"] == 2
    for event in events:
        type(event).model_validate(event.to_dict(), strict=False)
    desk.pieces = streamed_calls()
    with client.responses.stream(model="aether-tiny", input="Hi", tools=[FLAT]) as stream:
        kinds = [event.type.removeprefix("response.") for event in stream]
        final = stream.get_final_response()
    call = [
        "output_item.added",
        *["function_call_arguments.delta"] * 2,
        "function_call_arguments.done",
        "output_item.done",
    ]
    assert kinds[-11:] == [*call, *call, "completed"]
    assert [json.loads(item.arguments)["city"] for item in final.output[1:]] == ["Oslo", "Rome"]
    desk.pieces = streamed([], "length")
    (*_, last) = client.responses.create(model="aether-tiny", input="Hi", stream=True)
    assert (last.type, last.response.status) == ("response.incomplete", "incomplete")


@pytest.mark.parametrize(
    ("trouble", "error", "code"),
    [
        (Trouble("invalid", "no", param="n"), openai.BadRequestError, None),
        (Trouble("unauthorised", "no"), openai.AuthenticationError, "invalid_api_key"),
        (Trouble("forbidden", "no"), openai.PermissionDeniedError, "insufficient_permissions"),
        (Trouble("missing", "no"), openai.NotFoundError, "model_not_found"),
        (Trouble("too-large", "no"), openai.APIStatusError, "request_too_large"),
        (Trouble("limited", "no", retry_after_s=1.5), openai.RateLimitError, "rate_limit_exceeded"),
        (Trouble("overloaded", "no", retry_after_s=0.2), openai.InternalServerError, "overloaded"),
        (Trouble("unavailable", "no"), openai.InternalServerError, "unavailable"),
        (Trouble("timeout", "no"), openai.InternalServerError, "timeout"),
        (Trouble("broken", "no"), openai.InternalServerError, "upstream_lost"),
        (Trouble("refused", "no", status=422), openai.UnprocessableEntityError, None),
    ],
)
def test_each_trouble_is_the_sdks_own_error(play, trouble, error, code):
    desk, client, _, _ = play
    desk.troubles = [trouble, trouble]
    for stream in (False, True):
        with pytest.raises(error) as caught:
            client.chat.completions.create(model="aether-tiny", messages=SAY, stream=stream)
        assert (caught.value.code, caught.value.param, caught.value.body["message"]) == (code, trouble.param, "no")
        assert caught.value.request_id.startswith("req_")
        if trouble.retry_after_s:
            assert int(caught.value.response.headers["retry-after"]) >= trouble.retry_after_s


def test_a_wrong_key_is_refused_and_never_repeated(play):
    _, _, raw, url = play
    with openai.OpenAI(api_key="sk-secret-and-wrong", base_url=f"{url}/v1", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.models.list()
        assert "secret" not in caught.value.response.text
    assert raw.get("/v1/models", headers={"authorization": "", "x-api-key": KEY}).status_code == 200


def test_the_sdk_tries_again_and_is_answered(play):
    desk, client, _, _ = play
    desk.troubles = [
        Trouble("limited", "slower", retry_after_s=0.05),
        Trouble("overloaded", "full", retry_after_s=0.05),
    ]
    again = client.with_options(max_retries=2)
    assert again.chat.completions.create(model="aether-tiny", messages=SAY).choices[0].finish_reason == "stop"
    assert len(desk.asks) == 3
    assert len({ask.request_id for ask in desk.asks}) == 3


def test_a_client_that_will_not_wait_gives_up_and_the_desk_is_told(play):
    desk, client, _, _ = play
    desk.delay_s = 30.0
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.2).chat.completions.create(model="aether-tiny", messages=SAY)
    until(lambda: desk.cancelled == 1)


def test_a_stream_that_the_client_leaves_is_closed_at_the_desk(play):
    desk, client, _, _ = play
    desk.pieces = [*streamed()[:2], 30.0, *streamed()]
    stream = client.chat.completions.create(model="aether-tiny", messages=SAY, stream=True)
    next(iter(stream))
    stream.close()
    until(lambda: desk.closed == 1)
    assert desk.delivered == 2


def test_a_stream_that_breaks_ends_with_the_vendors_error(play):
    desk, client, raw, _ = play
    desk.pieces = [*streamed()[:3], Trouble("broken", "the ship was lost")]
    with pytest.raises(openai.APIError, match="the ship was lost") as caught:
        list(client.chat.completions.create(model="aether-tiny", messages=SAY, stream=True))
    assert caught.value.code == "upstream_lost"
    text = raw.post("/v1/chat/completions", json={"model": "aether-tiny", "messages": SAY, "stream": True}).text
    assert text.endswith("\n\n")
    assert "[DONE]" not in text
    (*_, last) = client.responses.create(model="aether-tiny", input="Hi", stream=True)
    assert (last.type, last.response.error.message, last.response.status) == (
        "response.failed",
        "the ship was lost",
        "failed",
    )
    desk.pieces = [*streamed()[:2], {"nonsense": 1}]
    with pytest.raises(openai.APIError, match="an answer that is none"):
        list(client.chat.completions.create(model="aether-tiny", messages=SAY, stream=True))


def test_what_is_not_supported_is_refused_by_name(play):
    _, client, raw, _ = play
    for extra, param, code in [
        ({"audio": {"voice": "x", "format": "wav"}}, "audio", "unsupported_parameter"),
        ({"flavour": 1}, "flavour", "unknown_parameter"),
        ({"temperature": 3}, "temperature", "decimal_above_max_value"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"n": True}, "n", "invalid_type"),
        ({"messages": []}, "messages", "empty_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        (
            {"messages": [{"role": "user", "content": [{"type": "file"}]}]},
            "messages[0].content[0].type",
            "invalid_value",
        ),
        ({"tools": [{"type": "web"}]}, "tools[0].type", "invalid_value"),
    ]:
        answer = raw.post("/v1/chat/completions", json={"model": "aether-tiny", "messages": SAY, **extra})
        error = answer.json()["error"]
        assert (answer.status_code, error["param"], error["code"], error["type"]) == (
            400,
            param,
            code,
            "invalid_request_error",
        )
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="aether-tiny", input="Hi", previous_response_id="resp_1")
    assert caught.value.param == "previous_response_id"
    assert raw.get("/v1/chat/completions").status_code == 405
    assert raw.post("/v1/nothing").json()["error"]["message"] == "Invalid URL (POST /v1/nothing)"


def test_conversations_are_known_by_what_the_client_says_or_how_they_begin(play):
    desk, client, _, _ = play

    def ask(key=None, **more):
        one = client if key is None else client.with_options(api_key=key)
        one.chat.completions.create(model="aether-tiny", **{"messages": SAY, **more})
        return desk.asks[-1].conversation

    longer = [*SAY, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Go on"}]
    assert ask() == ask(messages=longer)
    assert ask() != ask(messages=[{"role": "user", "content": "Other"}])
    assert ask() != ask(key=OTHER)
    assert ask(user="u") == ask(user="u", messages=[{"role": "user", "content": "Other"}])
    assert ask(user="u") != ask(user="u", key=OTHER)
    assert ask(extra_headers={"x-aether-conversation": "c"}) == ask(
        extra_headers={"x-aether-conversation": "c"}, user="u"
    )
    ask(extra_headers={"x-aether-place": "Oslo", "x-aether-jurisdictions": "US, DE"})
    assert (desk.asks[-1].place, desk.asks[-1].jurisdictions) == ("Oslo", ("US", "DE"))
    with pytest.raises(openai.BadRequestError, match="two-letter"):
        ask(extra_headers={"x-aether-jurisdictions": "everywhere"})
    with pytest.raises(openai.BadRequestError, match="name of a city"):
        ask(extra_headers={"x-aether-place": "O" * 101})


def test_the_asynchronous_client_streams_many_at_once_and_cancels(play):
    desk, _, _, url = play

    async def work():
        async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0) as client:

            async def one():
                stream = await client.chat.completions.create(model="aether-tiny", messages=SAY, stream=True)
                return "".join([piece.choices[0].delta.content or "" async for piece in stream])

            assert await asyncio.gather(*(one() for _ in range(20))) == ["Hello there, ship."] * 20
            desk.pieces = [*streamed()[:2], 30.0]
            task = asyncio.create_task(one())
            while desk.delivered < 102:  # 20 streams of five, then two of this one
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    desk.pieces = [piece for piece in streamed() if piece["choices"]]
    asyncio.run(work())
    until(lambda: desk.closed == 1)


def test_limits_are_told_in_headers(play):
    desk, client, _, _ = play
    desk.left = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
    }
    said = client.chat.completions.with_raw_response.create(model="aether-tiny", messages=SAY).headers
    assert {name: said[name] for name in desk.left} == desk.left


def test_files_and_tuning_are_handed_on_as_they_are():
    seen = []

    async def pass_on(request):
        seen.append((request.method, request.path, await request.read()))
        if request.path.endswith("none"):
            raise Trouble("missing", "No such file.", code="file_not_found")
        return web.json_response({"object": "list", "data": []})

    with (
        front(PlayDesk(), pass_on=pass_on) as url,
        openai.OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0) as client,
    ):
        assert list(client.files.list()) == []
        assert list(client.fine_tuning.jobs.list()) == []
        with pytest.raises(openai.NotFoundError) as caught:
            client.files.delete("none")
        assert caught.value.code == "file_not_found"
        client.post("/feedback", cast_to=object, body={"a": 1})
    assert [line[:2] for line in seen] == [
        ("GET", "/v1/files"), ("GET", "/v1/fine_tuning/jobs"), ("DELETE", "/v1/files/none"), ("POST", "/v1/feedback"),
    ]  # fmt: skip
    assert json.loads(seen[-1][2]) == {"a": 1}
    with (
        front(PlayDesk()) as url,
        openai.OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0) as client,
        pytest.raises(openai.NotFoundError),
    ):
        client.files.list()
