"""A job or deployment that exists although nobody has recorded it: its API died, or the store takes no writes.

Deliberately not here: what a route answers then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from api.temporal.ports import RecordPorts
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.errors import InvalidState, NotFound, Unavailable
from workflows.contracts.jobs import Job

T = TypeVar("T")
_READ_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """As it is recorded; else (``recorded`` False) as its workflow has it, and its record follows."""

    record: T
    recorded: bool = True


async def recorded(ports: RecordPorts, job_id: str) -> Job:
    """The record; where nobody has created it, the job's workflow is asked to. Raises NotFound, Unavailable.

    For those who know a job by other means than its record: its agent, and who started it before.
    """
    try:
        return await ports.reader.get(job_id)
    except NotFound:
        with suppress(NotFound, InvalidState):  # it has ended: then it is recorded
            return await ports.job_client.created(job_id)
        return await ports.reader.get(job_id)


async def seen_job(ports: RecordPorts, job_id: str) -> Seen[Job]:
    """The job, also before it is recorded; changes nothing. Raises NotFound, Unavailable."""
    return await _seen(lambda: ports.reader.get(job_id), lambda: ports.job_client.known(job_id))


async def seen_deployment(ports: RecordPorts, deployment_id: str) -> Seen[Deployment]:
    """The same for a deployment."""
    return await _seen(
        lambda: ports.deployments.get(deployment_id), lambda: ports.deployment_client.known(deployment_id)
    )


async def earlier_job(ports: RecordPorts, job_id: str, *, unrecorded: bool = False) -> Seen[Job] | None:
    """What a request with the same key has started, if any; ``unrecorded``: also what only Temporal knows.

    The store is asked first, which remembers for longer. Raises Unavailable when nobody can tell: then nothing may be
    started.
    """
    read, known = ports.reader.get(job_id), lambda: ports.job_client.known(job_id)
    return await _earlier(read, known, unrecorded=unrecorded)


async def earlier_deployment(ports: RecordPorts, deployment_id: str) -> Seen[Deployment] | None:
    """The same for a deployment."""
    read, known = ports.deployments.get(deployment_id), lambda: ports.deployment_client.known(deployment_id)
    return await _earlier(read, known, unrecorded=False)


async def _seen(read: Callable[[], Awaitable[T]], known: Callable[[], Awaitable[T]]) -> Seen[T]:
    try:
        return Seen(await read())
    except NotFound:
        with suppress(NotFound):
            return Seen(await known(), recorded=False)
        return Seen(await read())  # it was recorded meanwhile, and has ended


async def _earlier(read: Awaitable[T], known: Callable[[], Awaitable[T]], *, unrecorded: bool) -> Seen[T] | None:
    lost: Exception | None = None
    try:
        async with asyncio.timeout(_READ_SECONDS):
            return Seen(await read)
    except NotFound:
        if not unrecorded:
            return None  # starting it tells
    except (Unavailable, TimeoutError) as error:
        lost = error
    try:
        return Seen(await known(), recorded=False)
    except NotFound:
        if lost is None:
            return None
        raise Unavailable(
            "The records do not answer, so nobody can tell whether this Idempotency-Key was used before: nothing was"
            " started. Repeat it with the same key."
        ) from lost
