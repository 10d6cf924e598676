"""Whether an agent may deliver for an attempt: its own, or one that Temporal has given it and nobody announced yet.

Else another agent of the pool could announce itself first, leave its files there, or write the log of an attempt that
is not its own, of the next one, or of one that there never was.
Deliberately not here: whether the attempt takes what is delivered (``attempts.routes.delivery``, ``attempts.late``).
"""

import asyncio
from typing import Final

from api.auth.guard import require
from api.auth.ports import AuthPorts
from api.auth.principal import Principal
from api.auth.resources import job_resource
from api.http.errors import ApiError, ProblemCode
from api.temporal.recorded import recorded
from workflows.contracts.access import Operation
from workflows.contracts.errors import NotFound
from workflows.contracts.jobs import Attempt, Job

_ANNOUNCED_WITHIN_SECONDS: Final = 2.0
"""So long a start that was announced through a claim's lease may need to be readable."""
_LOOK_EVERY_SECONDS: Final = 0.25


async def require_delivery(
    ports: AuthPorts, principal: Principal, job_id: str, attempt: int, key: str | None
) -> Attempt | None:
    """The attempt when it has ended: what may come then, the route decides. None: it goes on.

    Of an attempt that nobody has announced, the ``key`` that came with its task says whose it is; Temporal is asked
    where an agent shows none. That one goes on is remembered for some
    seconds, so that not every piece of a log costs a read. Raises ApiError forbidden, NotFound when there is no such
    job, Unavailable.
    """
    asked = principal.credential_id or principal.id, job_id, attempt
    if asked in ports.deliveries:
        return None
    job = await recorded(ports, job_id)
    known = attempt_of(job, attempt)
    if known is None or not known.agent_id:
        resource = job_resource(job)
        require(principal, Operation.AGENT_WORK, service=resource.service, pool=resource.pool)
        _require_possible(job, attempt)
        if key is None or not ports.job_client.was_given(job_id, attempt, key):
            await _require_holder(ports, principal.agent_id, job_id, attempt)
    elif known.agent_id != principal.agent_id:
        raise _anothers(job_id, attempt)
    if known is not None and known.outcome is not None:
        return known
    ports.deliveries.add(asked)
    return None


def attempt_of(job: Job, number: int) -> Attempt | None:
    """The attempt as it is recorded."""
    return next((each for each in job.attempts if each.number == number), None)


def require_itself(principal: Principal, agent_id: str) -> None:
    """A registered agent speaks for itself only. Raises ApiError forbidden."""
    if principal.agent_id != agent_id:
        raise ApiError(
            ProblemCode.FORBIDDEN,
            f"This token is that of agent {principal.agent_id}, which cannot speak for {agent_id[:128]!r}.",
        )


def _require_possible(job: Job, attempt: int) -> None:
    """It is recorded, or is the next one: nothing is kept for others. Raises ApiError forbidden."""
    last = job.attempts[-1] if job.attempts else None
    goes_on = not job.status.ended and (last is None or last.outcome is not None)
    number = 0 if last is None else last.number
    if attempt > number + (1 if goes_on else 0):
        raise ApiError(
            ProblemCode.FORBIDDEN, f"Job {job.job_id} has no attempt {attempt}: it is {job.status} after {number}."
        )


async def _require_holder(ports: AuthPorts, agent_id: str | None, job_id: str, attempt: int) -> None:
    """Raises ApiError forbidden, Unavailable."""
    try:
        holder = await ports.job_client.holder(job_id)
    except NotFound:  # its workflow has ended
        holder = None
    if holder is not None and holder == agent_id:
        return
    # What a claim over HTTP brought may have been polled in another agent's name; its start tells.
    for _ in range(round(_ANNOUNCED_WITHIN_SECONDS / _LOOK_EVERY_SECONDS)):
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
        found = attempt_of(await ports.reader.get(job_id), attempt)
        if found is not None and found.agent_id and found.agent_id == agent_id:
            return
    raise _anothers(job_id, attempt)


def _anothers(job_id: str, attempt: int) -> ApiError:
    return ApiError(
        ProblemCode.FORBIDDEN,
        f"Attempt {attempt} of job {job_id} is another agent's: this one has lost it, or never had it. Stop it.",
    )
