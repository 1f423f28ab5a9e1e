"""Structured logs without secrets, and traces where they are wanted."""

from __future__ import annotations

import json
import logging
import logging.handlers
import re
from pathlib import Path
from typing import Any

from aether.base.errors import InputError, Problem

SECRETS = re.compile(r"(aek-[0-9a-z]{12}-|aer\.[A-Za-z0-9_-]+\.)[A-Za-z0-9_-]+|(//[^/:@\s]+:)[^/@\s]+(?=@)")
LARGEST_LOG, KEPT_LOGS = 20_000_000, 3  # bytes of a file of the log, and how many are kept


def clean(text: str) -> str:
    """A text without keys, tokens, and passwords in addresses."""
    return SECRETS.sub(lambda m: f"{m.group(1) or m.group(2)}***", text)


class Lines(logging.Formatter):
    """A record as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, where, what, and the trace of an exception."""
        made = {"time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"), "level": record.levelname.lower(), "from": record.name,
                "what": clean(record.getMessage())}  # fmt: skip
        if record.exc_info:
            made["trace"] = clean(self.formatException(record.exc_info))
        return json.dumps(made)


def structured(file: Path) -> None:
    """Let everything that is logged go into a file, line by line of JSON."""
    handler = logging.handlers.RotatingFileHandler(file, maxBytes=LARGEST_LOG, backupCount=KEPT_LOGS, encoding="utf-8")
    handler.setFormatter(Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)


def traced(app: Any, endpoint: str | None) -> Any:
    """An application whose requests are traced to an OpenTelemetry collector; itself without one. InputError where the extra is missing."""
    if endpoint is None:
        return app
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InputError(
            Problem("--otlp", "traces need the extra [trace]", next="pip install 'aether-fabric[trace]'")
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "aether"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces")))
    return OpenTelemetryMiddleware(app, tracer_provider=provider)
