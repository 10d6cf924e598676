"""What Prometheus reads at ``GET /metrics``: requests by route, the queue, the pools, and what is stuck.

One registry per application, so that tests can make many. The queue's gauges are set when they are read.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import Scope

from workflows.contracts.agents import AgentStatus, PoolView
from workflows.contracts.records import QueueStats
from workflows.contracts.repairs import KINDS

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
_COUNTS: Final = ("depth", "running", "completed", "failed", "cancelled", "dead_lettered", "total")
_POOL_NUMBERS: Final = {
    "oldest_wait_seconds": "How long the oldest job of the pool has waited.",
    "slots": "Jobs that the pool's agents can run at once.",
    "busy": "Jobs that the pool's agents run.",
    "free": "Jobs that the pool's agents could take now.",
    "desired_agents": "How many agents the pool should have, inside its bounds.",
}
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
        self._jobs = Gauge(
            "hybridci_jobs", "Jobs, not attempts, by place in the queue.", ("state",), registry=self.registry
        )
        self._flaky = Gauge(
            "hybridci_jobs_flaky", "Jobs that passed after an attempt had failed.", registry=self.registry
        )
        self._attempts = Gauge(
            "hybridci_attempts", "Attempts of jobs: that ended, and that failed.", ("what",), registry=self.registry
        )
        self._times = Gauge("hybridci_queue_seconds", "Waiting and execution times.", ("what",), registry=self.registry)
        self._stuck = Gauge(
            "hybridci_stuck_workflows",
            "Workflows that cannot go on until somebody repairs them.",
            ("type",),
            registry=self.registry,
        )

        depth = ("Waiting jobs by pool and priority.", ("pool", "priority"))
        self._pool_depth = Gauge("hybridci_pool_depth", *depth, registry=self.registry)
        self._pool_agents = Gauge("hybridci_pool_agents", "Agents.", ("pool", "status"), registry=self.registry)
        self._pool_numbers = {
            name: Gauge(f"hybridci_pool_{name}", words, ("pool",), registry=self.registry)
            for name, words in _POOL_NUMBERS.items()
        }

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one answered request; ``status`` 0 means that the client left before the answer."""
        # The template, never the path: a label for each job id would grow without end.
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(method, route, str(status)).observe(seconds)

    def render(
        self, stats: QueueStats, pools: Sequence[PoolView] = (), stuck: Mapping[str, int] | None = None
    ) -> bytes:
        """The text format, with the queue and the pools as they are now. A pool that is gone is not told of.

        ``stuck``: how many workflows of each type cannot go on; None: not known just now, so nothing is said.
        """
        self._set_pools(pools)
        self._stuck.clear()
        for name in KINDS if stuck is not None else ():
            self._stuck.labels(name).set((stuck or {}).get(name, 0))
        for name in _COUNTS:
            self._jobs.labels(name).set(getattr(stats, name))
        self._flaky.set(stats.jobs_flaky)
        self._attempts.labels("ended").set(stats.attempts_ended)
        self._attempts.labels("failed").set(stats.attempts_failed)
        for name in _TIMES:
            value = getattr(stats, name)
            self._times.labels(name.removesuffix("_seconds")).set(float("nan") if value is None else value)
        return generate_latest(self.registry)

    def _set_pools(self, pools: Sequence[PoolView]) -> None:
        for gauge in (self._pool_depth, self._pool_agents, *self._pool_numbers.values()):
            gauge.clear()
        for pool in pools:
            for priority, count in pool.depth.items():
                self._pool_depth.labels(pool.name, priority).set(count)
            for status in AgentStatus:
                self._pool_agents.labels(pool.name, status.value).set(pool.agents.get(status, 0))
            for name, gauge in self._pool_numbers.items():
                gauge.labels(pool.name).set(getattr(pool, name))


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
