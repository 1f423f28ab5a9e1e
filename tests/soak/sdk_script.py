"""What one version of a vendor's SDK does with a gateway: `python sdk_script.py openai|anthropic URL KEY`; fails where it differs."""

import asyncio
import json
import sys
import warnings

warnings.simplefilter("ignore")  # an old SDK on a new Python warns of itself
VENDOR, URL, KEY = sys.argv[1:]
SAY = [{"role": "user", "content": "Hi"}]
TEXT = "Hello there, ship."


def raises(kind, act):
    """The error of a kind that an act must raise."""
    try:
        act()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def with_openai():
    """Chat, completions, embeddings, models, errors, retries and, where the SDK has them, responses."""
    import openai

    client = openai.OpenAI(api_key=KEY, base_url=f"{URL}/v1", max_retries=0)
    done = ["chat", "stream", "tools", "completions", "embeddings", "models", "errors", "retries", "timeout", "async"]
    chat = {"model": "aether-tiny", "messages": SAY}
    assert client.chat.completions.create(**chat, stop=["x"]).choices[0].message.content == TEXT
    pieces = list(client.chat.completions.create(**chat, stream=True, stream_options={"include_usage": True}))
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == TEXT
    assert pieces[-1].usage.total_tokens == 14
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    called = client.chat.completions.create(model="calls", messages=SAY, tools=[tool]).choices[0].message
    assert json.loads(called.tool_calls[0].function.arguments) == {"city": "Oslo"}
    back = [*SAY, called, {"role": "tool", "tool_call_id": "call_1", "content": "rain"}]
    assert (
        client.chat.completions.create(model="aether-tiny", messages=back, tools=[tool]).choices[0].message.content
        == TEXT
    )
    assert client.completions.create(model="aether-tiny", prompt="a").choices[0].text == "Hello there"
    assert client.embeddings.create(model="aether-tiny", input="a").data[0].embedding == [0.5, -0.25, 0.125]
    assert "aether-tiny" in [model.id for model in client.models.list()]
    assert (
        raises(openai.NotFoundError, lambda: client.chat.completions.create(model="none", messages=SAY)).code
        == "model_not_found"
    )
    raises(openai.BadRequestError, lambda: client.chat.completions.create(**chat, extra_body={"flavour": 1}))
    raises(openai.AuthenticationError, lambda: client.with_options(api_key="sk-wrong").models.list())
    raises(openai.RateLimitError, lambda: client.chat.completions.create(model="limited", messages=SAY))
    raises(openai.InternalServerError, lambda: client.chat.completions.create(model="overloaded", messages=SAY))
    broken = raises(
        openai.APIError, lambda: list(client.chat.completions.create(model="breaks", messages=SAY, stream=True))
    )
    assert "the ship was lost" in str(broken)
    assert (
        client.with_options(max_retries=2)
        .chat.completions.create(model="twice", messages=SAY)
        .choices[0]
        .message.content
        == TEXT
    )
    raises(
        openai.APITimeoutError,
        lambda: client.with_options(timeout=0.2).chat.completions.create(model="slow", messages=SAY),
    )
    if hasattr(client, "responses"):
        done.append("responses")
        assert client.responses.create(model="aether-tiny", input="Hi").output_text == TEXT
        if hasattr(client.responses, "input_tokens"):
            assert client.responses.input_tokens.count(model="aether-tiny", input="Hi").input_tokens == 11
        events = list(client.responses.create(model="aether-tiny", input="Hi", stream=True))
        assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
        assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == TEXT

    async def work():
        async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{URL}/v1", max_retries=0) as another:
            stream = await another.chat.completions.create(**chat, stream=True)
            assert "".join([piece.choices[0].delta.content or "" async for piece in stream]) == TEXT

    asyncio.run(work())
    return openai.__version__, done


def with_anthropic():
    """Messages, tools, counts, models, errors, retries."""
    import anthropic

    client = anthropic.Anthropic(api_key=KEY, base_url=URL, max_retries=0)
    done = ["messages", "stream", "tools", "errors", "retries", "timeout", "async"]
    ask = {"max_tokens": 9, "messages": SAY}
    whole = client.messages.create(model="aether-tiny", **ask, stop_sequences=["x"], system="Be brief.")
    assert (whole.content[0].text, whole.usage.output_tokens, whole.stop_reason) == (TEXT, 3, "end_turn")
    with client.messages.stream(model="aether-tiny", **ask) as stream:
        assert "".join(stream.text_stream) == TEXT
        assert stream.get_final_message().usage.output_tokens == 3
    tool = {"name": "weather", "input_schema": {"type": "object"}}
    called = client.messages.create(model="calls", **ask, tools=[tool])
    assert called.content[-1].input == {"city": "Oslo"}
    with client.messages.stream(model="calls", **ask, tools=[tool]) as stream:
        assert [block.input for block in stream.get_final_message().content[1:]] == [{"city": "Oslo"}, {"city": "Rome"}]
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "rain"}
    back = [*SAY, {"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    assert (
        client.messages.create(model="aether-tiny", max_tokens=9, messages=back, tools=[tool]).content[0].text == TEXT
    )
    if hasattr(client.messages, "count_tokens"):
        done.append("count_tokens")
        assert client.messages.count_tokens(model="aether-tiny", messages=SAY).input_tokens == 11
    if hasattr(client, "models"):
        done.append("models")
        assert "aether-tiny" in [model.id for model in client.models.list()]
    raises(anthropic.NotFoundError, lambda: client.messages.create(model="none", **ask))
    raises(
        anthropic.BadRequestError, lambda: client.messages.create(model="aether-tiny", **ask, extra_body={"flavour": 1})
    )
    raises(
        anthropic.AuthenticationError,
        lambda: client.with_options(api_key="sk-wrong").messages.create(model="aether-tiny", **ask),
    )
    raises(anthropic.RateLimitError, lambda: client.messages.create(model="limited", **ask))
    full = raises(anthropic.APIStatusError, lambda: client.messages.create(model="overloaded", **ask))
    assert full.status_code == 529  # an InternalServerError in the first and the latest versions only
    broken = raises(anthropic.APIStatusError, lambda: list(client.messages.create(model="breaks", **ask, stream=True)))
    assert "the ship was lost" in str(broken)
    assert client.with_options(max_retries=2).messages.create(model="twice", **ask).content[0].text == TEXT
    raises(anthropic.APITimeoutError, lambda: client.with_options(timeout=0.2).messages.create(model="slow", **ask))

    async def work():
        async with (
            anthropic.AsyncAnthropic(api_key=KEY, base_url=URL, max_retries=0) as another,
            another.messages.stream(model="aether-tiny", **ask) as stream,
        ):
            assert await stream.get_final_text() == TEXT

    asyncio.run(work())
    return anthropic.__version__, done


print(json.dumps(with_openai() if VENDOR == "openai" else with_anthropic()))
