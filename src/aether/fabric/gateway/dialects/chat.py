"""OpenAI's chat completions: the fabric's own form, so nearly passed through."""

from __future__ import annotations

from typing import Any

from aether.fabric.gateway.asks import Trouble
from aether.fabric.gateway.dialects import Asked, Bill, Dialect
from aether.fabric.gateway.dialects import trouble as said
from aether.fabric.gateway.dialects.form import (
    ARRAY,
    BOOLEAN,
    MODEL,
    OBJECT,
    STRING,
    Field,
    Path,
    Wrong,
    check,
    integer,
    number,
    one_of,
    read,
    spoken,
    texts,
)  # fmt: skip
from aether.fabric.gateway.dialects.frames import data

# sampling that OpenAI does not have and that vLLM, SGLang and llama.cpp do
EXTENSIONS = {
    "ignore_eos": BOOLEAN, "min_p": number(0, 1), "min_tokens": integer(0), "repetition_penalty": number(0), "top_k": integer(-1),
}  # fmt: skip
SAMPLING = {
    "frequency_penalty": number(-2, 2), "logit_bias": OBJECT, "n": integer(1, 128), "presence_penalty": number(-2, 2), "seed": integer(),
    "stop": Field(("string", "array")), "temperature": number(0, 2), "top_p": number(0, 1), "max_tokens": integer(1), **EXTENSIONS,
}  # fmt: skip
STREAM = {"stream": BOOLEAN, "stream_options": OBJECT}
KNOWN_BY = {"prompt_cache_key": STRING, "user": STRING}
# read here and not handed on: nothing is stored, there is one tier, and beginnings of prompts are kept anyway
KEPT_HERE = {
    "metadata": OBJECT, "modalities": ARRAY, "prompt_cache_retention": one_of("in_memory", "in-memory", "24h"),
    "safety_identifier": STRING, "service_tier": one_of("auto", "default"), "store": BOOLEAN,
}  # fmt: skip
FIELDS = {
    "model": MODEL, "messages": Field(("array",), low=1, required=True), **SAMPLING, **STREAM, **KNOWN_BY, **KEPT_HERE,
    "logprobs": BOOLEAN, "top_logprobs": integer(0, 20), "max_completion_tokens": integer(1), "parallel_tool_calls": BOOLEAN,
    "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"), "response_format": OBJECT, "tools": ARRAY,
    "tool_choice": Field(("string", "object")),
}  # fmt: skip
UNSUPPORTED = frozenset({
    "audio", "function_call", "functions", "moderation", "prediction", "prompt_cache_options", "verbosity", "web_search_options",
})  # fmt: skip
STREAM_OPTIONS = {"include_usage": BOOLEAN, "include_obfuscation": BOOLEAN}
ROLES = ("developer", "system", "user", "assistant", "tool")
STOPS = 4  # stop sequences, OpenAI's own bound
DEVICES = 128  # tools, OpenAI's own bound


def _required(item: dict[str, Any], name: str, field: Field, path: Path) -> Any:
    if item.get(name) is None:
        raise Wrong((*path, name), "missing")
    check(item[name], field, (*path, name))
    return item[name]


def _part(part: Any, path: Path) -> None:
    check(part, OBJECT, path)
    match _required(part, "type", STRING, path):
        case "text":
            _required(part, "text", STRING, path)
        case "refusal":
            _required(part, "refusal", STRING, path)
        case "image_url":
            _required(_required(part, "image_url", OBJECT, path), "url", STRING, (*path, "image_url"))
        case other:
            raise Wrong((*path, "type"), "value", ("text", "image_url"), other)


def _tool_calls(calls: Any, path: Path) -> None:
    check(calls, Field(("array",), low=1), path)
    for i, call in enumerate(calls):
        here = (*path, i)
        check(call, OBJECT, here)
        _required(call, "id", STRING, here)
        if _required(call, "type", STRING, here) != "function":
            raise Wrong((*here, "type"), "value", ("function",), call["type"])
        function = _required(call, "function", OBJECT, here)
        _required(function, "name", STRING, (*here, "function"))
        _required(function, "arguments", STRING, (*here, "function"))


def _message(message: Any, path: Path) -> None:
    check(message, OBJECT, path)
    role = _required(message, "role", STRING, path)
    if role not in ROLES:
        raise Wrong((*path, "role"), "value", ROLES, role)
    calls = message.get("tool_calls") if role == "assistant" else None
    if calls is not None:
        _tool_calls(calls, (*path, "tool_calls"))
    if role == "tool":
        _required(message, "tool_call_id", STRING, path)
    content = message.get("content")
    if content is None:
        if not calls and message.get("refusal") is None:
            raise Wrong((*path, "content"), "missing")
    elif isinstance(content, list):
        for i, part in enumerate(content):
            _part(part, (*path, "content", i))
    else:
        check(content, Field(("string", "array")), (*path, "content"))


def _tools(kept: dict[str, Any]) -> None:
    for i, tool in enumerate(kept.get("tools", ())):
        path: Path = ("tools", i)
        check(tool, OBJECT, path)
        if _required(tool, "type", STRING, path) != "function":
            raise Wrong((*path, "type"), "value", ("function",), tool["type"])
        function = _required(tool, "function", OBJECT, path)
        _required(function, "name", Field(("string",), low=1), (*path, "function"))
    check(kept.get("tools", []), Field(("array",), high=DEVICES), ("tools",))
    choice = kept.get("tool_choice")
    if isinstance(choice, str):
        check(choice, one_of("none", "auto", "required"), ("tool_choice",))
    elif choice is not None:
        if _required(choice, "type", STRING, ("tool_choice",)) != "function":
            raise Wrong(("tool_choice", "type"), "value", ("function",), choice["type"])
        _required(_required(choice, "function", OBJECT, ("tool_choice",)), "name", STRING, ("tool_choice", "function"))
    if choice not in (None, "none", "auto") and not kept.get("tools"):
        raise Wrong(("tools",), "missing")


def _common(kept: dict[str, Any]) -> None:
    if isinstance(stop := kept.get("stop"), list):
        texts(stop, ("stop",), STOPS)
    for token, bias in kept.get("logit_bias", {}).items():
        check(bias, number(-100, 100), ("logit_bias", token))


def finish(kept: dict[str, Any], opening: Any, here: frozenset[str] = frozenset()) -> Asked:
    """A request whose fields are checked, without those that are kept here."""
    _common(kept)
    options = read(kept.pop("stream_options", {}), STREAM_OPTIONS, path=("stream_options",))
    stream = kept.pop("stream", False)
    if options and not stream:
        raise Wrong(("stream_options",), "unsupported")
    same = kept.pop("prompt_cache_key", "") or kept.get("user", "")
    for name in here | {"user"}:
        kept.pop(name, None)
    if "max_completion_tokens" in kept:  # the older name is the one that every server knows
        kept["max_tokens"] = kept.pop("max_completion_tokens")
    return Asked(kept, kept["model"], stream, bool(options.get("include_usage")), same, opening)


def opening_of(messages: list[Any]) -> list[Any]:
    """The messages that a conversation begins with: up to the first that is not a system's."""
    first = next(
        (i for i, message in enumerate(messages) if message["role"] not in ("system", "developer")), len(messages)
    )
    return messages[: first + 1]


def _accept(body: Any) -> Asked:
    kept = read(body, FIELDS, UNSUPPORTED)
    for i, message in enumerate(kept["messages"]):
        _message(message, ("messages", i))
    _tools(kept)
    if kept.get("modalities", ["text"]) != ["text"]:
        raise Wrong(("modalities",), "unsupported")
    if "response_format" in kept:
        kind = _required(kept["response_format"], "type", STRING, ("response_format",))
        check(kind, one_of("text", "json_object", "json_schema"), ("response_format", "type"))
    return finish(kept, opening_of(kept["messages"]), frozenset(KEPT_HERE))


def whole(body: dict[str, Any], _asked: Asked, bill: Bill) -> dict[str, Any]:
    """An answer in one piece, with where it came from under its usage."""
    if not isinstance(body["data"] if "data" in body else body["choices"], list):
        raise TypeError("choices")
    usage = body.get("usage") or {}
    return {**body, "usage": {**usage, "aether": bill(usage)}}


class Chunks:
    """A stream of OpenAI's chunks; usage where it was asked for."""

    ping = b""

    def __init__(self, asked: Asked, bill: Bill) -> None:
        self.wanted, self.bill = asked.usage, bill

    def piece(self, chunk: dict[str, Any]) -> bytes:
        """The frame of a chunk; none for one that tells only a usage that was not asked for."""
        choices, usage = chunk["choices"], chunk.get("usage")
        if not isinstance(choices, list):
            raise TypeError("choices")
        if self.wanted:
            if usage and not choices:
                usage = {**usage, "aether": self.bill(usage)}
            return data({**chunk, "usage": usage})
        if "usage" not in chunk:
            return data(chunk)
        return data({name: value for name, value in chunk.items() if name != "usage"}) if choices else b""

    def end(self) -> bytes:
        """The mark that ends it."""
        return b"data: [DONE]\n\n"

    def broken(self, trouble: Trouble, request_id: str) -> bytes:
        """The error that ends it, without the mark."""
        return data(said.openai.error(trouble, request_id)[1])


accept = spoken(said.openai_says, _accept)
dialect = Dialect("/v1/chat/completions", said.openai, accept, whole, Chunks)
