"""Jobs as callers send and see them: the record without its internals, lists, batches, artifacts."""

from typing import Any, Final

from pydantic import BaseModel, Field, create_model

from api.http.bodies import free_form_errors, validation_failed
from api.http.problems import Problem
from api.http.times import add_times
from workflows.contracts.base import Frozen
from workflows.contracts.errors import FieldError
from workflows.contracts.fields import Millis
from workflows.contracts.ids import job_workflow_id
from workflows.contracts.jobs import ArtifactRef, Job, JobSpec
from workflows.contracts.records import Page

MAX_BATCH: Final = 100
_INTERNAL: Final = frozenset({"fingerprint", "sequence"})


class ShownJob(Job):
    """The record, and what nobody writes down because it changes with the agents."""

    waits_for: str | None = Field(
        default=None, description="Why no agent takes the queued job now, in words; null when one may at any moment."
    )
    workflow_url: str | None = Field(
        default=None,
        exclude_if=lambda url: url is None,
        description="Its workflow in the Temporal UI, where one is set.",
    )


_public: dict[str, Any] = {
    name: (field.annotation, field) for name, field in ShownJob.model_fields.items() if name not in _INTERNAL
}
JobOut: Final[type[BaseModel]] = create_model("JobOut", __doc__="The record of a job.", **_public)
"""For the documentation only: derived from ``ShownJob`` so that they cannot drift apart; ``job_json`` writes it."""

EXAMPLE_JOB: Final[dict[str, Any]] = {
    "job_type": "test",
    "git_repo": "https://example.com/shop.git",
    "git_ref": "main",
    "git_commit_sha": "9f1c2d3e4b5a69788796a5b4c3d2e1f009182736",
    "git_author": "ann@example.com",
    "pool": "default",
    "priority": "HIGH",
    "steps": [{"name": "unit", "run": "pytest -q", "timeout_seconds": 600}],
    "env": {"A": "1"},
    "secrets": ["DB_URL"],
    "artifacts": ["dist/*"],
    "timeout_seconds": 3600,
    "retry": {"max_attempts": 3, "initial_interval_seconds": 1, "backoff": 2, "final_exit_codes": [2]},
}


class Batch(Frozen):
    """Several jobs in one request; all are checked before any is started."""

    items: list[JobSpec] = Field(min_length=1, max_length=MAX_BATCH)


class BatchItem(Frozen):
    """What became of one job of a batch: ``status`` is the HTTP status it would have had alone."""

    index: int
    status: int
    job: dict[str, Any] | None = None
    error: Problem | None = None


class BatchResult(Frozen):
    """One entry for each job, in the order sent."""

    created: int
    replayed: int
    failed: int
    accepted: int = Field(default=0, description="Started, but their records follow: 202.")
    items: list[BatchItem]


class ArtifactList(Frozen):
    """What one attempt left behind. ``expires_at``: until when it is kept, when the job says so and has ended."""

    attempt: int
    items: list[ArtifactRef]
    expires_at: Millis | None = Field(default=None, exclude_if=lambda value: value is None)


def job_json(job: Job, waits_for: str | None = None, *, workflows: str | None = None) -> bytes:
    """The record as callers see it. ``workflows``: where the Temporal UI shows them."""
    return _shown(job, waits_for, workflows).model_dump_json(exclude=set(_INTERNAL)).encode()


def job_fields(job: Job, waits_for: str | None = None) -> dict[str, Any]:
    """The same, as a part of another document, with its times."""
    return add_times(ShownJob, _shown(job, waits_for).model_dump(mode="json", exclude=set(_INTERNAL)))


def page_json(page: Page[Any]) -> bytes:
    """A list with its cursor."""
    return page.model_dump_json().encode()


def _shown(job: Job, waits_for: str | None, workflows: str | None = None) -> ShownJob:
    # Validated already: a second time would cost as much as the answer.
    fields: dict[str, Any] = {name: getattr(job, name) for name in Job.model_fields}
    url = None if workflows is None else f"{workflows}/{job_workflow_id(job.job_id)}"
    return ShownJob.model_construct(None, **fields, waits_for=waits_for, workflow_url=url)


def require_plain(spec: JobSpec) -> JobSpec:
    """The specification, when its metadata can be kept as it is. Raises ValidationFailed."""
    return require_all_plain([spec], prefix=None)[0]


def require_all_plain(specs: list[JobSpec], *, prefix: str | None) -> list[JobSpec]:
    """The same for several; ``prefix`` names the list in the errors."""
    errors: list[FieldError] = []
    for index, spec in enumerate(specs):
        if spec.metadata:
            errors += free_form_errors(spec.metadata, "metadata" if prefix is None else f"{prefix}.{index}.metadata")
    if errors:
        raise validation_failed(errors)
    return specs
