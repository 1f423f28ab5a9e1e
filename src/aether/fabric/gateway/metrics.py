"""What the gateway can tell Prometheus: no names of projects, of jobs, or of models that are a project's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from aether.fabric.gateway.desk import Desk

F = TypeVar("F", CounterMetricFamily, GaugeMetricFamily)
QUANTILES = (0.5, 0.9, 0.99)
OWN = "(of projects)"  # in place of what is not every project's


class _Collected(Collector):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """What stands now."""
        desk, asked, under_way = self._desk, Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
        ready, load = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
        shared = [d for d in desk.feed.deployments if not d.project] if desk.feed else []
        models, names = {d.model for d in shared}, {d.name for d in shared}
        for (model, outcome), count in list(desk.counts.items()):
            asked[model if model in models else OWN, outcome] += count
        for model, count in list(desk.under_way.items()):
            under_way[model if model in models else OWN,] += count
        for d in desk.feed.deployments if desk.feed else ():
            for replica in d.replicas:
                if server := desk.servers.get(replica.id):
                    where = d.name if d.name in names else OWN, replica.host
                    ready[where] += server.ready
                    load[where] += server.under_way
        yield _told(
            CounterMetricFamily("aether_gateway_requests", "Requests by model and how they ended", labels=["model", "outcome"]), asked
        )  # fmt: skip
        yield _told(
            GaugeMetricFamily("aether_gateway_under_way", "Requests under way by model", labels=["model"]), under_way
        )
        at = ["deployment", "host"]
        yield _told(GaugeMetricFamily("aether_gateway_servers_ready", "Servers that answer", labels=at), ready)
        yield _told(
            GaugeMetricFamily("aether_gateway_servers_under_way", "Requests under way at servers", labels=at), load
        )
        yield _first(sorted(desk.first_s))


def _told(family: F, rows: Counter[tuple[str, ...]]) -> F:
    for labels, value in rows.items():
        family.add_metric(list(labels), float(value))
    return family


def _first(times: list[float]) -> GaugeMetricFamily:
    first = GaugeMetricFamily(
        "aether_gateway_first_byte_seconds", "Time to the first byte of the last answers, measured", labels=["quantile"]
    )
    for q in QUANTILES if times else ():
        first.add_metric([str(q)], times[min(int(q * len(times)), len(times) - 1)])
    return first


def exposition(desk: Desk) -> bytes:
    """The metrics as text."""
    registry = CollectorRegistry()
    registry.register(_Collected(desk))
    return generate_latest(registry)
