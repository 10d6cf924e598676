"""Agent tasks: what can be asked of the agents of a pool besides jobs, and what they answer.

A question is one of a closed catalogue, told apart by its ``kind``; so is an answer, of the same kind. Nothing here
names a command: what an agent runs for a question is the agent's own. An answer is the word of one agent, bounded
here and read as untrusted (``workflows.task.answers``). Times are epoch milliseconds, sizes bytes.
Deliberately not here: what a job is given (``attempts``), who may ask (``access``).
"""

import json
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from workflows.contracts.base import Frozen, Tolerant
from workflows.contracts.fields import (
    CommitSha,
    GitRef,
    Line,
    Millis,
    Name,
    ReportedLine,
    Repository,
    ShortLine,
    Text,
)
from workflows.contracts.sealed import SpecSignature
from workflows.contracts.who import Message

MAX_COMMITS: Final = 500
MAX_PATHS: Final = 1000
MAX_PATHS_BYTES: Final = 64 << 10
"""All names together."""
MAX_FILE_BYTES: Final = 64 << 10
MAX_ANSWER_BYTES: Final = 256 << 10
"""Of a whole result as JSON; a larger one counts as none."""
DEFAULT_SECONDS: Final = 30
MAX_SECONDS: Final = 120
LEASE_SECONDS: Final = 5
"""An agent that is silent for so long has lost the task; another one is asked."""
MAX_KINDS: Final = 32

KindName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,31}$")]
"""A kind of question; one that this version does not know is a newer version's."""


def _inside(path: str) -> str:
    parts = path.split("/")
    if path.startswith(("/", "~", ":")) or "\\" in path or any(part in {"", ".", ".."} for part in parts):
        raise ValueError("must be a path inside the repository, such as deploy/service.yaml")
    return path


class _OfRepository(Frozen):
    """``git_ref`` is where to look when the server hands out no bare commits, as for a job."""

    git_repo: Repository
    git_ref: GitRef | None = None


class AncestryQuestion(_OfRepository):
    """Is ``ancestor`` an ancestor of ``descendant``, or the same commit?"""

    kind: Literal["ancestry"] = "ancestry"
    ancestor: CommitSha
    descendant: CommitSha


class CommitsQuestion(_OfRepository):
    """Which commits does ``newer`` have that ``older`` has not, newest first?"""

    kind: Literal["commits"] = "commits"
    older: CommitSha
    newer: CommitSha
    limit: int = Field(default=100, ge=1, le=MAX_COMMITS)


class PathsQuestion(_OfRepository):
    """Which files differ between the two commits?"""

    kind: Literal["paths"] = "paths"
    older: CommitSha
    newer: CommitSha


class HeadQuestion(Frozen):
    """Is the head of ``git_ref`` still ``git_commit_sha``, as the server has it now? A bare name is a branch's."""

    kind: Literal["head"] = "head"
    git_repo: Repository
    git_ref: GitRef
    git_commit_sha: CommitSha


class FileQuestion(_OfRepository):
    """What does the file at ``path`` hold at this commit?"""

    kind: Literal["file"] = "file"
    git_commit_sha: CommitSha
    path: Annotated[Line, StringConstraints(min_length=1, max_length=1024), AfterValidator(_inside)]


class ReadyQuestion(_OfRepository):
    """Can the commit be had from here, and the artifact, if one is named? ``artifact`` is whatever the agent's own
    check understands: an image with its digest, a URL, a package with its version.
    """

    kind: Literal["ready"] = "ready"
    git_commit_sha: CommitSha
    artifact: Annotated[Line, StringConstraints(min_length=1, max_length=1024)] | None = None


class MetricQuestion(Frozen):
    """What does a metric read now? ``name`` is one that the agent's operator has set up."""

    kind: Literal["metric"] = "metric"
    name: Name
    service: Name | None = None
    environment: Name | None = None
    version: ShortLine | None = None


class ReadingQuestion(Frozen):
    """What does a monitoring system say now? ``provider`` is a manifest that the agent's operator has set up; it alone
    says which address is asked, with which credentials. ``query`` and ``params`` are the service's own.
    """

    kind: Literal["reading"] = "reading"
    provider: Name
    query: Annotated[Text, StringConstraints(max_length=4096)] = ""
    params: dict[ShortLine, ShortLine] = Field(default_factory=dict[str, str], max_length=16)
    service: Name | None = None
    environment: Name | None = None
    version: ShortLine | None = None


Question = Annotated[
    AncestryQuestion
    | CommitsQuestion
    | PathsQuestion
    | HeadQuestion
    | FileQuestion
    | ReadyQuestion
    | MetricQuestion
    | ReadingQuestion,
    Field(discriminator="kind"),
]

ReportedPath = Annotated[ReportedLine, StringConstraints(min_length=1, max_length=4096)]
Why = Annotated[ReportedLine, StringConstraints(max_length=1000)]
_BASE64_OF_FILE: Final = (MAX_FILE_BYTES + 2) // 3 * 4


class AncestryAnswer(Tolerant):
    """``complete`` False: the agent's history ends early (a shallow clone), so a no may be a yes."""

    kind: Literal["ancestry"] = "ancestry"
    is_ancestor: bool
    complete: bool


class CommitTime(Tolerant):
    """A commit, and when it says that it was made. Whoever made it can have written any time."""

    sha: CommitSha
    committed_at: Millis


class CommitsAnswer(Tolerant):
    """Newest first. ``truncated``: there are more than were asked for."""

    kind: Literal["commits"] = "commits"
    commits: list[CommitTime] = Field(max_length=MAX_COMMITS)
    truncated: bool
    complete: bool


class PathsAnswer(Tolerant):
    """``truncated``: there are more than fit into an answer."""

    kind: Literal["paths"] = "paths"
    paths: list[ReportedPath] = Field(max_length=MAX_PATHS)
    truncated: bool


class HeadAnswer(Tolerant):
    """``head`` None: the server has no such ref."""

    kind: Literal["head"] = "head"
    head: CommitSha | None
    is_head: bool


class FileAnswer(Tolerant):
    """``exists`` False: there is no file of this name. ``content`` in base64; ``size`` in bytes."""

    kind: Literal["file"] = "file"
    exists: bool
    size: int = Field(default=0, ge=0, le=MAX_FILE_BYTES)
    content: Annotated[str, StringConstraints(max_length=_BASE64_OF_FILE, pattern=r"^[A-Za-z0-9+/]*={0,2}$")] = ""


class ReadyAnswer(Tolerant):
    """``artifact`` None: none was named. ``why``: what cannot be had, for people."""

    kind: Literal["ready"] = "ready"
    ready: bool
    commit: bool
    artifact: bool | None = None
    why: Why = ""


class MetricAnswer(Tolerant):
    """What the metric read at ``at``, by the agent's clock."""

    kind: Literal["metric"] = "metric"
    value: float = Field(allow_inf_nan=False)
    at: Millis


class ReadingAnswer(Tolerant):
    """What it said, at ``at`` by the agent's clock."""

    kind: Literal["reading"] = "reading"
    value: float = Field(allow_inf_nan=False)
    at: Millis


Answer = Annotated[
    AncestryAnswer | CommitsAnswer | PathsAnswer | HeadAnswer | FileAnswer | ReadyAnswer | MetricAnswer | ReadingAnswer,
    Field(discriminator="kind"),
]


class TaskOutcome(StrEnum):
    """How asking ended. Only ``ANSWERED`` is an answer; a guard that needs one refuses on all others."""

    ANSWERED = "answered"
    NOT_OFFERED = "not_offered"  # no agent of the pool answers such a question now: told at once
    REFUSED = "refused"  # the agent does not answer it here: unsigned, of a foreign service
    FAILED = "failed"  # it tried and could not tell: the repository did not answer, the commit is unknown
    UNANSWERED = "unanswered"  # nobody answered in time
    INVALID = "invalid"  # what came is no answer to this question
    CANCELLED = "cancelled"


class TaskInput(Tolerant):
    """What an agent is given. ``signature``: the control plane's word that it asks, as for deployments' jobs."""

    task_id: str
    pool: str
    question: Question
    signature: SpecSignature | None = Field(default=None, exclude_if=lambda value: value is None)


class TaskReport(Tolerant):
    """What an agent says. ``outcome`` NOT_OFFERED: this agent does not; another one may.

    ``cause`` is a short code (``unknown_commit``, ``repository_unreachable``, ``specification_unverified``,
    ``probe_failed``, …), ``message`` a sentence for people.
    """

    task_id: Annotated[str, StringConstraints(max_length=64)]
    agent_id: Annotated[ReportedLine, StringConstraints(max_length=128)]
    outcome: Literal[TaskOutcome.ANSWERED, TaskOutcome.NOT_OFFERED, TaskOutcome.REFUSED, TaskOutcome.FAILED]
    cause: Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,64}$")] | None = None
    message: Why = ""
    answer: Answer | None = None

    @model_validator(mode="after")
    def _answers_or_not(self) -> Self:
        if (self.answer is not None) != (self.outcome is TaskOutcome.ANSWERED):
            raise ValueError("answer: is there exactly when it was answered")
        return self


class TaskStart(Message):
    """What ``AgentTaskWorkflow`` is started with: who asks whom what.

    ``seconds``: so long an answer is waited for, the time in the queue included. ``service``: whose guard asks; None
    when a person does. ``fingerprint`` of the request with an idempotency key.
    """

    task_id: str
    pool: Name
    question: Question
    seconds: int = Field(default=DEFAULT_SECONDS, ge=1, le=MAX_SECONDS)
    service: Name | None = None
    fingerprint: str | None = None


class TaskOffer(Tolerant):
    """What the control plane knows before it asks: how many agents answer such questions now, and its signature."""

    agents: int
    signature: SpecSignature | None = None


class TaskResult(Tolerant):
    """How it ended, as whoever asked is told."""

    task_id: str
    pool: str
    outcome: TaskOutcome
    agent_id: str | None = None
    cause: str | None = None
    message: str = ""
    answer: Answer | None = None


def signed_bytes(task: TaskInput, signature: SpecSignature) -> bytes:
    """What the control plane signs of a task: all of it, with what the signature says itself, under a name of its own,
    so that it is nothing else. Fields at their default are left out, as in ``attempts.signed_bytes``.
    """
    fields: dict[str, Any] = {
        "task": task.model_dump(mode="json", exclude={"signature"}, exclude_defaults=True),
        "kind": task.question.kind,
        "signed": signature.model_dump(mode="json", exclude={"key_id", "signature"}),
    }
    return b"hybridci-task-v1\n" + json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
