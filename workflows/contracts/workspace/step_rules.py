"""What a job may say of how its steps run, beyond what agents have always done: closed sets, and which agents know it.

Deliberately not here: the steps and jobs that have these fields (``jobs``), and that only agents which know them are
given such a job (``workspace.features``).
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from workflows.contracts.base import Frozen

AFTER_SECONDS: Final = 300
"""For all steps together that run after the attempt has failed, or was ended: whatever the job's own timeout is."""
MOST_GRACE_SECONDS: Final = 60


class When(StrEnum):
    """Whether a step runs, by how those before it ended."""

    SUCCESS = "success"
    FAILURE = "failure"  # one before it failed, ran too long, or the attempt was cancelled or ran too long
    ALWAYS = "always"


class Background(StrEnum):
    """What becomes of processes that a step leaves behind."""

    END = "end"  # they end with it
    KEEP = "keep"  # they end with the job


class CancelSignal(StrEnum):
    """What a step's processes are told when it is to end."""

    INT = "INT"
    TERM = "TERM"
    HUP = "HUP"
    QUIT = "QUIT"
    USR1 = "USR1"
    USR2 = "USR2"


class CancelRules(Frozen):
    """How a step ends that is cancelled or runs too long. Without a signal INT, or TERM where only that is handled."""

    signal: CancelSignal | None = None
    grace_seconds: Annotated[int, Field(ge=0, le=MOST_GRACE_SECONDS)] | None = Field(
        default=None, description="From the signal to the kill, for all of its processes; 10 without it."
    )
