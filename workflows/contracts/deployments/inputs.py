"""Files that a deployment's own jobs hand on: from its build or test to what comes after. Pure.

Nothing else comes into a deployment's jobs: files of other jobs would be put beside what was approved by whoever may
submit such a job. Deliberately not here: files of any job (``workspace.inputs``).
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from workflows.contracts.base import Frozen
from workflows.contracts.workspace.inputs import MAX_INPUTS, InputFiles, InputFolder, InputPatterns


class EarlyJob(StrEnum):
    """A job of a deployment before its environments."""

    BUILD = "build"
    TEST = "test"


class EarlyFiles(Frozen):
    """Artifacts of the same deployment's build or test."""

    job: EarlyJob = Field(description="Whose artifacts: `build`, or `test`.")
    artifacts: InputPatterns = Field(default_factory=lambda: ["**"])
    path: InputFolder = None

    def of(self, job_id: str) -> InputFiles:
        """What a job is given. The API takes the last attempt, for the job has ended."""
        return InputFiles(job=job_id, artifacts=self.artifacts, path=self.path)


EarlyInputs = Annotated[list[EarlyFiles], Field(max_length=MAX_INPUTS)]


def missing_sources(inputs: Iterable[EarlyFiles], there: Mapping[EarlyJob, bool]) -> str | None:
    """Why one of them can have no files, by its place: ``0.job``. ``there``: the jobs before, and whether they are."""
    for index, wanted in enumerate(inputs):
        if wanted.job not in there:
            return f"{index}.job: {wanted.job} does not come before this job"
        if not there[wanted.job]:
            return f"{index}.job: there is no {wanted.job} in this definition"
    return None
