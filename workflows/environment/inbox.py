"""What comes into an environment's workflow: messages of deployments, commands of people, and what it learns itself.

Pure. Deliberately not here: what becomes of them (``workflow``).
"""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from temporalio.exceptions import ApplicationError

from workflows.contracts.deployments.environments import (
    BecameLive,
    EnvironmentState,
    FreezeCommand,
    HoldCommand,
    Join,
    Leave,
    ReleaseCommand,
    UnfreezeCommand,
    Yielded,
)
from workflows.contracts.errors import HybridCIError, fields_text
from workflows.environment.commands import Command

_LONGEST_WHY: Final = 1000
_SIGNALS: Final[dict[str, type[Join | Leave | BecameLive | Yielded]]] = {
    "join": Join,
    "leave": Leave,
    "became_live": BecameLive,
    "yielded": Yielded,
}
_COMMANDS: Final[dict[str, type[Command]]] = {
    "hold": HoldCommand,
    "release": ReleaseCommand,
    "freeze": FreezeCommand,
    "unfreeze": UnfreezeCommand,
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


Message = Join | Leave | BecameLive | Yielded | Asked | Malformed | Gone | Closed | Restored


def received(name: str, message: Any) -> Message:
    """What a signal of this name says; its input can be any JSON, or nothing."""
    try:
        if name in _COMMANDS:
            return Asked(_COMMANDS[name].model_validate(message), name, signal=True)
        return _SIGNALS[name].model_validate(message)
    except ValidationError as error:
        return Malformed(name, fields_text(error, nameless="input")[:_LONGEST_WHY])


def in_words(error: HybridCIError) -> str:
    """The refusal in one line."""
    fields = "; ".join(f"{each['field']} {each['message']}" for each in error.details.get("errors", []))
    return f"{error.message} {fields}".strip()
