"""Telling the API that an attempt is in our hands, so that its record says so within a second.

A trivial attempt has ended before it would be told, and saves the request. Never part of the attempt's own course: a
failed announcement changes nothing but what people see until the result arrives.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from agent.control_plane import Backoff, ControlPlane, Refused, Unreachable
from agent.job import Progress
from agent.lease import Lease
from agent.log_spool import epoch_ms
from workflows.contracts.attempts import AttemptInput, AttemptStarted
from workflows.contracts.statuses import QueueStatus

_DELAY_SECONDS: Final = 0.25
_CHECKOUT_SECONDS: Final = 0.4
"""How much longer to wait for the first step, so that one announcement can tell when it began."""

logger = logging.getLogger(__name__)


async def announce(
    control_plane: ControlPlane, attempt: AttemptInput, agent_id: str, progress: Progress, lease: Lease
) -> None:
    """Announce once, as RUNNING also while it checks out: a second announcement would be five events of history.

    Ends by itself or by being cancelled.
    """
    await asyncio.sleep(_DELAY_SECONDS)
    with suppress(TimeoutError):
        await asyncio.wait_for(progress.running.wait(), _CHECKOUT_SECONDS)
    backoff = Backoff(f"Announcing attempt {attempt.attempt} of job {attempt.job_id}")
    while True:
        announcement = AttemptStarted(
            attempt=attempt.attempt,
            agent_id=agent_id,
            phase=QueueStatus.RUNNING,
            claimed_at=progress.claimed_at,
            started_at=progress.started_at,
            lease_expires_at=lease.expires_at(epoch_ms()),
        )
        try:
            return await control_plane.announce_start(attempt.job_id, announcement)
        except Unreachable as error:
            await asyncio.sleep(backoff.failed(error))
        except Refused as error:
            return logger.warning("The start of job %s could not be announced: %s", attempt.job_id, error)
