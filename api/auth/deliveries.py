"""Whether an agent may deliver for an attempt: its own, or one that nobody has announced yet, of a job of its pool.

Deliberately not here: whether the attempt takes what is delivered (``routes.agent_io``).
"""

from api.auth.guard import require
from api.auth.principal import Principal
from api.auth.resources import job_resource
from api.deps import Services
from api.errors import ApiError, ProblemCode
from workflows.contracts.access import Operation


async def require_delivery(services: Services, principal: Principal, job_id: str, attempt: int) -> None:
    """What was allowed is remembered for some seconds, so that not every piece of a log costs a read.

    Raises ApiError forbidden, NotFound when there is no such job, Unavailable.
    """
    if principal.agent_id is None and principal.unlimited(Operation.AGENT_WORK):
        return
    asked = (principal.credential_id or principal.id, job_id, attempt)
    if asked in services.deliveries:
        return
    job = await services.reader.get(job_id)
    services.known_jobs.add(job_id)  # or the first piece of its log would read it again
    owner = next((each.agent_id for each in job.attempts if each.number == attempt), None)
    if principal.agent_id is None or owner is None:
        resource = job_resource(job)
        require(principal, Operation.AGENT_WORK, service=resource.service, pool=resource.pool)
    elif owner != principal.agent_id:
        raise ApiError(
            ProblemCode.FORBIDDEN,
            f"Attempt {attempt} of job {job_id} is another agent's: this one has lost it, or never had it. Stop it.",
        )
    services.deliveries.add(asked)


def require_itself(principal: Principal, agent_id: str) -> None:
    """A registered agent speaks for itself only. Raises ApiError forbidden."""
    if principal.agent_id is not None and principal.agent_id != agent_id:
        raise ApiError(
            ProblemCode.FORBIDDEN,
            f"This token is that of agent {principal.agent_id}, which cannot speak for {agent_id[:128]!r}.",
        )
