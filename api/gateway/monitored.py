"""What a gateway says of itself to whoever watches it, where a place is set for it.

Nothing of this is loaded without one: the gateway is to stay small. Deliberately not here: listening
(``workflows.monitoring.listener``), the gRPC health that agents' SDKs ask for (``handler``).
"""

from typing import TYPE_CHECKING, Final

from api.gateway.settings import MONITORING
from api.gateway.upstream import Upstream
from workflows.monitoring.address import MonitoringAddress

if TYPE_CHECKING:
    from api.gateway.handler import Gateway
    from workflows.monitoring.listener import MonitoringListener

_TEMPORAL_SECONDS: Final = 2.0


class MonitoredGateway:
    """One gateway's."""

    def __init__(self, upstream: Upstream, address: MonitoringAddress) -> None:
        from prometheus_client import Counter

        from workflows.monitoring.figures import ProcessFigures

        self._upstream, self._address = upstream, address
        self._figures = ProcessFigures("gateway")
        self._listener: MonitoringListener | None = None
        self._calls = Counter(
            "hybridci_gateway_calls",
            "Calls of agents that have ended, by method and gRPC status.",
            ("method", "status"),
            registry=self._figures.registry,
        )

    def answered(self, method: str, status: str) -> None:
        """A call has ended."""
        self._calls.labels(method, status).inc()

    def listen(self, gateway: "Gateway") -> None:
        """From now on. Raises ListenerError."""
        from workflows.followed import troubles
        from workflows.monitoring.health import ProcessHealth
        from workflows.monitoring.listener import MonitoringListener

        polls, calls, figures = gateway.polls, gateway.calls, self._figures
        figures.read("hybridci_gateway_agents", "Agents with an open poll.", lambda: polls.keys)
        open_now = {"poll": lambda: float(polls.open), "call": lambda: float(calls.open)}
        figures.read_each("hybridci_gateway_open", "Calls that are under way.", "kind", open_now)
        health = ProcessHealth({"temporal": self._temporal}, troubles)
        self._listener = MonitoringListener(self._address, MONITORING, health, figures.text)

    def close(self) -> None:
        """Say nothing more."""
        if self._listener is not None:
            self._listener.close()

    async def _temporal(self) -> str | None:
        if await self._upstream.serves(_TEMPORAL_SECONDS):
            return None
        return "Temporal does not answer: agents behind this gateway cannot poll nor renew their leases"
