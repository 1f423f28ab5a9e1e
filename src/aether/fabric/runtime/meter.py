"""What members use, in whole numbers and signed, and the fabric's time that it is measured in."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from aether.fabric.protocol import Sensors, Used

SPAN_S = 5.0  # of the wall's clock: what a kill of the runtime can leave unmetered, and 17,280 rows a day and member


class Clock:
    """The fabric's time between two words of control: `time_s + speed * elapsed`; it never goes backward."""

    def __init__(self, wall: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._lock = threading.Lock()
        self._time_s = self._at = self._latest_s = 0.0
        self._speed = 0.0

    def set(self, time_s: float, speed: float) -> None:
        """Control has told the time."""
        with self._lock:
            self._time_s, self._speed, self._at = time_s, speed, self._wall()

    def now(self) -> float:
        """Fabric time, UTC seconds."""
        with self._lock:
            self._latest_s = max(self._latest_s, self._time_s + self._speed * (self._wall() - self._at))
            return self._latest_s


def canonical(used: Used, runtime: str) -> bytes:
    """What is signed: JSON with sorted keys and no spaces, without the signature and with the runtime's name."""
    body = used.model_dump(mode="json", exclude={"signature"}) | {"runtime": runtime}
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sign(used: Used, runtime: str, key: Ed25519PrivateKey) -> Used:
    """The same record with its runtime's signature (Ed25519, base64)."""
    made = base64.b64encode(key.sign(canonical(used, runtime))).decode()
    return used.model_copy(update={"signature": made})


def verify(used: Used, runtime: str, public_key: str) -> bool:
    """Whether a record was signed by the runtime of that name and key (base64, as in Join)."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(used.signature, validate=True), canonical(used, runtime))
    except (InvalidSignature, ValueError):
        return False
    return True


def public(key: Ed25519PrivateKey) -> str:
    """The public half as Join carries it."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


@dataclass
class Bytes:
    """Bytes that moved for a member: all of them by laser for a ship, part of them down to the ground."""

    laser: int = 0
    downlink: int = 0


class Meter:
    """One member's use: spans that touch, sums that are rounded once."""

    def __init__(self, attempt: str, rank: int, gpus: int, start_ms: int, closed: bool = False) -> None:
        self.attempt, self.rank, self.gpus = attempt, rank, gpus
        self._lock = threading.Lock()
        self._last_ms = start_ms
        self._felt_ms = self._last_ms
        self._energy_j, self._told_j = 0.0, 0
        self._bytes = Bytes()
        self._closed = closed
        self.accelerator = ""

    def feel(self, now_s: float, sensors: Sensors | None) -> None:
        """Integrate power up to now with what the sensors said last: energy_j = sum of gpus * gpu_w * time."""
        with self._lock:
            self._feel(int(now_s * 1000.0), sensors)

    def _feel(self, now_ms: int, sensors: Sensors | None) -> None:
        span_ms = max(now_ms - self._felt_ms, 0)
        self._felt_ms = max(now_ms, self._felt_ms)
        if sensors is not None:
            self.accelerator = sensors.accelerator or self.accelerator
            if not self._closed:
                self._energy_j += self.gpus * sensors.gpu_w * span_ms / 1000.0

    def moved(self, count: int, down: bool, ship: bool) -> None:
        """Bytes really moved for this member; down: away from the ship, to the fabric's store. A site's go by fibre."""
        if ship:
            with self._lock:
                self._bytes.laser += count
                self._bytes.downlink += count if down else 0

    def cut(self, now_s: float, sensors: Sensors | None) -> Used | None:
        """The span since the last cut; None when it would say nothing."""
        with self._lock:
            now_ms = max(int(now_s * 1000.0), self._last_ms)
            if self._closed:
                now_ms = self._last_ms
            else:
                self._feel(now_ms, sensors)
            moved, joules = self._bytes, round(self._energy_j)
            gpu_ms = self.gpus * (now_ms - self._last_ms)
            if gpu_ms == 0 and joules == self._told_j and not (moved.laser or moved.downlink):
                return None
            used = Used(
                attempt=self.attempt, rank=self.rank, start_ms=self._last_ms, end_ms=now_ms,
                accelerator=self.accelerator, gpu_ms=gpu_ms, energy_j=joules - self._told_j,
                laser_bytes=moved.laser, downlink_bytes=moved.downlink,
            )  # fmt: skip
            self._last_ms, self._told_j, self._bytes = now_ms, joules, Bytes()
            return used

    def close(self, now_s: float, sensors: Sensors | None) -> Used | None:
        """The last span: after it only bytes are told, in spans without length."""
        used = self.cut(now_s, sensors)
        with self._lock:
            self._closed = True
        return used

    @property
    def last_ms(self) -> int:
        """Where the last span ended [ms]."""
        return self._last_ms
