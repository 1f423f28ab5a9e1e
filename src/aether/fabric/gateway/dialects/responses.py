"""OpenAI's responses, over chat completions: a request's items to messages, an answer to items."""

from __future__ import annotations

import re
import time
from typing import Any

from aether.fabric.gateway.dialects import Asked, Bill
from aether.fabric.gateway.dialects.chat import EXTENSIONS, KEPT_HERE, opening_of
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
)  # fmt: skip

ECHOED = {
    "instructions": STRING, "max_output_tokens": integer(1), "metadata": OBJECT, "parallel_tool_calls": BOOLEAN, "prompt_cache_key": STRING,
    "reasoning": OBJECT, "safety_identifier": STRING, "temperature": number(0, 2), "text": OBJECT,
    "tool_choice": Field(("string", "object")), "tools": Field(("array",), high=128), "top_p": number(0, 1), "user": STRING,
}  # fmt: skip
FIELDS = {
    "model": MODEL, "input": Field(("string", "array"), low=1, required=True), **ECHOED, **EXTENSIONS, "include": Field(("array",)),
    "prompt_cache_retention": KEPT_HERE["prompt_cache_retention"], "service_tier": one_of("auto", "default"), "store": BOOLEAN,
    "stream": BOOLEAN, "stream_options": OBJECT, "truncation": one_of("disabled"), "background": BOOLEAN,
}  # fmt: skip
UNSUPPORTED = frozenset({
    "access_programs", "background_options", "context_management", "conversation", "image", "max_tool_calls", "moderation",
    "previous_response_id", "prompt", "prompt_cache_options", "top_logprobs",
})  # fmt: skip
COUNTED = {
    "model": MODEL, "input": Field(("string", "array")), "truncation": one_of("disabled"),
    **{name: ECHOED[name] for name in ("instructions", "parallel_tool_calls", "reasoning", "text", "tool_choice", "tools")},
}  # fmt: skip
UNCOUNTED = frozenset({"conversation", "personality", "previous_response_id"})
NEEDED = Field(("string",), required=True)
ROLE = Field(("string",), among=("user", "assistant", "system", "developer"), required=True)
PARTS = {
    "input_text": {"type": NEEDED, "text": NEEDED, "prompt_cache_breakpoint": OBJECT},
    "output_text": {"type": NEEDED, "text": NEEDED, "annotations": Field(("array",)), "logprobs": Field(("array",))},
    "refusal": {"type": NEEDED, "refusal": NEEDED},
    "input_image": {"type": NEEDED, "image_url": NEEDED, "detail": STRING, "prompt_cache_breakpoint": OBJECT},
}
ABOUT = {"id": STRING, "status": STRING, "phase": STRING}
ITEMS = {
    "message": {
        "type": STRING, "role": ROLE, "content": Field(("string", "array"), required=True), **ABOUT,
    },
    "function_call": {
        "type": NEEDED, "call_id": NEEDED, "name": NEEDED, "arguments": NEEDED, "caller": OBJECT, "async": BOOLEAN, "namespace": STRING,
        **ABOUT,
    },
    "function_call_output": {
        "type": NEEDED, "call_id": NEEDED, "output": Field(("string", "array"), required=True), "caller": OBJECT, **ABOUT,
    },
}  # fmt: skip
TOOL = {
    "type": NEEDED, "name": Field(("string",), low=1, required=True), "description": STRING, "parameters": OBJECT, "strict": BOOLEAN,
}  # fmt: skip
TEXT = {"format": OBJECT, "verbosity": one_of("medium")}
SCHEMA = {
    "type": NEEDED, "name": NEEDED, "schema": Field(("object",), required=True), "strict": BOOLEAN, "description": STRING,
}  # fmt: skip
EFFORT = {
    "effort": one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"), "summary": STRING, "generate_summary": STRING,
}  # fmt: skip


def _typed(item: Any, forms: dict[str, Any], path: Path, default: str = "") -> dict[str, Any]:
    check(item, OBJECT, path)
    kind = item.get("type", default)
    check(kind, STRING, (*path, "type"))
    if not kind:
        raise Wrong((*path, "type"), "missing")
    if kind not in forms:
        raise Wrong((*path, "type"), "value", tuple(forms), kind)
    return read(item, forms[kind], path=path)


def _content(content: str | list[Any], path: Path) -> str | list[dict[str, Any]]:
    """Chat's parts; a text alone as it is."""
    if isinstance(content, str):
        return content
    parts: list[dict[str, Any]] = []
    for i, item in enumerate(content):
        part = _typed(item, PARTS, (*path, i))
        if part["type"] == "input_image":
            parts.append({"type": "image_url", "image_url": {"url": part["image_url"]}})
        elif part["type"] == "refusal":
            parts.append(part)
        else:
            parts.append({"type": "text", "text": part["text"]})
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _messages(given: str | list[Any], instructions: str | None) -> list[dict[str, Any]]:
    """Chat's messages; calls that follow one another become one message of the assistant's."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
    if isinstance(given, str):
        return [*messages, {"role": "user", "content": given}]
    for i, raw in enumerate(given):
        path: Path = ("input", i)
        item = _typed(raw, ITEMS, path, "message")
        kind = item.get("type", "message")
        if kind == "message":
            messages.append({"role": item["role"], "content": _content(item["content"], (*path, "content"))})
        elif kind == "function_call_output":
            content = _content(item["output"], (*path, "output"))
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": content})
        else:
            function = {"name": item["name"], "arguments": item["arguments"]}
            call = {"id": item["call_id"], "type": "function", "function": function}
            if not (messages and messages[-1]["role"] == "assistant"):
                messages.append({"role": "assistant", "content": None})
            messages[-1].setdefault("tool_calls", []).append(call)
    return messages


def _tools(kept: dict[str, Any]) -> dict[str, Any]:
    tools = []
    for i, item in enumerate(kept.get("tools", ())):
        tool = _typed(item, {"function": TOOL}, ("tools", i))
        tools.append({"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}})
    turned: dict[str, Any] = {"tools": tools} if tools else {}
    choice = kept.get("tool_choice")
    if isinstance(choice, dict):
        read(
            choice,
            {"type": Field(("string",), among=("function",), required=True), "name": NEEDED},
            path=("tool_choice",),
        )
        choice = {"type": "function", "function": {"name": choice["name"]}}
    elif choice is not None:
        check(choice, one_of("none", "auto", "required"), ("tool_choice",))
    if choice not in (None, "none", "auto") and not tools:
        raise Wrong(("tools",), "missing")
    if tools and choice is not None:
        turned["tool_choice"] = choice
    if tools and "parallel_tool_calls" in kept:
        turned["parallel_tool_calls"] = kept["parallel_tool_calls"]
    return turned


def _output(kept: dict[str, Any]) -> dict[str, Any]:
    """Chat's form of the answer and effort."""
    turned: dict[str, Any] = {}
    form = read(kept.get("text", {}), TEXT, path=("text",)).get("format", {"type": "text"})
    path: Path = ("text", "format")
    kind = _typed(form, {"text": {"type": NEEDED}, "json_object": {"type": NEEDED}, "json_schema": SCHEMA}, path)[
        "type"
    ]
    if kind == "json_object":
        turned["response_format"] = {"type": kind}
    elif kind == "json_schema":
        schema = {name: value for name, value in form.items() if name != "type"}
        turned["response_format"] = {"type": kind, "json_schema": schema}
    effort = read(kept.get("reasoning", {}), EFFORT, path=("reasoning",)).get("effort")
    return {**turned, "reasoning_effort": effort} if effort else turned


def request(body: Any) -> Asked:
    """A request as chat asks it; raises Wrong."""
    kept = read(body, FIELDS, UNSUPPORTED)
    if kept.get("background"):
        raise Wrong(("background",), "unsupported")
    if kept.get("include"):  # what may be included is made by the vendor's own tools
        raise Wrong(("include",), "unsupported")
    read(kept.get("stream_options", {}), {"include_obfuscation": BOOLEAN}, path=("stream_options",))
    return _turn(kept)


def counted(body: Any) -> Asked:
    """A request whose prompt's tokens are counted, as chat asks it; raises Wrong."""
    kept = read(body, COUNTED, UNCOUNTED)
    if not (kept.get("input") or kept.get("instructions")):
        raise Wrong(("input",), "missing")
    return _turn(kept)


def _turn(kept: dict[str, Any]) -> Asked:
    messages = _messages(kept.get("input", []), kept.get("instructions"))
    turned: dict[str, Any] = {"model": kept["model"], "messages": messages, **_tools(kept), **_output(kept)}
    for name in ("temperature", "top_p", *EXTENSIONS):
        if name in kept:
            turned[name] = kept[name]
    if "max_output_tokens" in kept:
        turned["max_tokens"] = kept["max_output_tokens"]
    same = kept.get("prompt_cache_key") or kept.get("user", "")
    return Asked(turned, kept["model"], kept.get("stream", False), True, same, opening_of(messages), kept)


def ident(prefix: str, answer: str) -> str:
    """An identifier of the vendor's kind, drawn from the answer's."""
    return prefix + re.sub(r"[^A-Za-z0-9]", "", answer.split("-", 1)[-1])


def response(asked: Asked, answer: str, model: str, status: str) -> dict[str, Any]:
    """A response without output: what was asked, with the vendor's defaults."""
    said = asked.said
    return {
        "id": ident("resp_", answer), "object": "response", "created_at": int(time.time()), "status": status, "background": False,
        "completed_at": None, "error": None, "incomplete_details": None, "max_tool_calls": None, "model": model, "output": [],
        "previous_response_id": None, "store": False, "service_tier": "default", "top_logprobs": 0, "truncation": "disabled",
        "usage": None, "instructions": None, "max_output_tokens": None, "metadata": {}, "parallel_tool_calls": True,
        "prompt_cache_key": None, "safety_identifier": None, "temperature": 1.0, "tools": [], "top_p": 1.0, "tool_choice": "auto",
        "user": None, **{name: said[name] for name in ECHOED if name in said},
        "text": {"format": {"type": "text"}, **said.get("text", {})},
        "reasoning": {"effort": None, "summary": None, **said.get("reasoning", {})},
    }  # fmt: skip


def usage_of(usage: dict[str, Any], bill: Bill) -> dict[str, Any]:
    """The usage of a response."""
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": usage.get("prompt_tokens", 0),
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": usage.get("completion_tokens", 0),
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": usage.get("total_tokens", 0),
        "aether": bill(usage),
    }


def text_part(text: str) -> dict[str, Any]:
    """A text of the output."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def message_item(identifier: str, text: str | None, status: str) -> dict[str, Any]:
    """A message of the output; text: none for one that only begins."""
    content = [] if text is None else [text_part(text)]
    return {"id": identifier, "type": "message", "role": "assistant", "status": status, "content": content}


def call_item(identifier: str, call: str, name: str, arguments: str, status: str) -> dict[str, Any]:
    """A function call of the output."""
    return {
        "id": identifier, "type": "function_call", "call_id": call, "name": name, "arguments": arguments, "status": status,
    }  # fmt: skip


def close(made: dict[str, Any], reason: str | None, usage: dict[str, Any], bill: Bill) -> dict[str, Any]:
    """A response that ended, by chat's reason."""
    why = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(reason or "")
    details = {"reason": why} if why else None
    status, at = ("incomplete", None) if why else ("completed", int(time.time()))
    return {**made, "status": status, "completed_at": at, "incomplete_details": details, "usage": usage_of(usage, bill)}


def whole(body: dict[str, Any], asked: Asked, bill: Bill) -> dict[str, Any]:
    """An answer in one piece."""
    choice = body["choices"][0]
    message, answer, reason = choice["message"], body["id"], choice.get("finish_reason")
    made = response(asked, answer, body["model"], "completed")
    status = "incomplete" if reason in ("length", "content_filter") else "completed"
    calls = message.get("tool_calls") or ()
    if message.get("content") or not calls:
        made["output"].append(message_item(ident("msg_", answer), message.get("content") or "", status))
    for i, call in enumerate(calls):
        function = call["function"]
        identifier = ident(f"fc_{i}", answer)
        made["output"].append(call_item(identifier, call["id"], function["name"], function["arguments"], status))
    return close(made, reason, body.get("usage") or {}, bill)
