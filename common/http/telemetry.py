"""What happened, for machines: Prometheus metrics and one access line per request.

Counts are plain numbers of one event loop, turned into Prometheus families only when scraped, and access lines are
written in bunches: together a request pays a few microseconds for them.
"""

import asyncio
import sys
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from common.http.admission import Gate
from common.http.exchange import Exchange
from common.runtime.batcher import Stats
from common.runtime.models import Models

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the latency histogram, in seconds."""
FLUSH_SECONDS, FLUSH_LINES = 0.2, 512
UNMATCHED = "unmatched"
"""Route of requests that no route took: their paths would make endless labels."""


class AccessLine(msgspec.Struct):
    """One answered request, as logged."""

    event: str
    level: str
    time: datetime
    request_id: str
    method: str
    path: str
    route: str
    status: int
    ms: float
    client: str


class Series:
    """Latencies of one method, route and status."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0


class Labels(NamedTuple):
    method: str
    route: str
    status: int


class Telemetry(Collector):
    """Counts and logs the answers of one process."""

    def __init__(self, gate: Gate, models: Models, access_log: bool) -> None:
        self._gate, self._models = gate, models
        self._series: dict[Labels, Series] = {}
        self._lines: list[AccessLine] | None = [] if access_log else None
        self._encoder = msgspec.json.Encoder()
        self._flusher: asyncio.TimerHandle | None = None
        self._refused_logged: dict[str, int] = {}
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(self)

    def done(self, exchange: Exchange, now: float) -> None:
        """Count an exchange that is over, and queue its access line."""
        scope, seconds = exchange.scope, now - exchange.started
        route = exchange.route or scope.get("path_template") or UNMATCHED
        labels = Labels(scope["method"], route, exchange.status)
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = Series()
        series.buckets[bisect_left(BUCKETS, seconds)] += 1
        series.seconds += seconds
        if self._lines is not None:
            self._log(exchange, labels, seconds)

    def _log(self, exchange: Exchange, labels: Labels, seconds: float) -> None:
        assert self._lines is not None
        client = exchange.scope.get("client")
        line = AccessLine(
            event="request",
            level="info",
            time=datetime.now(UTC),
            request_id=exchange.call.request_id,
            method=labels.method,
            path=exchange.scope["path"],
            route=labels.route,
            status=labels.status,
            ms=round(seconds * 1e3, 3),
            client=client[0] if client else "",
        )
        self._lines.append(line)
        self.flush_soon()

    def flush_soon(self) -> None:
        """See that queued lines and counted refusals are written within ``FLUSH_SECONDS``."""
        if self._lines is not None and len(self._lines) >= FLUSH_LINES:
            self.flush()
        elif self._flusher is None:
            self._flusher = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what is queued. Refusals, of which an overload has thousands a second, share one line per reason."""
        if self._flusher is not None:
            self._flusher.cancel()
            self._flusher = None
        lines: list[Any] = list(self._lines or ())
        for reason, count in self._gate.refused.items():
            if new := count - self._refused_logged.get(reason, 0):
                event = {"event": "refused", "level": "warning", "time": datetime.now(UTC), "reason": reason, "n": new}
                lines.append(event)
                self._refused_logged[reason] = count
        if self._lines:
            self._lines.clear()
        if lines:
            sys.stderr.buffer.write(self._encoder.encode_lines(lines))
            sys.stderr.buffer.flush()

    def render(self) -> bytes:
        """The text that ``GET /metrics`` answers."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing in advance: the families are made when scraped."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Prometheus families of the present counts."""
        yield self._requests()
        yield GaugeMetricFamily("kithara_in_flight", "Requests being answered.", value=self._gate.in_flight)
        refused = CounterMetricFamily(
            "kithara_refused", "Requests refused before their body was read.", labels=["reason"]
        )
        for reason, count in self._gate.refused.items():
            refused.add_metric([reason], count)
        yield refused
        ready = GaugeMetricFamily("kithara_model_ready", "1 when the model answers.", labels=["model"])
        for name, status in self._models.status().items():
            ready.add_metric([name], float(status.ready))
        yield ready
        yield from self._engines()

    def _engines(self) -> Iterator[Metric]:
        """The counters of every engine that counts; ``queued`` and ``running`` are of this moment."""
        stats = self._models.stats()
        for field in Stats._fields:
            kind = GaugeMetricFamily if field in ("queued", "running") else CounterMetricFamily
            family = kind(
                f"kithara_engine_{field}", f"{field.capitalize()} in the engine of a model.", labels=["model"]
            )
            for model, counted in stats.items():
                family.add_metric([model], getattr(counted, field))
            yield family

    def _requests(self) -> Metric:
        family = HistogramMetricFamily(
            "kithara_request_seconds", "Time to answer a request.", labels=["method", "route", "status"]
        )
        for labels, series in self._series.items():
            total, buckets = 0, []
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), series.buckets, strict=True):
                total += count
                buckets.append((bound, float(total)))
            family.add_metric([labels.method, labels.route, str(labels.status)], buckets, sum_value=series.seconds)
        return family
