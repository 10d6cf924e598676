"""What comes into an environment's workflow: messages of deployments, commands of people, and what it learns itself.

Pure. Deliberately not here: what becomes of them (``workflow``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from temporalio.exceptions import ApplicationError

from workflows.contracts.deployments.environments import (
    BecameLive,
    EnvironmentSignal,
    EnvironmentState,
    FreezeCommand,
    HoldCommand,
    Join,
    Leave,
    ReleaseCommand,
    RestoreLive,
    RetireCommand,
    RollbackReadiness,
    UnfreezeCommand,
    Yielded,
)
from workflows.contracts.errors import HybridCIError
from workflows.contracts.fields import shortened
from workflows.environment.commands import Command
from workflows.incoming import read

_MAX_NAME_CHARACTERS: Final = 256
_SIGNALS: Final[dict[str, type[EnvironmentSignal]]] = {
    "join": Join,
    "leave": Leave,
    "became_live": BecameLive,
    "yielded": Yielded,
    "restore_live": RestoreLive,
    "rollback_readiness": RollbackReadiness,
}
_COMMANDS: Final[dict[str, type[Command]]] = {
    "hold": HoldCommand,
    "release": ReleaseCommand,
    "freeze": FreezeCommand,
    "unfreeze": UnfreezeCommand,
    "retire": RetireCommand,
}


@dataclass(slots=True, eq=False)
class Asked:
    """A command of somebody. An update has its ``answer`` once the record is written, or its ``error``; a signal wants
    neither.
    """

    command: Command
    name: str
    signal: bool = False
    error: ApplicationError | None = None
    answer: EnvironmentState | None = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """A signal that says nothing we understand."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Gone:
    """A deployment could not be told: its workflow has closed."""

    deployment_id: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The watched holder's workflow has closed."""

    deployment_id: str
    how: str


@dataclass(frozen=True, slots=True)
class Restored:
    """The state was taken over from the record."""


@dataclass(frozen=True, slots=True)
class LineMoved:
    """A freeze or hold of the line began or ended."""


Message = (
    Join
    | Leave
    | BecameLive
    | Yielded
    | RestoreLive
    | RollbackReadiness
    | Asked
    | Malformed
    | Gone
    | Closed
    | Restored
    | LineMoved
)


def received(name: str, given: Sequence[Any]) -> Message:
    """What a signal of this name says; its input can be anything, or nothing."""
    if name in _COMMANDS:
        command, why = read(_COMMANDS[name], given)
        return Malformed(name, why or "") if command is None else Asked(command, name, signal=True)
    message, why = read(_SIGNALS[name], given)
    if message is None:
        return Malformed(name, why or "")
    return _cut(message)


def _cut(message: EnvironmentSignal) -> Message:
    """With texts that the record can hold: no caller of ours sends longer ones."""
    if isinstance(message, Leave) and message.hold is not None:
        hold = message.hold
        texts = {"by": shortened(hold.by, _MAX_NAME_CHARACTERS), "reason": shortened(hold.reason)}
        return message.model_copy(update={"hold": hold.model_copy(update=texts)})
    if isinstance(message, RestoreLive | RollbackReadiness):
        return message.model_copy(update={"why": shortened(message.why)})
    if isinstance(message, Join):
        version = shortened(message.ticket.version, _MAX_NAME_CHARACTERS)
        return Join(ticket=message.ticket.model_copy(update={"version": version}))
    return message


def in_words(error: HybridCIError) -> str:
    """The refusal in one line."""
    fields = "; ".join(f"{each['field']} {each['message']}" for each in error.details.get("errors", []))
    return f"{error.message} {fields}".strip()
