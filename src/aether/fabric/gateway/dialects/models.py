"""Lists of models, in each vendor's form."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aether.fabric.gateway.asks import ModelInfo, Trouble


def openai_model(model: ModelInfo) -> dict[str, Any]:
    """A model in OpenAI's form, with its context and price."""
    into, out = model.price_usd_mtok
    shown = {"context": model.context, "price_usd_per_mtok": {"in": into, "out": out}}
    return {"id": model.name, "object": "model", "created": model.created_s, "owned_by": model.owner, "aether": shown}


def anthropic_model(model: ModelInfo) -> dict[str, Any]:
    """A model in Anthropic's form, with its context and price."""
    created = datetime.fromtimestamp(model.created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    into, out = model.price_usd_mtok
    return {
        "type": "model", "id": model.name, "display_name": model.name, "created_at": created, "lifecycle": "active",
        "max_input_tokens": model.context, "max_tokens": model.context, "aether": {"price_usd_per_mtok": {"in": into, "out": out}},
    }  # fmt: skip


def page(models: list[ModelInfo], query: Mapping[str, str]) -> dict[str, Any]:
    """A page of models in Anthropic's form: after or before one of them, at most `limit`."""
    limit = query.get("limit", "20")  # the vendor's default
    if not (limit.isascii() and limit.isdigit() and len(limit) < 5 and 1 <= int(limit) <= 1000):
        raise Trouble("invalid", "limit: Input should be between 1 and 1000", param="limit")
    names, shown, size = [model.name for model in models], models, int(limit)
    for edge in ("after_id", "before_id"):
        if edge in query and query[edge] not in names:
            raise Trouble("invalid", f"{edge}: no such model", param=edge)
    if "after_id" in query:
        shown = models[names.index(query["after_id"]) + 1 :]
    elif "before_id" in query:
        shown = models[: names.index(query["before_id"])]
    kept = shown[-size:] if "before_id" in query else shown[:size]
    edges = {"first_id": kept[0].name if kept else None, "last_id": kept[-1].name if kept else None}
    return {"data": [anthropic_model(model) for model in kept], "has_more": len(kept) < len(shown), **edges}
