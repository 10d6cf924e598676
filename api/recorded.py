"""The record of a job that exists, also when the API died between the job's start and its record."""

from contextlib import suppress

from api.deps import Services
from workflows.contracts.errors import InvalidState, NotFound
from workflows.contracts.jobs import Job


async def recorded(services: Services, job_id: str) -> Job:
    """The record; where nobody has created it, the job's workflow is asked to. Raises NotFound, Unavailable.

    For those who know a job by other means than its record: its agent, and who started it before.
    """
    try:
        return await services.reader.get(job_id)
    except NotFound:
        with suppress(NotFound, InvalidState):  # it has ended: then it is recorded
            return await services.orchestrator.created(job_id)
        return await services.reader.get(job_id)
