"""What servers tell of their cache and queue: the few gauges of Prometheus that routing reads, as each server names them."""

from __future__ import annotations

from dataclasses import dataclass

PATH = "/metrics"
CACHE = (
    b"vllm:kv_cache_usage_perc",
    b"vllm:gpu_cache_usage_perc",
    b"sglang:token_usage",
    b"llamacpp:kv_cache_usage_ratio",
)
WAITING = (b"vllm:num_requests_waiting", b"sglang:num_queue_reqs", b"llamacpp:requests_deferred")


@dataclass(frozen=True, slots=True)
class Gauges:
    """Of a server: the share of its KV cache in use, the fullest where there are several [1]; requests that wait in it."""

    cache_share: float = 0.0
    waiting: int = 0


NONE = Gauges()  # of a server that tells nothing


def read(text: bytes) -> Gauges:
    """The gauges in a text of Prometheus; what is not there, or is no number, counts as 0.

    Names are those of vLLM (two versions), SGLang and llama.cpp; a share is held within 0 to 1.
    """
    shares = [min(v, 1.0) for v in _values(text, CACHE) if v > 0.0]
    waiting = sum(v for v in _values(text, WAITING) if 0.0 < v < 1e6)
    return Gauges(max(shares, default=0.0), int(waiting))


def _values(text: bytes, names: tuple[bytes, ...]) -> list[float]:
    made = []
    for line in text.splitlines():
        if not line.startswith(names):
            continue
        name, labels, rest = line.partition(b"{")
        rest = rest.rpartition(b"}")[2] if labels else line.partition(b" ")[2]
        if (name if labels else line.partition(b" ")[0]) not in names:
            continue
        try:
            made.append(float(rest.split()[0]))
        except (ValueError, IndexError):
            continue
    return made
