"""THE catalogue on the agent: how each kind of question is answered, and which kinds this agent offers.

What can never change (a file at a commit) is remembered. Deliberately not here: whether a question may be answered at
all (``activity``).
"""

import base64
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from agent.git.errors import CheckoutError
from agent.git.reading import Place, Reading
from agent.metrics.reading import MetricProviders
from agent.settings import AgentSettings
from agent.tasks.probes import Probes
from workflows.contracts.fields import misleading_in
from workflows.contracts.tasks import (
    MAX_FILE_BYTES,
    MAX_PATHS,
    MAX_PATHS_BYTES,
    AncestryAnswer,
    AncestryQuestion,
    Answer,
    CommitsAnswer,
    CommitsQuestion,
    CommitTime,
    FileAnswer,
    FileQuestion,
    HeadAnswer,
    HeadQuestion,
    MetricAnswer,
    MetricQuestion,
    PathsAnswer,
    PathsQuestion,
    Question,
    ReadingAnswer,
    ReadingQuestion,
    ReadyAnswer,
    ReadyQuestion,
)
from workflows.newest import Newest

_REMEMBERED: Final = 500
_OF_GIT: Final = ("ancestry", "commits", "paths", "head", "file", "ready")
_OF_METRICS: Final = ("metric",)
_OF_PROVIDERS: Final = ("reading",)
_WHY_CHARACTERS: Final = 900


def offered_kinds(settings: AgentSettings, probes: Probes, providers: MetricProviders | None = None) -> list[str]:
    """What this agent says that it answers; nothing with HYBRIDCI_AGENT_TASKS=0. An agent that runs only what was
    approved answers only what is signed, too: without the control plane's keys nothing.
    """
    if not settings.tasks or (settings.approvers_file is not None and settings.control_keys_file is None):
        return []
    readings = _OF_PROVIDERS if providers is not None and providers.usable else ()
    return [*_OF_GIT, *(_OF_METRICS if probes.has_metrics else ()), *readings]


class Catalogue:
    """Answers questions. Raises CheckoutError, ProbeFailed, ReadFailed when it could not tell, NoSuchProvider when
    another agent may.
    """

    def __init__(self, reading: Reading, probes: Probes, providers: MetricProviders | None = None) -> None:
        self._reading, self._probes, self._providers = reading, probes, providers or MetricProviders({})
        self._known: Newest[str, Answer] = Newest(_REMEMBERED)
        self._kinds: Mapping[str, Callable[[Any, float], Awaitable[Answer]]] = {
            "ancestry": self._ancestry,
            "commits": self._commits,
            "paths": self._paths,
            "head": self._head,
            "file": self._file,
            "ready": self._ready,
            "metric": self._metric,
            "reading": self._read,
        }

    async def answer(self, question: Question, seconds: float) -> Answer:
        """Within so many seconds."""
        key = question.model_dump_json()
        known = self._known.get(key)
        if known is None:
            known = await self._kinds[question.kind](question, seconds)
            if _lasts(known):
                self._known[key] = known
        return known

    async def _ancestry(self, question: AncestryQuestion, seconds: float) -> Answer:
        found, complete = await self._reading.ancestry(
            _place(question, seconds), question.ancestor, question.descendant
        )
        return AncestryAnswer(is_ancestor=found, complete=complete)

    async def _commits(self, question: CommitsQuestion, seconds: float) -> Answer:
        found, truncated, complete = await self._reading.commits(
            _place(question, seconds), question.older, question.newer, question.limit
        )
        commits = [CommitTime(sha=sha, committed_at=at) for sha, at in found]
        return CommitsAnswer(commits=commits, truncated=truncated, complete=complete)

    async def _paths(self, question: PathsQuestion, seconds: float) -> Answer:
        names, truncated = await self._reading.paths(
            _place(question, seconds), question.older, question.newer, most=MAX_PATHS, max_bytes=MAX_PATHS_BYTES
        )
        return PathsAnswer(paths=[_name(name) for name in names], truncated=truncated)

    async def _head(self, question: HeadQuestion, seconds: float) -> Answer:
        head = await self._reading.head(Place(question.git_repo, None, seconds), question.git_ref)
        return HeadAnswer(head=head, is_head=head == question.git_commit_sha)

    async def _file(self, question: FileQuestion, seconds: float) -> Answer:
        content = await self._reading.file(
            _place(question, seconds), question.git_commit_sha, question.path, MAX_FILE_BYTES
        )
        if content is None:
            return FileAnswer(exists=False)
        return FileAnswer(exists=True, size=len(content), content=base64.b64encode(content).decode())

    async def _ready(self, question: ReadyQuestion, seconds: float) -> Answer:
        until, why = time.monotonic() + seconds, ""
        try:
            await self._reading.fetched(_place(question, seconds), question.git_commit_sha)
        except CheckoutError as error:
            why = error.message
        artifact = None
        if question.artifact is not None:
            about = {"REPO": question.git_repo, "COMMIT": question.git_commit_sha}
            artifact = await self._probes.artifact(question.artifact, about, max(0.1, until - time.monotonic()))
        told = [why] if why else []
        told += ["The artifact cannot be had."] if artifact is False else []
        return ReadyAnswer(ready=not told, commit=not why, artifact=artifact, why=" ".join(told)[:_WHY_CHARACTERS])

    async def _metric(self, question: MetricQuestion, seconds: float) -> Answer:
        about = {"SERVICE": question.service, "ENVIRONMENT": question.environment, "VERSION": question.version}
        value = await self._probes.metric(question.name, about, seconds)
        return MetricAnswer(value=value, at=time.time_ns() // 1_000_000)

    async def _read(self, question: ReadingQuestion, seconds: float) -> Answer:
        value = await self._providers.value(question, seconds)
        return ReadingAnswer(value=value, at=time.time_ns() // 1_000_000)


def _place(
    question: AncestryQuestion | CommitsQuestion | PathsQuestion | FileQuestion | ReadyQuestion, seconds: float
) -> Place:
    return Place(question.git_repo, question.git_ref, seconds)


def _lasts(answer: Answer) -> bool:
    """True for what is so for ever. A history that ends early may be longer tomorrow."""
    if isinstance(answer, AncestryAnswer | CommitsAnswer):
        return answer.complete
    return isinstance(answer, PathsAnswer | FileAnswer)


def _name(raw: bytes) -> str:
    """A file's name as it can be told. Raises CheckoutError for one that would be read as something else."""
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        name = None
    if name is None or misleading_in(name, lines=False) is not None:
        raise CheckoutError(
            "path_unreadable",
            "A file that differs has a name with control or invisible characters, or that is no UTF-8: nobody could"
            " tell it from another one, so the list is not given.",
            retryable=False,
        )
    return name
