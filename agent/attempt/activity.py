"""The activity ``run_attempt`` on this agent: one ``run.AttemptRun`` with its lease, announcement and report.

The report is sent from here and not by the SDK, which gives up after 10 s: a result waits for Temporal as long as the
lease holds. Deliberately not here: the phases of an attempt (``run``) and the process around it (``worker``).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio import activity
from temporalio.client import AsyncActivityHandle, Client
from temporalio.service import RPCError, RPCStatusCode

from agent.attempt.announcement import Announcement
from agent.attempt.host import Host
from agent.attempt.lease import Lease, LeaseEvent, temporal_renewal
from agent.attempt.run import AttemptRun
from agent.attempt.verdict import Interruption
from agent.control.api import Backoff
from agent.logs.spool import epoch_ms
from agent.safety.gate import Gate
from agent.steps.process import cookie_of
from workflows.client.answers import TEMPORARY
from workflows.contracts.activities import run_attempt
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.labels import unmet
from workflows.contracts.statuses import Outcome

_RPC_TIMEOUT: Final = timedelta(seconds=5)
_REPORT_SECONDS: Final = 15.0
"""Kept free at the end of the time that the server allows, for the report itself."""
_AFTER_LEASE_SECONDS: Final = 60.0
"""A server that was down may come back to a report before it looks at its timers."""
_INTERRUPTIONS: Final = {
    LeaseEvent.CANCEL_REQUESTED: Interruption.CANCELLED,
    LeaseEvent.LOST: Interruption.LEASE_LOST,
    LeaseEvent.FENCED: Interruption.FENCED,
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admission:
    """What this agent takes: ``capacity`` attempts at once, while the gate is open, that demand no other labels."""

    gate: Gate
    labels: Mapping[str, str]
    capacity: int


@dataclass(frozen=True, slots=True)
class Watchers:
    """Who hears what attempts find out. ``ended``: each result, before it is reported."""

    ended: Callable[[AttemptResult], None]
    cut_off: Callable[[], None]
    unauthenticated: Callable[[], None]


class Attempts:
    """All attempts that run on this agent now."""

    def __init__(self, host: Host, client: Client, admission: Admission, watchers: Watchers) -> None:
        self._host, self._client, self._admission, self._watchers = host, client, admission, watchers
        self._runs: dict[AttemptRun, str] = {}
        self._stopping = asyncio.Event()

    @property
    def running(self) -> list[str]:
        """The ids of their jobs."""
        return list(self._runs.values())

    def stop_all(self, *, grace_seconds: float) -> None:
        """End all now; each is reported as lost, so that it goes on elsewhere."""
        self._stopping.set()
        for run in list(self._runs):
            run.interrupt(Interruption.AGENT_STOPPED, grace_seconds=grace_seconds)

    @activity.defn(name=run_attempt.__name__)
    async def run_attempt(self, attempt: AttemptInput) -> AttemptResult:
        """Run one attempt to its end. See ``contracts.activities.run_attempt``."""
        refusal = self._refusal(attempt)
        if refusal is None:
            await self._run(attempt)
            activity.raise_complete_async()  # it is reported already, or not ours any more
        return self._declined(attempt, *refusal)

    def _refusal(self, attempt: AttemptInput) -> tuple[str, str] | None:
        """Cause and sentence when it is left to another agent. A poll can be out when the gate closes."""
        admission = self._admission
        if attempt.avoid_agent == self._host.agent_id:
            return "declined", "The agent that lost the attempt before leaves it to another one."
        missing = unmet(admission.labels, attempt.requires)
        if missing:
            return "labels", f"The agent does not meet {', '.join(missing)}."
        if admission.gate.refusal is not None:
            reason, why = admission.gate.refusal
            return reason, f"The agent takes nothing new: {why}."
        if len(self._runs) >= admission.capacity:
            return "busy", "The agent already runs as many attempts as it can."
        return None

    async def _run(self, attempt: AttemptInput) -> None:
        info = activity.info()
        allowed = info.start_to_close_timeout
        report_by = time.monotonic() + allowed.total_seconds() - _REPORT_SECONDS if allowed else None
        guardian, cookie = self._host.guardian, cookie_of(attempt.job_id, attempt.attempt)
        run = AttemptRun(self._host, attempt, report_by=report_by, look=lambda: lease.look())
        lease = Lease(
            temporal_renewal(self._client, self._watchers.unauthenticated),
            seconds=attempt.lease_seconds,
            on_partition=attempt.on_partition,
            notify=lambda event, grace: self._told(run, event, grace),
            fence=lambda ask_at, kill_at: guardian.fence(cookie, ask_at, kill_at),
        )
        handle = self._client.get_async_activity_handle(task_token=info.task_token)
        announcement = Announcement(self._host.control_plane, attempt, self._host.agent_id, lease)

        async def report(result: AttemptResult) -> None:
            self._watchers.ended(result)
            await announcement.settle()
            await self._report(handle, lease, result)

        guardian.register(cookie)
        beside = [
            asyncio.create_task(lease.keep()),
            asyncio.create_task(announcement.make(run.progress)),
        ]
        self._runs[run] = attempt.job_id
        try:
            await _to_the_end(asyncio.create_task(run.run(report)), run)
        finally:
            del self._runs[run]
            guardian.unregister(cookie)
            for task in beside:
                task.cancel()
            _log_failures(await asyncio.gather(*beside, return_exceptions=True))

    def _told(self, run: AttemptRun, event: LeaseEvent, grace_seconds: float | None) -> None:
        if event is LeaseEvent.FENCED:
            self._watchers.cut_off()
        run.interrupt(_INTERRUPTIONS[event], grace_seconds=grace_seconds)

    def _declined(self, attempt: AttemptInput, cause: str, message: str) -> AttemptResult:
        logger.info("Declined attempt %d of job %s: %s", attempt.attempt, attempt.job_id, message)
        now = epoch_ms()
        return AttemptResult(
            attempt=attempt.attempt,
            agent_id=self._host.agent_id,
            outcome=Outcome.DECLINED,
            cause=cause,
            message=message,
            claimed_at=now,
            finished_at=now,
        )

    async def _report(self, handle: AsyncActivityHandle, lease: Lease, result: AttemptResult) -> None:
        """Deliver the result, again and again while Temporal is away. Raises RPCError when it is refused for good."""
        backoff = Backoff("Reporting an attempt's result")
        while not lease.lost and lease.remaining > -_AFTER_LEASE_SECONDS:
            try:
                await handle.complete(result, rpc_timeout=_RPC_TIMEOUT)
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    break
                if error.status is RPCStatusCode.UNAUTHENTICATED:
                    self._watchers.unauthenticated()
                elif error.status not in TEMPORARY:
                    raise
                delay = backoff.failed(error)
            else:
                return
            if self._stopping.is_set():
                break
            await asyncio.sleep(delay)
        logger.warning("The result %s of an attempt is not wanted any more: its lease is over", result.outcome)


async def _to_the_end(body: asyncio.Task[None], run: AttemptRun) -> None:
    """Wait for the attempt, whatever the SDK says: our own lease knows about cancellation, and sooner.

    Only an SDK worker that shuts down without waiting ends the attempt; that cancellation is raised afterwards.
    """
    shutdown: asyncio.CancelledError | None = None
    while not body.done():
        try:
            await asyncio.shield(body)
        except asyncio.CancelledError as error:
            if body.cancelled():
                raise
            details = activity.cancellation_details()
            if details is None or details.worker_shutdown:
                shutdown = error
                run.interrupt(Interruption.AGENT_STOPPED, grace_seconds=0)
            elif details.cancel_requested:
                run.interrupt(Interruption.CANCELLED)
    if shutdown is not None:
        raise shutdown
    body.result()


def _log_failures(results: Sequence[BaseException | None]) -> None:
    for result in results:
        if isinstance(result, Exception):
            logger.error("A lease or an announcement ended unexpectedly", exc_info=result)
