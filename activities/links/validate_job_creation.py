"""Link ValidateJobCreation: what was asked for becomes a record to create, or every bad field is named at once."""

from collections.abc import Callable, Mapping
from typing import cast

from codeuchain import Context
from pydantic import ValidationError

from activities.links.base import ChainMiswiredError, CreationContext
from workflows.contracts.errors import FieldError, ValidationFailed, field_errors
from workflows.contracts.ids import new_job_id
from workflows.contracts.jobs import Job, JobSpec, new_job, spec_of


class ValidateJobCreation:
    """``request`` (mapping, JobSpec or Job) → ``spec`` and ``job``. Raises ValidationFailed."""

    def __init__(self, *, clock: Callable[[], int], new_id: Callable[[], str] = new_job_id) -> None:
        self._clock = clock
        self._new_id = new_id

    async def call(self, ctx: Context[CreationContext]) -> Context[CreationContext]:
        """A whole Job keeps its id and times; anything else becomes a fresh record under ``job_id`` or a new id."""
        request: object = ctx.get("request")
        try:
            spec = _spec(request)
        except ValidationError as error:
            raise ValidationFailed(*_explain(error)) from None  # its text quotes values, which do not belong in logs
        job = request if isinstance(request, Job) else self._record(spec, ctx.get("job_id"))
        return ctx.insert("spec", spec).insert("job", job)

    def _record(self, spec: JobSpec, job_id: str | None) -> Job:
        return new_job(spec, job_id=job_id or self._new_id(), now=self._clock())


def _spec(request: object) -> JobSpec:
    if isinstance(request, Job):
        return spec_of(request)
    if isinstance(request, JobSpec):
        return request
    if isinstance(request, Mapping):
        return JobSpec.model_validate(dict(cast("Mapping[str, object]", request)))
    raise ChainMiswiredError(f"'request' must be a mapping, a JobSpec or a Job, not a {type(request).__name__}")


def _explain(error: ValidationError) -> tuple[str, list[FieldError]]:
    errors = field_errors(error)
    fields = ", ".join(sorted({found.field or "the job as a whole" for found in errors}))
    return f"The job was not created. Correct {fields} and submit it again.", errors
