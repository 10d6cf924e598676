"""What Prometheus reads at ``GET /metrics``: requests by route, and the queue.

One registry per application, so that tests can make many. The queue's gauges are set when they are read.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import Scope

from workflows.contracts.records import QueueStats

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
_COUNTS: Final = ("depth", "running", "completed", "failed", "cancelled", "dead_lettered", "total")
_TIMES: Final = ("avg_wait_seconds", "p95_wait_seconds", "avg_execution_seconds", "p95_execution_seconds")


class Metrics:
    """The application's own figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Histogram(
            "hybridci_http_request_seconds",
            "Time to answer, by route template.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._jobs = Gauge("hybridci_jobs", "Jobs by place in the queue.", ("state",), registry=self.registry)
        self._times = Gauge("hybridci_queue_seconds", "Waiting and execution times.", ("what",), registry=self.registry)

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one answered request; ``status`` 0 means that the client left before the answer."""
        # The template, never the path: a label for each job id would grow without end.
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(method, route, str(status)).observe(seconds)

    def render(self, stats: QueueStats) -> bytes:
        """The text format, with the queue as it is now."""
        for name in _COUNTS:
            self._jobs.labels(name).set(getattr(stats, name))
        for name in _TIMES:
            value = getattr(stats, name)
            self._times.labels(name.removesuffix("_seconds")).set(float("nan") if value is None else value)
        return generate_latest(self.registry)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
