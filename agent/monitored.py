"""What an agent says of itself to whoever watches its host: its parts and its figures, where a place is set for it.

An agent reaches out only, so nothing listens unless its operator says so; the control plane hears the rest from its
heartbeats. Deliberately not here: listening (``workflows.monitoring``), what keeps work away (``safety.gate``).
"""

import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from prometheus_client import Counter

from agent.attempt.activity import Attempts
from agent.control.heartbeat import HeartbeatLoop
from agent.control.temporal import Connection
from agent.logs.sender import LogShipper
from agent.safety.gate import Gate, Reason
from agent.settings import AgentSettings
from workflows.contracts.attempts import AttemptResult
from workflows.followed import troubles
from workflows.monitoring.figures import ProcessFigures
from workflows.monitoring.health import ProcessHealth
from workflows.monitoring.listener import MonitoringListener
from workflows.monitoring.sdk import SdkMetrics

SETTING: Final = "HYBRIDCI_AGENT_METRICS_ADDRESS"
LATE_SECONDS: Final = 45.0
"""The control plane takes an agent for OFFLINE after so long a silence."""
LEAST_FREE_BYTES: Final = 256 << 20
_PROBE_SECONDS: Final = 2.0
_STARTING: Final = "it is still starting, and its log says what it waits for"


class MonitoredAgent:
    """One agent's parts, set as soon as there are any. Without an address nothing listens, and nothing is counted."""

    def __init__(self, settings: AgentSettings, gate: Gate, connection: Connection) -> None:
        """Raises ListenerError."""
        self._gate, self._connection, self._directory = gate, connection, settings.directory
        self.attempts: Attempts | None = None
        self.heartbeats: HeartbeatLoop | None = None
        self.shipper: LogShipper | None = None
        self._ended: Counter | None = None
        self._listener: MonitoringListener | None = None
        if settings.metrics_address is None:
            return
        needed = {"api": self._api, "temporal": self._temporal, "disk": self._disk, "work": self._work}
        figures, sdk = ProcessFigures("agent"), SdkMetrics()
        self._tell(figures, settings)
        self._listener = MonitoringListener(
            settings.metrics_address,
            SETTING,
            ProcessHealth(needed, self._notes),
            lambda: figures.text() + sdk.text(),
        )

    def ended(self, result: AttemptResult) -> None:
        """An attempt has ended."""
        if self._ended is not None:
            self._ended.labels(result.outcome.value).inc()

    def close(self) -> None:
        """Say nothing more."""
        if self._listener is not None:
            self._listener.close()

    def _tell(self, figures: ProcessFigures, settings: AgentSettings) -> None:
        figures.read("hybridci_agent_jobs_running", "Jobs that run on this agent now.", self._running)
        figures.read("hybridci_agent_slots", "Jobs that it runs at once at most.", lambda: settings.capacity)
        figures.read(
            "hybridci_agent_accepting", "1 while it takes new work.", lambda: float(self._gate.refusal is None)
        )
        figures.read_each(
            "hybridci_agent_closed",
            "1 while it takes nothing new for this reason.",
            "reason",
            {reason.value: lambda reason=reason: float(self._gate.holds(reason)) for reason in Reason},
        )
        figures.read(
            "hybridci_agent_heartbeat_age_seconds", "Since the control plane answered a heartbeat.", self._heartbeat_age
        )
        figures.read("hybridci_agent_disk_free_bytes", "On the disk of its directory.", lambda: _free(self._directory))
        figures.read("hybridci_agent_log_spool_bytes", "Of logs that the API has yet to take.", self._unsent)
        self._ended = Counter(
            "hybridci_agent_attempts", "Attempts that ended here.", ("outcome",), registry=figures.registry
        )

    def _running(self) -> float:
        return 0 if self.attempts is None else len(self.attempts.running)

    def _unsent(self) -> float:
        return 0 if self.shipper is None else self.shipper.unsent_bytes

    def _heartbeat_age(self) -> float:
        at = None if self.heartbeats is None else self.heartbeats.answered_at
        return float("nan") if at is None else time.monotonic() - at

    async def _api(self) -> str | None:
        if self.heartbeats is None or self.heartbeats.answered_at is None:
            return "the control plane has answered no heartbeat yet"
        age = self._heartbeat_age()
        return None if age <= LATE_SECONDS else f"the control plane has answered no heartbeat for {age:.0f} s"

    async def _temporal(self) -> str | None:
        if self.attempts is None:
            return _STARTING
        return None if await self._connection.answers(_PROBE_SECONDS) else "neither Temporal nor its gateway answers"

    async def _disk(self) -> str | None:
        return disk_trouble(self._directory)

    async def _work(self) -> str | None:
        found = self._gate.refusal
        return None if found is None or found[0] is Reason.PAUSED else f"takes nothing new: {found[1]}"

    def _notes(self) -> Mapping[str, str]:
        found = self._gate.refusal
        paused = found is not None and found[0] is Reason.PAUSED
        return {**troubles(), **({"work": f"takes nothing new: {found[1]}"} if found is not None and paused else {})}


def disk_trouble(directory: Path) -> str | None:
    """What is wrong with the disk of the agent's directory, in words; None: nothing."""
    free = _free(directory)
    if math.isnan(free):
        return "its directory cannot be looked at any more: see whether it, and its disk, are still there"
    if free >= LEAST_FREE_BYTES:
        return None
    return f"{int(free) >> 20} MiB are left on the disk of its directory: remove what is not needed there"


def _free(directory: Path) -> float:
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return float("nan")
