"""What a control worker says of itself to whoever watches it: its parts and its figures, where a place is set for it.

Deliberately not here: listening (``workflows.monitoring.listener``), what the SDK counts (``…monitoring.sdk``).
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from prometheus_client import Histogram
from temporalio.client import Client
from temporalio.worker import Worker

from activities.stores.open import Stores
from workflows.monitoring.address import MonitoringAddress
from workflows.monitoring.figures import ProcessFigures
from workflows.monitoring.health import ProcessHealth
from workflows.monitoring.listener import MonitoringListener
from workflows.monitoring.sdk import SdkMetrics

SETTING: Final = "HYBRIDCI_WORKER_METRICS_ADDRESS"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
_STARTING: Final = "it is still starting, and its log says what it waits for"
_TEMPORAL_TIMEOUT: Final = timedelta(seconds=2)


class MonitoredWorker:
    """One worker's parts. ``client`` and ``worker`` are set as soon as there are any. ``notes``: as ``ProcessHealth``.

    Without an address nothing listens, and nothing is counted.
    """

    def __init__(
        self, address: MonitoringAddress | None, stores: Stores, notes: Callable[[], Mapping[str, str]] = dict
    ) -> None:
        """Raises ListenerError."""
        self._stores = stores
        self.client: Client | None = None
        self.worker: Worker | None = None
        self._listener: MonitoringListener | None = None
        if address is None:
            return
        needed = {"temporal": self._temporal, "store": self._store, "worker": self._work}
        figures, sdk = ProcessFigures("worker"), SdkMetrics()
        figures.read("hybridci_worker_running", "1 while it takes tasks.", self._running)
        stores.watch(_timed(figures))
        self._listener = MonitoringListener(
            address, SETTING, ProcessHealth(needed, notes), lambda: figures.text() + sdk.text()
        )

    def close(self) -> None:
        """Say nothing more."""
        if self._listener is not None:
            self._listener.close()

    def _running(self) -> float:
        return float(self.worker is not None and self.worker.is_running)

    async def _temporal(self) -> str | None:
        if self.client is None:
            return _STARTING
        answers = await self.client.service_client.check_health(timeout=_TEMPORAL_TIMEOUT)
        return None if answers else "Temporal says that it cannot serve now"

    async def _store(self) -> str | None:
        await self._stores.jobs.queue_stats()
        return None

    async def _work(self) -> str | None:
        return None if self._running() else _STARTING


def _timed(figures: ProcessFigures) -> Callable[[str, str, str, float], None]:
    seconds = Histogram(
        "hybridci_store_seconds",
        "Time of a request to DynamoDB or S3, its retries included.",
        ("service", "operation", "outcome"),
        buckets=_BUCKETS,
        registry=figures.registry,
    )
    return lambda service, operation, outcome, took: seconds.labels(service, operation, outcome).observe(took)
