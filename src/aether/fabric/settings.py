"""How a fabric is to be brought up: what `aether up` was told, in the fabric's folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field

from aether.fabric.task import Record

FILE = "settings.json"
BLOB_BYTES = 2_000_000_000  # largest file or archive taken from users, ours: a checkpoint of a billion parameters


class Settings(Record):
    """Kept from one start to the next; a folder belongs to one scenario and one database."""

    scenario: str = "project-aether"
    overrides: dict[str, Any] = Field({})
    catalog: str | None = None
    db: str
    host: str = "127.0.0.1"
    port: int = Field(ge=1, le=65535)
    speed: float = Field(1.0, gt=0.0, le=3600.0)
    ships: int = Field(3, ge=0, le=1000)
    sites: int = Field(1, ge=0, le=1000)
    hosts: tuple[str, ...] = ()
    executor: str = "local"
    admin: tuple[str, str] | None = Field(None, description="name and digest of the administrator's first key")
    otlp: str | None = None
    gateway_port: int = Field(0, ge=0, le=65535, description="of the gateway; 0 for none")
    models: tuple[str, ...] = Field(
        ("aether-tiny",), description="packaged deployments that a new fabric serves at once"
    )
    impose_latency: bool = Field(False, description="the gateway waits for the modelled round trips")
    place: str = Field("", description="a city: where callers of the gateway are that do not say")
    most_blob_bytes: int = BLOB_BYTES

    @property
    def url(self) -> str:
        """Where the API is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def models_url(self) -> str:
        """Where models answer; empty without a gateway."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.gateway_port}/v1" if self.gateway_port else ""

    @classmethod
    def read(cls, folder: Path) -> Settings:
        """The settings of a folder."""
        return cls.model_validate_json((folder / FILE).read_text(encoding="utf-8"))

    def write(self, folder: Path) -> None:
        """Keep them, readable by their owner alone: a database's URL may hold a password."""
        part = folder / f".{FILE}.part"
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(self.model_dump_json(indent=1))
        part.replace(folder / FILE)
