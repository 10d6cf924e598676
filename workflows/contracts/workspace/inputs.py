"""Files of other jobs that are in a job's workspace before its first step. Pure.

Whoever takes the job finds out which job is meant, looks whether its submitter may read that one, and writes down which
attempt it is: an agent gets what the record says, and nothing else. Deliberately not here: that look (``api.jobs``),
and the fetching (``agent.artifacts.inputs``).
"""

from collections.abc import Sequence
from typing import Annotated, Final, Self

from pydantic import Field, ValidationInfo, model_validator

from workflows.contracts.base import Frozen, Tolerant
from workflows.contracts.fields import INCOMING, ArtifactGlob, GitRef, JobIdStart, Repository, ShortLine
from workflows.contracts.workspace.checkout import Folder
from workflows.contracts.workspace.globs import excluded, means, parts_of

MAX_INPUTS: Final = 10
MAX_INPUT_FILES: Final = 10_000
"""Of all inputs of a job together."""
_MOST_WORK: Final = 10_000_000
"""Parts of patterns times parts of paths: a few seconds, whatever they are."""

InputPatterns = Annotated[
    list[ArtifactGlob], Field(min_length=1, max_length=20, description="Which of its artifacts; `!x` leaves some out.")
]
InputFolder = Annotated[Folder | None, Field(description="The folder of the workspace that gets them.")]


class InputFiles(Frozen):
    """Artifacts of one other job: of ``job``, or of the newest of ``branch`` that succeeded.

    ``attempt``: set when the job is taken, with ``job``.
    """

    job: JobIdStart | None = Field(default=None, description="Its whole id.")
    branch: GitRef | None = Field(default=None, description="The newest job of it that succeeded, at the submission.")
    repository: Repository | None = Field(default=None, description="Of that branch. Default: the job's own.")
    job_type: ShortLine | None = Field(default=None, description="Only such a job of that branch.")
    artifacts: InputPatterns = Field(default_factory=lambda: ["**"])
    path: InputFolder = None
    attempt: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        exclude_if=lambda value: value is None,
        description="Set when the job is taken: leave it out.",
    )

    @model_validator(mode="after")
    def _one_job_is_meant(self, info: ValidationInfo) -> Self:
        if self.job is None and self.branch is None:
            raise ValueError("needs job (an id) or branch: whose artifacts are meant")
        if info.context is INCOMING and self.job is not None and self.branch is not None:
            raise ValueError("has job and branch: only one of them can say whose artifacts are meant")
        if info.context is INCOMING and self.branch is None and (self.repository or self.job_type):
            raise ValueError("has repository or job_type, which are for a branch")
        if info.context is INCOMING and self.attempt is not None:
            raise ValueError("has attempt, which is set when the job is taken: leave it out")
        return self

    def chosen(self, paths: Sequence[str]) -> list[str]:
        """Those of the artifacts that are meant. Raises ValueError when it would take too long to find out."""
        work = sum(map(parts_of, self.artifacts)) * sum(path.count("/") + 1 for path in paths)
        if work > _MOST_WORK:
            raise ValueError("its patterns are too many, or too deep, for that many files: use fewer")
        left_out = [without for pattern in self.artifacts if (without := excluded(pattern)) is not None]
        taken = [pattern for pattern in self.artifacts if excluded(pattern) is None] or ["**"]
        return [
            path
            for path in paths
            if any(means(pattern, path) for pattern in taken) and not any(means(each, path) for each in left_out)
        ]


Inputs = Annotated[list[InputFiles], Field(max_length=MAX_INPUTS)]


class InputFile(Tolerant):
    """One file as an agent fetches it. ``index``: of the input; ``to``: where it goes in the workspace."""

    index: int
    path: str
    to: str
    size: int
    sha256: str
    executable: bool = False


class InputFileList(Tolerant):
    """All that an attempt fetches. ``missing``: inputs that mean no file, in words."""

    items: list[InputFile]
    missing: list[str] = Field(default_factory=list[str])
