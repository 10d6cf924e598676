"""What callers with limited grants reach beyond one resource: parts of lists, and where they may move a job to.

Deliberately not here: the resource that an address names (``resources``, asked by ``guard``).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from api.auth.guard import require
from api.auth.principal import Principal
from api.auth.resources import Resource, job_resource
from api.temporal.ports import RecordPorts
from api.temporal.recorded import seen_job
from workflows.contracts.access import Operation
from workflows.contracts.jobs import SERVICE_LABEL, JobSummary
from workflows.contracts.records import JobPage

T = TypeVar("T")


def within(
    principal: Principal, items: Iterable[T], resource: Callable[[T], Resource], operation: Operation = Operation.READ
) -> list[T]:
    """Those of the items that the caller's grants reach: the page of a list can become short, or empty."""
    if principal.unlimited(operation):
        return list(items)
    found = [(item, resource(item)) for item in items]
    return [
        item
        for item, each in found
        if each != Resource() and principal.may(operation, service=each.service, pool=each.pool)
    ]


def jobs_within(principal: Principal, page: JobPage) -> JobPage:
    """The page with the jobs that the caller's grants reach."""
    return page.model_copy(update={"items": within(principal, page.items, _summary_resource), **unseen(principal)})


def unseen(principal: Principal) -> Mapping[str, None]:
    """What a page does not tell limited grants: how many were looked at counts those that they do not reach."""
    return {} if principal.unlimited(Operation.READ) else {"looked_at": None}


async def require_destination(
    ports: RecordPorts,
    principal: Principal,
    job_id: str,
    *,
    pool: str | None,
    labels: Mapping[str, str] | None = None,
) -> None:
    """A job may be moved only to a pool, and given only to a service, that the caller's grants reach as well.

    Raises ApiError forbidden, NotFound, Unavailable.
    """
    if principal.unlimited(Operation.JOBS_OPERATE) or (pool is None and labels is None):
        return
    present = job_resource((await seen_job(ports, job_id)).record)
    service = present.service if labels is None else labels.get(SERVICE_LABEL)
    require(principal, Operation.JOBS_OPERATE, service=service, pool=pool or present.pool)


async def require_submission(ports: RecordPorts, principal: Principal, job_id: str, *, pool: str | None) -> None:
    """Who changes what a job runs could submit one like it.

    Raises ApiError forbidden, NotFound, Unavailable.
    """
    if principal.unlimited(Operation.JOBS_SUBMIT):
        return
    present = job_resource((await seen_job(ports, job_id)).record)
    require(principal, Operation.JOBS_SUBMIT, service=present.service, pool=pool or present.pool)


def _summary_resource(job: JobSummary) -> Resource:
    return Resource(service=job.service, pool=job.pool)
