"""The stream of OpenAI's responses: events in the documented order, numbered."""

from __future__ import annotations

from typing import Any

from aether.fabric.gateway.asks import Trouble
from aether.fabric.gateway.dialects import Asked, Bill, Count, Dialect
from aether.fabric.gateway.dialects import responses as form
from aether.fabric.gateway.dialects import trouble as said
from aether.fabric.gateway.dialects.form import spoken
from aether.fabric.gateway.dialects.frames import event


class Events:
    """A stream of a response's events: one item of output at a time."""

    ping = b""

    def __init__(self, asked: Asked, bill: Bill) -> None:
        self.asked, self.bill = asked, bill
        self.number = -1  # of the last event
        self.answer = ""
        self.made: dict[str, Any] = {}
        self.output: list[dict[str, Any]] = []  # items that ended
        self.text: list[str] = []
        self.arguments: list[str] = []
        self.open = -2  # number of the call whose item is open, -1 for the message, -2 for none
        self.item: dict[str, Any] = {}
        self.seen: set[int] = set()
        self.reason: str | None = None
        self.usage: dict[str, Any] = {}

    def _event(self, kind: str, **values: Any) -> bytes:
        self.number += 1
        return event({"type": f"response.{kind}", "sequence_number": self.number, **values})

    def _here(self, kind: str, **values: Any) -> bytes:
        """An event of the open item."""
        return self._event(kind, item_id=self.item["id"], output_index=len(self.output), **values)

    def piece(self, chunk: dict[str, Any]) -> bytes:
        """The events of a chunk."""
        frames = [] if self.made else self._start(chunk["id"], chunk["model"])
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk["choices"]:
            delta = choice.get("delta") or {}
            if delta.get("content"):
                frames += self._begin_text()
                self.text.append(delta["content"])
                frames.append(self._here("output_text.delta", content_index=0, delta=delta["content"], logprobs=[]))
            for call in delta.get("tool_calls") or ():
                frames += self._call(call)
            self.reason = choice.get("finish_reason") or self.reason
        return b"".join(frames)

    def _start(self, answer: str, model: str) -> list[bytes]:
        self.answer = answer
        self.made = form.response(self.asked, answer, model, "in_progress")
        return [self._event("created", response=self.made), self._event("in_progress", response=self.made)]

    def _begin_text(self) -> list[bytes]:
        if self.open == -1:
            return []
        frames = self._close("completed")
        self.open, self.text = -1, []
        self.item = form.message_item(form.ident(f"msg_{len(self.output)}", self.answer), None, "in_progress")
        frames.append(self._event("output_item.added", output_index=len(self.output), item=self.item))
        frames.append(self._here("content_part.added", content_index=0, part=form.text_part("")))
        return frames

    def _call(self, call: dict[str, Any]) -> list[bytes]:
        function, frames = call.get("function") or {}, []
        if call["index"] != self.open:
            if call["index"] in self.seen:
                raise Trouble("broken", "the model's server went back to a tool call that it had ended")
            frames = self._close("completed")
            self.open, self.arguments = call["index"], []
            self.seen.add(call["index"])
            identifier = form.ident(f"fc_{len(self.output)}", self.answer)
            self.item = form.call_item(identifier, call["id"], function["name"], "", "in_progress")
            frames.append(self._event("output_item.added", output_index=len(self.output), item=self.item))
        if function.get("arguments"):
            self.arguments.append(function["arguments"])
            frames.append(self._here("function_call_arguments.delta", delta=function["arguments"]))
        return frames

    def _close(self, status: str) -> list[bytes]:
        """End the open item."""
        if self.open == -2:
            return []
        if self.open == -1:
            text = "".join(self.text)
            frames = [
                self._here("output_text.done", content_index=0, text=text, logprobs=[]),
                self._here("content_part.done", content_index=0, part=form.text_part(text)),
            ]
            ended = form.message_item(self.item["id"], text, status)
        else:
            arguments = "".join(self.arguments)
            frames = [self._here("function_call_arguments.done", name=self.item["name"], arguments=arguments)]
            ended = {**self.item, "arguments": arguments, "status": status}
        frames.append(self._event("output_item.done", output_index=len(self.output), item=ended))
        self.output.append(ended)
        self.open = -2
        return frames

    def end(self) -> bytes:
        """The end of the open item and of the response."""
        done = form.close({**self.made, "output": self.output}, self.reason, self.usage, self.bill)
        frames = [] if self.output or self.open != -2 else self._begin_text()
        frames += self._close(done["status"])
        return b"".join([*frames, self._event(done["status"], response=done)])

    def broken(self, trouble: Trouble, request_id: str) -> bytes:
        """The response that failed; the error alone where it had not begun."""
        error = said.openai.error(trouble, request_id)[1]["error"]
        if not self.made:
            self.number += 1
            return event(
                {
                    "type": "error",
                    "sequence_number": self.number,
                    **{name: error[name] for name in ("code", "message", "param")},
                }
            )
        # the vendor's codes of a failed response are few; this is the one for its own faults
        failed = {
            **self.made,
            "status": "failed",
            "output": self.output,
            "error": {"code": "server_error", "message": error["message"]},
        }
        return self._event("failed", response=failed)


def counted(tokens: int) -> dict[str, Any]:
    """The answer that tells a prompt's tokens."""
    return {"object": "response.input_tokens", "input_tokens": tokens}


dialect = Dialect("/v1/chat/completions", said.openai, spoken(said.openai_says, form.request), form.whole, Events)
count = Count(dialect, spoken(said.openai_says, form.counted), counted)
