"""Telling the API that an attempt is in our hands, so that its record says so within a second.

A trivial attempt has ended before it would be told, and saves the request. Never part of the attempt's own course: a
failed announcement changes nothing but what people see until the result arrives.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from agent.attempt.lease import Lease
from agent.attempt.run import AttemptProgress
from agent.control.api import ApiUnreachable, Backoff, ControlPlane, RequestRefused
from agent.logs.spool import epoch_ms
from workflows.contracts.attempts import AttemptInput, AttemptStarted
from workflows.contracts.statuses import QueueStatus

_DELAY_SECONDS: Final = 0.25
_CHECKOUT_SECONDS: Final = 0.4
"""How much longer to wait for the first step, so that one announcement can tell when it began."""
_SETTLE_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)


class Announcement:
    """One attempt's. ``make`` it beside the attempt, ``settle`` it before the result is reported."""

    def __init__(self, control_plane: ControlPlane, attempt: AttemptInput, agent_id: str, lease: Lease) -> None:
        self._control_plane, self._attempt, self._agent_id, self._lease = control_plane, attempt, agent_id, lease
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._over = False

    async def make(self, progress: AttemptProgress) -> None:
        """Announce once, as RUNNING also while it checks out: a second announcement would be five events of history.

        Ends by itself or by being cancelled.
        """
        await asyncio.sleep(_DELAY_SECONDS)
        with suppress(TimeoutError):
            await asyncio.wait_for(progress.running.wait(), _CHECKOUT_SECONDS)
        backoff = Backoff(f"Announcing attempt {self._attempt.attempt} of job {self._attempt.job_id}")
        while not self._over:
            self._quiet.clear()
            try:
                return await self._send(progress)
            except ApiUnreachable as error:
                delay = backoff.failed(error)
            except RequestRefused as error:
                return logger.warning("The start of job %s could not be announced: %s", self._attempt.job_id, error)
            finally:
                self._quiet.set()
            await asyncio.sleep(delay)
        return None

    async def settle(self) -> None:
        """Nothing is announced after this; what is on its way has arrived, or does not within a second.

        Crossing the result, it would make Temporal refuse the task that ends the job, after its record was written.
        """
        self._over = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), _SETTLE_SECONDS)

    async def _send(self, progress: AttemptProgress) -> None:
        announcement = AttemptStarted(
            attempt=self._attempt.attempt,
            agent_id=self._agent_id,
            phase=QueueStatus.RUNNING,
            claimed_at=progress.claimed_at,
            started_at=progress.started_at,
            lease_expires_at=self._lease.expires_at(epoch_ms()),
        )
        await self._control_plane.announce_start(self._attempt.job_id, announcement, key=self._attempt.delivery_key)
