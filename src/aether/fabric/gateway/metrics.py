"""What the gateway can tell Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from aether.fabric.gateway.desk import Desk

QUANTILES = (0.5, 0.9, 0.99)


class _Collected(Collector):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> list[CounterMetricFamily | GaugeMetricFamily]:
        """What stands now."""
        desk = self._desk
        requests = CounterMetricFamily(
            "aether_gateway_requests", "Requests by model and how they ended", labels=["model", "outcome"]
        )
        for (model, outcome), count in list(desk.counts.items()):
            requests.add_metric([model, outcome], count)
        under_way = GaugeMetricFamily("aether_gateway_under_way", "Requests under way", labels=["deployment"])
        for name, count in list(desk.under_way.items()):
            under_way.add_metric([name], count)
        ready = GaugeMetricFamily("aether_gateway_server_ready", "Whether a server answers", labels=["server"])
        load = GaugeMetricFamily("aether_gateway_server_under_way", "Requests under way at a server", labels=["server"])
        for name, server in list(desk.servers.items()):
            ready.add_metric([name], float(server.ready))
            load.add_metric([name], server.under_way)
        first = GaugeMetricFamily(
            "aether_gateway_first_byte_seconds",
            "Time to the first byte of the last answers, measured",
            labels=["quantile"],
        )
        times = sorted(desk.first_s)
        for q in QUANTILES if times else ():
            first.add_metric([str(q)], times[min(int(q * len(times)), len(times) - 1)])
        return [requests, under_way, ready, load, first]


def exposition(desk: Desk) -> bytes:
    """The metrics as text."""
    registry = CollectorRegistry()
    registry.register(_Collected(desk))
    return generate_latest(registry)
