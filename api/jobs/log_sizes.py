"""How long the logs of attempts are that no agent reported: what is stored of them, looked up when somebody looks.

Deliberately not in the record: the rest of such a log may come hours later, from the next agent in the lost one's
directory.
"""

import asyncio
import logging
from typing import Final

from activities.stores.interfaces.logs import LogStore
from workflows.contracts.errors import Unavailable
from workflows.contracts.jobs import Attempt, Job

logger = logging.getLogger(__name__)

_AT_MOST: Final = 20
"""Attempts, the last ones: each costs a listing of its log."""
_WAIT_SECONDS: Final = 2.0


async def with_log_sizes(logs: LogStore, job: Job) -> Job:
    """The job with these sizes; without them (None) when the store does not answer in time."""
    wanted = [each for each in job.attempts if _unreported(each)]
    if not wanted or job.logs_removed_at is not None:
        return job
    sizes: dict[int, int | None] = {each.number: None for each in wanted}
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            for attempt in wanted[-_AT_MOST:]:
                sizes[attempt.number] = (await logs.extent(job.job_id, attempt.number)).size
    except (Unavailable, TimeoutError):
        logger.info("sizes of logs are not shown: the log store does not answer", extra={"job_id": job.job_id})
    shown = [
        each.model_copy(update={"log_bytes": sizes[each.number]}) if each.number in sizes else each
        for each in job.attempts
    ]
    return job.model_copy(update={"attempts": shown})


def _unreported(attempt: Attempt) -> bool:
    return attempt.outcome is not None and not attempt.reported
