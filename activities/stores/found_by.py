"""What jobs, and deployments, are found by besides their state: values that are fixed at their creation. Pure.

Values are compared as everywhere: a repository by any of its addresses, a branch with and without ``refs/heads/``, an
author as the person whom the text names (``Ann <Ann@example.com>`` is ``ann@example.com``). The labels may be changed
while the job has not ended; then it is found by the new ones.

Deliberately not here: how a store keeps them (``dynamo.job_index``), and the identity map, by which one person has
several names.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from workflows.contracts.deployments.deployment import DeploymentQuery, DeploymentSummary
from workflows.contracts.errors import FieldError, ValidationFailed
from workflows.contracts.identity.people import names_of
from workflows.contracts.identity.repositories import same_form
from workflows.contracts.jobs import SERVICE_LABEL, Job, JobSummary
from workflows.contracts.records import JobQuery

LABEL: Final = "label"
_BRANCHES: Final = "refs/heads/"
_WHOLE_COMMITS: Final = frozenset({40, 64})


def found_values(job: Job | JobSummary) -> dict[str, str]:
    """By what a job is found, normalised; without those that it has not."""
    service = job.service if isinstance(job, JobSummary) else job.labels.get(SERVICE_LABEL)
    return _values(job.git_commit_sha, job.git_ref, job.git_author, service, job.git_repo)


def asked_values(query: JobQuery) -> dict[str, str]:
    """What of these a query asks for, normalised; the most selective first."""
    whole = query.commit if query.commit is not None and len(query.commit) in _WHOLE_COMMITS else None
    return _values(whole, query.branch, query.author, query.service, query.repository)


def asked_beginnings(query: JobQuery) -> dict[str, str]:
    """What of a job's fields a query knows only the beginning of."""
    commit = None if query.commit is not None and len(query.commit) in _WHOLE_COMMITS else query.commit
    asked = {"job_id": query.job_id, "git_commit_sha": commit}
    return {name: start for name, start in asked.items() if start is not None}


def matches(query: JobQuery, job: JobSummary) -> bool:
    """Whether the query asks for this job, as far as a summary says: it has no labels."""
    wanted = ((query.status, job.status), (query.agent_id, job.agent_id), (query.pool, job.pool))
    wanted = (*wanted, (query.job_type, job.job_type), (query.cause, job.cause))
    if not all(asked is None or asked == has for asked, has in wanted):
        return False
    if not (query.since or 0) <= job.created_at <= (job.created_at if query.until is None else query.until):
        return False
    if not all(getattr(job, name).startswith(start) for name, start in asked_beginnings(query).items()):
        return False
    asked = asked_values(query)
    return not asked or asked.items() <= found_values(job).items()


def matches_deployment(query: DeploymentQuery, deployment: DeploymentSummary) -> bool:
    """Whether the query asks for this deployment."""
    wanted = ((query.service_name, deployment.service_name), (query.status, deployment.status))
    if not all(asked is None or asked == has for asked, has in wanted):
        return False
    if query.waits and deployment.waits_for is None:
        return False
    asked = _values(query.commit, query.branch, query.author)
    return asked.items() <= _values(deployment.git_commit_sha, deployment.git_ref, deployment.git_author).items()


def labels_match(query: JobQuery, labels: Mapping[str, str]) -> bool:
    """Whether these are the labels that a query asks for."""
    return query.labels.items() <= labels.items()


def indexed_labels(allowed: Iterable[str], labels: Mapping[str, str]) -> dict[str, str]:
    """Those of a job's labels that it is found by."""
    return {name: labels[name] for name in allowed if name in labels}


def require_allowed(query: JobQuery, allowed: Sequence[str]) -> None:
    """Jobs are found by some labels only. Raises ValidationFailed, which says by which."""
    others = [name for name in query.labels if name not in allowed]
    if not others:
        return
    such = f"these are {', '.join(allowed)}" if allowed else "the setting JOB_FILTER_LABELS names none"
    why = f"{', '.join(others)} is not among the labels that lists can be filtered by: {such}"
    raise ValidationFailed(f"{why}.", [FieldError(field=LABEL, message=why)])


def _values(
    commit: str | None,
    ref: str | None,
    author: str | None,
    service: str | None = None,
    repository: str | None = None,
) -> dict[str, str]:
    found = {
        "commit": commit,
        "branch": None if ref is None else ref.removeprefix(_BRANCHES),
        "author": None if author is None else names_of(author)[-1],
        "service": service,
        "repository": None if repository is None else same_form(repository),
    }
    return {name: value for name, value in found.items() if value is not None}
