"""What comes into a deployment's workflow, and what becomes of it: a message → one pure step → then what is to be done.

A message is taken at once, in the task of its handler: the main line is in the middle of a phase then, and awaits a job
or a time. A step is applied without an ``await``, so nothing comes in between; whatever is awaited after it (the
record, the lock) is in order by the journal's and the lock's own.

Deliberately not here: which messages there are (``commands``, ``signals``), how the SDK hands them over (``handlers``).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.audit.details import Details
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.deployment import Deployment
    from workflows.contracts.errors import ErrorCode
    from workflows.contracts.who import Message, Who
    from workflows.deployment.context import Context
    from workflows.deployment.journal import ENVIRONMENT
    from workflows.deployment.judging import are_judged
    from workflows.deployment.state import State
    from workflows.incoming import read
    from workflows.job.recorded import now_ms

M = TypeVar("M", bound=BaseModel)
C = TypeVar("C", bound=Who)


@dataclass(frozen=True, slots=True)
class Note:
    """A line in the audit trail."""

    what: EventType | Details
    reason: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class InboxStep:
    """The state after a message, and its line in the trail."""

    state: State
    note: Note | None = None


async def write(context: Context, before: State, said: object) -> None:
    """What mostly follows a step: the record is written. ``before``: the state that the message found."""
    await context.journal.record()


async def nothing(context: Context, before: State, said: object) -> None:
    """The main line acts on it; or the record is written with the next change."""


@dataclass(frozen=True, slots=True)
class Signal(Generic[M]):
    """A message of an environment or of monitoring. ``effect``: the step, None when it says nothing to this state.
    ``newer``: what is done instead, but in runs whose history lacks the patch of this name.
    """

    name: str
    model: type[M]
    description: str
    effect: Callable[[State, M, int], InboxStep | None]
    then: Callable[[Context, State, M], Awaitable[None]] = nothing
    newer: "tuple[str, Signal[M]] | None" = None


@dataclass(frozen=True, slots=True)
class Command(Generic[C]):
    """What a person may say: an update, answered with the record; and a signal of the same name, which has no answer.

    ``refusal`` says why not now; ``refused`` is in the trail when a signal is refused. ``judge``: what is not refused
    has to be looked into first, outside of the workflow; it returns the effect, or raises NotNow. ``before``: why not,
    in a run that has done such a command without a judge.
    """

    name: str
    model: type[C]
    description: str
    refused: EventType
    refusal: Callable[[State, C, int], str | None]
    effect: Callable[[State, C, int], InboxStep]
    then: Callable[[Context, State, C], Awaitable[None]] = write
    judge: Callable[[Context, C], Awaitable[Callable[[State, C, int], InboxStep]]] | None = None
    before: Callable[[State, C, int], str | None] | None = None


class NotNow(ApplicationError):
    """A command that cannot be done now; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, type=ErrorCode.INVALID_STATE, non_retryable=True)


async def take(context: Context, kind: Command[C], command: C) -> Deployment:
    """Do what is not refused. Returns the record as the command left it. Raises NotNow by a judge."""
    effect, command = kind.effect, _heard(command)
    if await context.opening.waited():
        refuse(context, kind, command)
    if kind.judge is not None and are_judged(context):
        effect = await kind.judge(context, command)
        refuse(context, kind, command)  # somebody else may have spoken meanwhile
    before = context.state
    step = effect(before, command, now_ms())
    context.journal.state = step.state
    if step.note is not None:
        _note(context, step.note, command)
    await kind.then(context, before, command)
    return context.state.deployment


def refuse(context: Context, kind: Command[C], command: C) -> None:
    """Raises NotNow when the command cannot be done now."""
    reason = kind.refusal(context.state, command, now_ms())
    if reason is not None:
        raise NotNow(reason)


async def take_signal(context: Context, kind: Command[C], given: Sequence[Any]) -> None:
    """As the update, for who needs no answer: a refusal changes nothing but the audit trail."""
    command, reason = read(kind.model, given)
    if await context.opening.refused():
        return
    if command is not None:
        command = _heard(command)
        refusal = kind.refusal if kind.before is None or are_judged(context) else kind.before
        reason = refusal(context.state, command, now_ms())
        if reason is None:
            try:
                await take(context, kind, command)
            except NotNow as refused:
                reason = refused.message
            else:
                return
    _note(context, Note(kind.refused, reason or ""), command or Who())
    await context.journal.record()


async def hear(context: Context, kind: Signal[M], given: Sequence[Any]) -> None:
    """Take it in, unless it is malformed or says nothing now."""
    said, _ = read(kind.model, given)
    if said is None or await context.opening.refused():
        return
    if kind.newer is not None and workflow.patched(kind.newer[0]):
        kind = kind.newer[1]
    before = context.state
    step = kind.effect(before, said, now_ms())
    if step is None:
        return
    context.journal.state = step.state
    if step.note is not None:
        context.journal.note(step.note.what, ENVIRONMENT, message=step.note.message)
    await kind.then(context, before, said)


def _heard(command: C) -> C:
    """What is looked into first may take its time."""
    return command.heard(now_ms()) if isinstance(command, Message) else command


def _note(context: Context, note: Note, who: Who) -> None:
    claim = who.claim() if isinstance(who, Message) else None
    context.journal.note(note.what, who, reason=note.reason, message=note.message, claim=claim)
