"""What a job may say of its checkout, beyond the commit: submodules, tags, LFS files, how much history, where to.

Without any of it a workspace has the commit's own files and all its history. Deliberately not here: how it is done
(``agent.git``), which commit (``jobs``).
"""

from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, StrictBool, StringConstraints, model_validator

from workflows.contracts.base import Frozen
from workflows.contracts.fields import Line


def _folder(path: str) -> str:
    parts = path.split("/")
    if "\\" in path or any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts):
        raise ValueError("must be a relative path inside the workspace, without '.', '..' and '.git'")
    return path


Filter = Annotated[
    str, StringConstraints(pattern=r"^(blob:none|blob:limit=(0|[1-9][0-9]{0,9})[kmg]?|tree:(0|[1-9][0-9]{0,3}))$")
]
"""Of git's filters those that name nothing of the repository (rev-list(1), ``--filter``)."""
Folder = Annotated[Line, StringConstraints(min_length=1, max_length=256), AfterValidator(_folder)]


class CheckoutOptions(Frozen):
    """``checkout`` of a job."""

    submodules: StrictBool = Field(default=False, description="Check them out too, and theirs.")
    tags: StrictBool = Field(default=False, description="All tags of the repository, for `git describe --tags`.")
    lfs: StrictBool = Field(default=False, description="The files that LFS keeps, where the agent has git-lfs.")
    depth: int | None = Field(
        default=None, ge=1, le=1_000_000, description="So many commits of history, fetched and seen."
    )
    filter: Filter | None = Field(
        default=None,
        description="What of the history is left out until it is asked for, as in a partial clone: `blob:none`, "
        "`blob:limit=1m`, `tree:0`. The commit's own files are all there.",
        exclude_if=lambda value: value is None,
    )
    path: Folder | None = Field(
        default=None, description="The folder of the workspace that gets the commit. Steps begin in the workspace."
    )
    none: StrictBool = Field(default=False, description="No checkout: steps begin in an empty folder.")

    @model_validator(mode="after")
    def _none_is_nothing_else(self) -> Self:
        if self.none and any(value for name, value in self if name != "none"):
            raise ValueError("none means no checkout at all: leave the other settings out")
        return self


AS_USUAL: Final = CheckoutOptions()
