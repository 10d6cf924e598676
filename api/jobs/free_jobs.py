"""What a free job may be: nothing by which it would pass for a deployment's, and in no pool that is not for it.

Asked wherever a job is submitted, run again as a new one, moved or edited. Not asked again of what waits already.
Deliberately not here: what a caller's grants reach (``auth.reach``), and a deployment's jobs, which their workflow
guards.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from api.identity.pools import pool_refused_to_job
from api.jobs.ports import JobPorts
from api.temporal.recorded import seen_job
from workflows.contracts.commands import Edit
from workflows.contracts.errors import FieldError, InvalidState, ValidationFailed
from workflows.contracts.jobs import SERVICE_LABEL, Job, JobSpec, Step
from workflows.contracts.reserved import reserved, reserved_labels, reserved_variables

_POOL: Final = "pool"


def require_free(specs: Sequence[JobSpec], *, prefix: str | None) -> None:
    """Each says what a free job may say; ``prefix`` names their list in the errors. Raises ValidationFailed."""
    found: list[FieldError] = []
    for index, spec in enumerate(specs):
        found += reserved(spec, inside="" if prefix is None else f"{prefix}.{index}.")
    _refuse(found)


def require_free_again(job: Job, spec: JobSpec) -> None:
    """The same for a job that ran once and is submitted anew. Raises InvalidState: nobody can correct it."""
    if found := reserved(spec):
        said = "; ".join(f"{error.field} {error.message}" for error in found)
        raise InvalidState(f"Job {job.job_id} was accepted under older rules ({said}): submit it anew.")


def require_pools(ports: JobPorts, specs: Sequence[JobSpec], *, prefix: str | None) -> None:
    """Each names a pool that is for it. Raises ValidationFailed."""
    found: list[FieldError] = []
    for index, spec in enumerate(specs):
        field = _POOL if prefix is None else f"{prefix}.{index}.{_POOL}"
        found += _pool_refused(ports, spec.pool, spec.labels.get(SERVICE_LABEL), field)
    _refuse(found)


async def require_free_change(
    ports: JobPorts,
    job_id: str,
    *,
    pool: str | None,
    labels: Mapping[str, str] | None = None,
    env: Mapping[str, str | None] | None = None,
    steps: Sequence[Step] | None = None,
    inside: str = "",
) -> None:
    """A change of a job leaves it a free one, in a pool that is for it.

    Raises ValidationFailed, NotFound, Unavailable.
    """
    found = [*reserved_labels(labels or ()), *reserved_variables(_set(env), f"{inside}env")]
    for number, step in enumerate(steps or ()):
        found += reserved_variables(step.env, f"{inside}steps.{number}.env")
    _refuse(found)
    if not ports.pool_rules or (pool is None and labels is None):
        return
    job = (await seen_job(ports, job_id)).record
    service = (job.labels if labels is None else labels).get(SERVICE_LABEL)
    _refuse(_pool_refused(ports, pool or job.pool, service, f"{inside}{_POOL}"))


def require_free_edits(ports: JobPorts, edit: Edit | None) -> None:
    """The same for a change of many jobs, of whatever services. Raises ValidationFailed."""
    if edit is None:
        return
    found = [*reserved_variables(_set(edit.env), "edit.env")]
    if edit.runs_something_else:
        what = "what runs, and of which commit, is changed of one dead letter at a time"
        found += [
            FieldError(field=f"edit.{name}", message=what)
            for name in ("steps", "git_commit_sha", "git_ref")
            if getattr(edit, name) is not None
        ]
    if any(rule.name == edit.pool for rule in ports.pool_rules):
        what = f"{edit.pool} is not for every job: redrive those that are to go there one by one"
        found.append(FieldError(field=f"edit.{_POOL}", message=what))
    _refuse(found)


def _set(env: Mapping[str, str | None] | None) -> list[str]:
    """The variables that a change sets; to remove one is always fine."""
    return [name for name, value in (env or {}).items() if value is not None]


def _pool_refused(ports: JobPorts, pool: str, service: str | None, field: str) -> list[FieldError]:
    why = pool_refused_to_job(ports.pool_rules, pool, service)
    return [] if why is None else [FieldError(field=field, message=why)]


def _refuse(found: Sequence[FieldError]) -> None:
    if found:
        raise ValidationFailed("This is not for a free job, one that no deployment runs.", found)
