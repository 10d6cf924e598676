"""What callers may ask of a job: the contracts' commands without ``by``, which only the server fills in."""

from typing import Annotated, TypeVar

from pydantic import Field, StringConstraints

from workflows.contracts.base import Frozen
from workflows.contracts.commands import Canary, DeadLetterFilter, Reason, Reported
from workflows.contracts.fields import CommitSha, EnvName, EnvValue, ExitCode, GitRef, Name, ShortLine, WholeSeconds
from workflows.contracts.jobs import RetryPolicy, Step
from workflows.contracts.statuses import Priority

C = TypeVar("C", bound=Frozen)


class CancelRequest(Frozen):
    """Why the job is stopped."""

    reason: Reason | None = None


class AmendRequest(Frozen):
    """Priority and pool of a job that has not started; labels and tags at any time."""

    priority: Priority | None = None
    pool: Name | None = None
    labels: dict[ShortLine, ShortLine] | None = Field(default=None, max_length=64)
    tags: list[ShortLine] | None = Field(default=None, max_length=64)


class PriorityRequest(Frozen):
    """A new place in line."""

    priority: Priority


class CompleteRequest(Frozen):
    """A result that was found outside."""

    exit_code: ExitCode
    error_message: Reported | None = None


class EditRequest(Frozen):
    """Changes to a dead letter. ``env`` is merged; null removes a variable. ``max_attempts`` counts further tries.

    ``steps`` takes the place of all steps. It and the commit ask for the right to submit jobs as well, and are for one
    dead letter at a time.
    """

    pool: Name | None = None
    priority: Priority | None = None
    timeout_seconds: WholeSeconds | None = None
    env: dict[EnvName, EnvValue | None] | None = Field(default=None, max_length=256)
    max_attempts: Annotated[int, Field(ge=1, le=50)] | None = None
    retry: RetryPolicy | None = None
    steps: list[Step] | None = Field(default=None, min_length=1, max_length=100)
    git_commit_sha: CommitSha | None = None
    git_ref: GitRef | None = None


class RedriveRequest(Frozen):
    """Run a dead letter again, after ``edit``."""

    edit: EditRequest | None = None
    reason: Reason | None = None


class DiscardRequest(Frozen):
    """Why a dead letter is given up."""

    reason: Reason | None = None


class BulkRedriveRequest(Frozen):
    """Run many dead letters again: those the filter means, ``limit`` at most, oldest first."""

    filter: DeadLetterFilter = DeadLetterFilter()
    edit: EditRequest | None = None
    canary: Canary | None = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000
    reason: Reason | None = None


class BulkRedriveStarted(Frozen):
    """Where to look how far it is."""

    redrive_id: Annotated[str, StringConstraints(min_length=1)]
    url: str
