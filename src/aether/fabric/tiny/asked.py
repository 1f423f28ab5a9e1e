"""What a request asks for, read strictly; what is not supported is refused in OpenAI's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aether.fabric.tiny import text

MAX_CHOICES = 8  # of `n`; each takes a slot
MAX_PROMPTS = 64  # of a list; more waits for more slots than there are
MAX_STOPS = 16  # OpenAI takes 4, vLLM any number
IGNORED = frozenset({
    "model", "messages", "prompt", "input", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "temperature",
    "top_p", "top_k", "min_p", "seed", "stop", "echo", "cache_salt", "encoding_format", "user", "metadata", "store", "service_tier",
    "safety_identifier", "prompt_cache_key",
})  # fmt: skip
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,), "presence_penalty": (0,), "logprobs": (False,), "best_of": (1,), "suffix": ("",), "tools": ([],),
    "tool_choice": ("none", "auto"), "response_format": ({"type": "text"},), "logit_bias": ({},), "modalities": (["text"],),
    "parallel_tool_calls": (True, False), "top_logprobs": (0,),
}  # fmt: skip


class Wrong(Exception):  # noqa: N818 - an answer, not a fault
    """A request that is refused: status, and the field that is wrong."""

    def __init__(self, message: str, param: str | None = None, *, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message, self.param, self.code, self.status = message, param, code, status


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn."""

    limit: int | None
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    seed: int | None
    stops: tuple[str, ...]
    choices: int
    stream: bool
    usage: bool
    running: bool  # usage in every chunk, as vLLM has it
    salt: str


def supported(body: Mapping[str, Any]) -> None:
    """Refuse what would change the answer and is not done here."""
    for name, value in body.items():
        if name in IGNORED or value is None or any(type(value) is type(one) and value == one for one in _neutral(name)):
            continue
        raise Wrong(f"aether-tiny does not support '{name}' with this value.", name, code="unsupported_parameter")


def _neutral(name: str) -> tuple[Any, ...]:
    ways = NEUTRAL.get(name, ())
    return (*ways, *(float(one) for one in ways if type(one) is int))


def sampling(body: Mapping[str, Any]) -> Sampling:
    """The sampling that a request asks for."""
    stops = body.get("stop")
    stops = [] if stops is None else [stops] if isinstance(stops, str) else stops
    if (
        not isinstance(stops, list)
        or len(stops) > MAX_STOPS
        or not all(isinstance(one, str) and 0 < len(one) <= 256 for one in stops)
    ):
        raise Wrong(f"'stop' is a string or up to {MAX_STOPS} of them, of 1 to 256 characters.", "stop")
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise Wrong("'stream_options' is an object.", "stream_options")
    salt = body.get("cache_salt") or ""
    if not isinstance(salt, str) or len(salt) > 256:
        raise Wrong("'cache_salt' is a string of up to 256 characters.", "cache_salt")
    limit_name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    limit = _number(body, limit_name, None, 1, 1 << 20, whole=True)
    seed = _number(body, "seed", None, -(1 << 63), (1 << 63) - 1, whole=True)
    return Sampling(
        limit=None if limit is None else int(limit),
        temperature=float(_number(body, "temperature", 1.0, 0.0, 2.0) or 0.0),
        top_p=float(_number(body, "top_p", 1.0, 0.0, 1.0) or 0.0),
        top_k=max(int(_number(body, "top_k", 0, -1, 1 << 20, whole=True) or 0), 0),
        min_p=float(_number(body, "min_p", 0.0, 0.0, 1.0) or 0.0),
        seed=None if seed is None else int(seed) % (1 << 64),
        stops=tuple(stops),
        choices=int(_number(body, "n", 1, 1, MAX_CHOICES, whole=True) or 1),
        stream=_flag(body, "stream"),
        usage=_flag(options, "include_usage"),
        running=_flag(options, "continuous_usage_stats"),
        salt=salt,
    )


def _number(
    body: Mapping[str, Any], name: str, default: float | None, low: float, high: float, *, whole: bool = False
) -> float | None:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not low <= value <= high:
        raise Wrong(f"'{name}' must be {'an integer' if whole else 'a number'} from {low} to {high}.", name)
    return value


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise Wrong(f"'{name}' must be true or false.", name)
    return bool(value)


def messages(body: Mapping[str, Any]) -> list[int]:
    """The tokens of a conversation; Wrong where it is none, or holds more than text."""
    turns = body.get("messages")
    if not isinstance(turns, list) or not turns:
        raise Wrong("'messages' must be a list of at least one message.", "messages")
    read = []
    for n, one in enumerate(turns):
        at = f"messages[{n}]"
        if not isinstance(one, dict) or one.get("role") not in ("system", "developer", "user", "assistant"):
            raise Wrong("A message is an object whose 'role' is system, developer, user or assistant.", f"{at}.role")
        if one.get("tool_calls"):
            raise Wrong("aether-tiny calls no tools.", f"{at}.tool_calls")
        role = "system" if one["role"] == "developer" else one["role"]
        read.append((role, _content(one.get("content"), f"{at}.content")))
    return text.conversation(read)


def _content(content: Any, at: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Wrong("A message's content is a string or a list of parts.", at)
    words = []
    for n, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise Wrong("aether-tiny reads parts of type 'text' only.", f"{at}[{n}]")
        words.append(part["text"])
    return "".join(words)


def texts(body: Mapping[str, Any], name: str) -> list[list[int]]:
    """The tokens of each text of `prompt` or `input`: a string, strings, tokens, or lists of tokens."""
    value = body.get(name)
    if isinstance(value, str):
        return [text.prompt(value)]
    if isinstance(value, list) and value and all(type(one) is int for one in value):
        value = [value]
    if not isinstance(value, list) or not 0 < len(value) <= MAX_PROMPTS:
        raise Wrong(f"'{name}' must be a string, or a list of 1 to {MAX_PROMPTS} strings.", name)
    return [_tokens(one, f"{name}[{n}]") for n, one in enumerate(value)]


def _tokens(value: Any, at: str) -> list[int]:
    if isinstance(value, str):
        return text.prompt(value)
    if isinstance(value, list) and value and all(type(one) is int and 0 <= one <= 255 for one in value):
        return text.prompt("")[:1] + value
    raise Wrong("A text is a string or a list of tokens from 0 to 255.", at)
