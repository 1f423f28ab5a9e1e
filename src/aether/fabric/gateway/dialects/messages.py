"""Anthropic's messages and their tokens' count, over chat completions."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic_core import from_json

from aether.fabric.gateway.asks import Trouble
from aether.fabric.gateway.dialects import Asked, Bill, Count, Dialect
from aether.fabric.gateway.dialects import trouble as said
from aether.fabric.gateway.dialects.chat import opening_of
from aether.fabric.gateway.dialects.form import (
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
from aether.fabric.gateway.dialects.frames import event

CACHE = {"cache_control": OBJECT}  # beginnings of prompts are kept anyway
COUNTED = {
    "model": MODEL, "messages": Field(("array",), low=1, required=True), "system": Field(("string", "array")),
    "tools": Field(("array",)), "tool_choice": OBJECT, "thinking": OBJECT, "output_config": OBJECT, **CACHE,
}  # fmt: skip
FIELDS = {
    **COUNTED, "max_tokens": integer(1, required=True), "metadata": OBJECT, "stop_sequences": Field(("array",)), "stream": BOOLEAN,
    "temperature": number(0, 1), "top_k": integer(0), "top_p": number(0, 1), "service_tier": one_of("auto", "standard_only"),
}  # fmt: skip
ROLE = Field(("string",), among=("user", "assistant"), required=True)
CONTENT = Field(("string", "array"), required=True)
MESSAGE = {"role": ROLE, "content": CONTENT}
NEEDED = Field(("string",), required=True)
TEXT = {"type": NEEDED, "text": NEEDED, "citations": Field(("array",)), **CACHE}
IMAGE = {"type": NEEDED, "source": Field(("object",), required=True), **CACHE}
USE = {
    "type": NEEDED, "id": NEEDED, "name": NEEDED, "input": Field(("object",), required=True), "caller": OBJECT,
    "toolset_name": STRING, **CACHE,
}  # fmt: skip
RESULT = {"type": NEEDED, "tool_use_id": NEEDED, "content": Field(("string", "array")), "is_error": BOOLEAN, **CACHE}
TOOL = {
    "name": Field(("string",), low=1, high=128, required=True), "input_schema": Field(("object",), required=True), "description": STRING,
    "type": STRING, "strict": BOOLEAN, "eager_input_streaming": BOOLEAN, **CACHE,
}  # fmt: skip
SOURCES = {
    "base64": {
        "type": NEEDED,
        "media_type": one_of("image/jpeg", "image/png", "image/gif", "image/webp"),
        "data": NEEDED,
    },
    "url": {"type": NEEDED, "url": NEEDED},
}
CHOICE = {"type": NEEDED, "name": STRING, "disable_parallel_tool_use": BOOLEAN}
CHOICES = {"auto": "auto", "any": "required", "none": "none"}
STOPPED = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
# the vendor's own sentence for models that do not go on with an answer that was begun
NO_PREFILL = "This model does not support assistant message prefill. The conversation must end with a user message."


def _typed(block: Any, forms: dict[str, Any], path: Path) -> dict[str, Any]:
    """A block with its fields checked by its type."""
    check(block, OBJECT, path)
    if "type" not in block:
        raise Wrong((*path, "type"), "missing")
    check(block["type"], STRING, (*path, "type"))
    if block["type"] not in forms:
        raise Wrong((*path, "type"), "value", tuple(forms), block["type"])
    return read(block, forms[block["type"]], path=path)


def _image(block: dict[str, Any], path: Path) -> dict[str, Any]:
    source = _typed(block["source"], SOURCES, (*path, "source"))
    if source["type"] == "url":
        url = source["url"]
    else:
        if "media_type" not in source:
            raise Wrong((*path, "source", "media_type"), "missing")
        url = f"data:{source['media_type']};base64,{source['data']}"
    return {"type": "image_url", "image_url": {"url": url}}


def _parts(content: str | list[Any], forms: dict[str, Any], path: Path) -> str | list[dict[str, Any]]:
    """Texts and images as chat's parts; a text alone as it is."""
    if isinstance(content, str):
        return content
    parts: list[dict[str, Any]] = []
    for i, item in enumerate(content):
        block = _typed(item, forms, (*path, i))
        parts.append({"type": "text", "text": block["text"]} if block["type"] == "text" else _image(block, (*path, i)))
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _result(block: dict[str, Any], path: Path) -> dict[str, Any]:
    content = _parts(block.get("content", ""), {"text": TEXT, "image": IMAGE}, (*path, "content"))
    if block.get("is_error"):  # chat has no mark for it: the model is told in words
        note = "The tool failed: "
        content = note + content if isinstance(content, str) else [{"type": "text", "text": note}, *content]
    return {"role": "tool", "tool_call_id": block["tool_use_id"], "content": content}


def _user(content: list[Any], path: Path) -> list[dict[str, Any]]:
    """Results of tools as messages of their own, then what the user said."""
    results, rest = [], []
    forms = {"text": TEXT, "image": IMAGE, "tool_result": RESULT}
    for i, item in enumerate(content):
        block = _typed(item, forms, (*path, i))
        if block["type"] == "tool_result":
            results.append(_result(block, (*path, i)))
        else:
            rest.append(item)
    said_here = _parts(rest, forms, path)
    return results + ([{"role": "user", "content": said_here}] if rest else [])


def _assistant(content: list[Any], path: Path) -> dict[str, Any]:
    words: list[str] = []
    calls: list[dict[str, Any]] = []
    for i, item in enumerate(content):
        block = _typed(item, {"text": TEXT, "tool_use": USE}, (*path, i))
        if block["type"] == "text":
            words.append(block["text"])
        else:
            function = {"name": block["name"], "arguments": json.dumps(block["input"])}
            calls.append({"id": block["id"], "type": "function", "function": function})
    message: dict[str, Any] = {"role": "assistant", "content": "".join(words) or (None if calls else "")}
    return {**message, "tool_calls": calls} if calls else message


def _messages(kept: dict[str, Any]) -> list[dict[str, Any]]:
    messages = []
    if system := kept.get("system"):
        messages.append({"role": "system", "content": _parts(system, {"text": TEXT}, ("system",))})
    for i, item in enumerate(kept["messages"]):
        path: Path = ("messages", i)
        message = read(item, MESSAGE, path=path)
        content = message["content"]
        if isinstance(content, str):
            messages.append({"role": message["role"], "content": content})
        elif message["role"] == "user":
            check(content, Field(("array",), low=1), (*path, "content"))
            messages += _user(content, (*path, "content"))
        else:
            messages.append(_assistant(content, (*path, "content")))
    if kept["messages"][-1]["role"] == "assistant":
        raise Trouble("invalid", NO_PREFILL)
    return messages


def _tools(kept: dict[str, Any]) -> dict[str, Any]:
    """Chat's tools and choice of them."""
    tools: list[dict[str, Any]] = []
    for i, item in enumerate(kept.get("tools", ())):
        tool: dict[str, Any] = read(item, TOOL, path=("tools", i))
        if tool.get("type", "custom") != "custom":
            raise Wrong(("tools", i, "type"), "value", ("custom",), tool["type"])
        function: dict[str, Any] = {name: tool[name] for name in ("name", "description", "strict") if name in tool}
        function["parameters"] = tool["input_schema"]
        tools.append({"type": "function", "function": function})
    turned: dict[str, Any] = {"tools": tools} if tools else {}
    if "tool_choice" in kept:
        choice = read(kept["tool_choice"], CHOICE, path=("tool_choice",))
        check(choice["type"], one_of("auto", "any", "tool", "none"), ("tool_choice", "type"))
        if not tools and choice["type"] != "none":
            raise Wrong(("tools",), "missing")
        if choice["type"] == "tool":
            if "name" not in choice:
                raise Wrong(("tool_choice", "name"), "missing")
            turned["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
        elif tools:
            turned["tool_choice"] = CHOICES[choice["type"]]
        if choice.get("disable_parallel_tool_use"):
            turned["parallel_tool_calls"] = False
    return turned


def _output(kept: dict[str, Any]) -> dict[str, Any]:
    """Chat's form of the answer and effort; thinking that is asked for is refused."""
    if "thinking" in kept and kept["thinking"].get("type") != "disabled":
        raise Wrong(("thinking",), "unsupported")
    config = read(kept.get("output_config", {}), {"effort": STRING, "format": OBJECT}, path=("output_config",))
    turned: dict[str, Any] = {}
    if "effort" in config:
        check(config["effort"], one_of("low", "medium", "high", "xhigh", "max"), ("output_config", "effort"))
        turned["reasoning_effort"] = config["effort"]
    if "format" in config:
        fields = {
            "type": Field(("string",), among=("json_schema",), required=True),
            "schema": Field(("object",), required=True),
        }
        schema = read(config["format"], fields, path=("output_config", "format"))["schema"]
        turned["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": True},
        }
    return turned


def _accept(body: Any) -> Asked:
    kept = read(body, FIELDS)
    return _turn(kept)


def _count(body: Any) -> Asked:
    return _turn(read(body, COUNTED))


def _turn(kept: dict[str, Any]) -> Asked:
    messages = _messages(kept)
    turned: dict[str, Any] = {"model": kept["model"], "messages": messages, **_tools(kept), **_output(kept)}
    for name in ("max_tokens", "temperature", "top_k", "top_p"):
        if name in kept:
            turned[name] = kept[name]
    if "stop_sequences" in kept:
        texts(kept["stop_sequences"], ("stop_sequences",))
        if kept["stop_sequences"]:
            turned["stop"] = kept["stop_sequences"]
    user = read(kept.get("metadata", {}), {"user_id": STRING}, path=("metadata",)).get("user_id", "")
    return Asked(turned, kept["model"], kept.get("stream", False), True, user, opening_of(messages), kept)


def _stop(choice: dict[str, Any], asked: Asked) -> dict[str, Any]:
    """Why it ended; the sequence where the server says which (vLLM and aether-tiny: `stop_reason`)."""
    sequence = choice.get("stop_reason")
    if choice.get("finish_reason") == "stop" and sequence in asked.said.get("stop_sequences", ()):
        return {"stop_reason": "stop_sequence", "stop_sequence": sequence}
    return {"stop_reason": STOPPED.get(choice.get("finish_reason") or "stop", "end_turn"), "stop_sequence": None}


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    """Anthropic's usage: tokens read from a cache are not among `input_tokens`."""
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return {
        "input_tokens": usage.get("prompt_tokens", 0) - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.get("completion_tokens", 0),
    }


def _ident(answer: str) -> str:
    return "msg_" + re.sub(r"[^A-Za-z0-9]", "", answer.split("-", 1)[-1])


def _input(arguments: str) -> dict[str, Any]:
    """A call's input; arguments that are no JSON object under the name that the vendor's guide gives them."""
    try:
        value = from_json(arguments or "{}")
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"INVALID_JSON": arguments}


def whole(body: dict[str, Any], asked: Asked, bill: Bill) -> dict[str, Any]:
    """An answer in one piece."""
    choice = body["choices"][0]
    message, content = choice["message"], []
    if message.get("content"):
        content.append({"type": "text", "text": message["content"], "citations": None})
    for call in message.get("tool_calls") or ():
        function = call["function"]
        content.append(
            {"type": "tool_use", "id": call["id"], "name": function["name"], "input": _input(function["arguments"])}
        )
    usage = body.get("usage") or {}
    return {
        "id": _ident(body["id"]), "type": "message", "role": "assistant", "model": body["model"], "content": content,
        **_stop(choice, asked), "usage": {**_usage(usage), "service_tier": "standard", "aether": bill(usage)},
    }  # fmt: skip


class Events:
    """A stream of Anthropic's events: one block of content at a time."""

    ping = event({"type": "ping"})

    def __init__(self, asked: Asked, bill: Bill) -> None:
        self.asked, self.bill = asked, bill
        self.started = False
        self.block = -1  # of the answer's content
        self.open = ""  # "text", or "tool" and its number among the calls; "" for none
        self.seen: set[str] = set()
        self.choice: dict[str, Any] = {}
        self.usage: dict[str, Any] = {}

    def piece(self, chunk: dict[str, Any]) -> bytes:
        """The events of a chunk."""
        self.usage = chunk.get("usage") or self.usage
        frames = [] if self.started else self._start(chunk)
        for choice in chunk["choices"]:
            delta = choice.get("delta") or {}
            if delta.get("content"):
                frames += self._begin("text", {"type": "text", "text": ""})
                frames.append(self._delta({"type": "text_delta", "text": delta["content"]}))
            for call in delta.get("tool_calls") or ():
                frames += self._call(call)
            if choice.get("finish_reason"):
                self.choice = choice
        return b"".join(frames)

    def _start(self, chunk: dict[str, Any]) -> list[bytes]:
        self.started = True
        usage = {**_usage(self.usage), "output_tokens": 0, "service_tier": "standard"}
        message = {
            "id": _ident(chunk["id"]), "type": "message", "role": "assistant", "model": chunk["model"], "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": usage,
        }  # fmt: skip
        return [event({"type": "message_start", "message": message}), self.ping]

    def _begin(self, name: str, block: dict[str, Any]) -> list[bytes]:
        """Open a block, and close the one before it; nothing where it is open."""
        if name == self.open:
            return []
        if name in self.seen and name != "text":
            raise Trouble("broken", "the model's server went back to a tool call that it had ended")
        frames = self._close()
        self.open, self.block = name, self.block + 1
        self.seen.add(name)
        frames.append(event({"type": "content_block_start", "index": self.block, "content_block": block}))
        return frames

    def _call(self, call: dict[str, Any]) -> list[bytes]:
        function, name = call.get("function") or {}, f"tool {call['index']}"
        block = (
            {} if name in self.seen else {"type": "tool_use", "id": call["id"], "name": function["name"], "input": {}}
        )
        frames = self._begin(name, block)
        if function.get("arguments"):
            frames.append(self._delta({"type": "input_json_delta", "partial_json": function["arguments"]}))
        return frames

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return event({"type": "content_block_delta", "index": self.block, "delta": delta})

    def _close(self) -> list[bytes]:
        ended, self.open = self.open, ""
        return [event({"type": "content_block_stop", "index": self.block})] if ended else []

    def end(self) -> bytes:
        """Why it ended, its usage and the last event."""
        usage = {**_usage(self.usage), "aether": self.bill(self.usage)}
        delta = event({"type": "message_delta", "delta": _stop(self.choice, self.asked), "usage": usage})
        return b"".join([*self._close(), delta, event({"type": "message_stop"})])

    def broken(self, trouble: Trouble, request_id: str) -> bytes:
        """The error event that ends it."""
        return event(said.anthropic.error(trouble, request_id)[1])


dialect = Dialect("/v1/chat/completions", said.anthropic, spoken(said.anthropic_says, _accept), whole, Events)
count = Count(dialect, spoken(said.anthropic_says, _count), lambda tokens: {"input_tokens": tokens})
