"""Telling the API that an attempt is in our hands, so that its record says so within a second.

A trivial attempt has ended before it would be told, and saves the request. Never part of the attempt's own course: a
failed announcement changes nothing but what people see until the result arrives.
"""

import asyncio
import logging
from typing import Final

from agent.control_plane import Backoff, ControlPlane, Refused, Unreachable
from agent.job import Progress
from agent.lease import Lease
from agent.log_spool import epoch_ms
from workflows.contracts.attempts import AttemptInput, AttemptStarted
from workflows.contracts.statuses import QueueStatus

_DELAY_SECONDS: Final = 0.25

logger = logging.getLogger(__name__)


async def announce(
    control_plane: ControlPlane, attempt: AttemptInput, agent_id: str, progress: Progress, lease: Lease
) -> None:
    """Announce CLAIMED while it checks out, RUNNING once steps run. Ends by itself or by being cancelled."""
    await asyncio.sleep(_DELAY_SECONDS)
    backoff = Backoff(f"Announcing attempt {attempt.attempt} of job {attempt.job_id}")
    while True:
        running = progress.running.is_set()
        announcement = AttemptStarted(
            attempt=attempt.attempt,
            agent_id=agent_id,
            phase=QueueStatus.RUNNING if running else QueueStatus.CLAIMED,
            claimed_at=progress.claimed_at,
            started_at=progress.started_at,
            lease_expires_at=lease.expires_at(epoch_ms()),
        )
        try:
            await control_plane.announce_start(attempt.job_id, announcement)
        except Unreachable as error:
            await asyncio.sleep(backoff.failed(error))
            continue
        except Refused as error:
            logger.warning("The start of job %s could not be announced: %s", attempt.job_id, error)
            return
        backoff.succeeded()
        if running:
            return
        await progress.running.wait()
