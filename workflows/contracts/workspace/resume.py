"""How a job goes on whose agent was lost: from its beginning, or behind its last finished step on the same host.

What an agent keeps for it is in ``agent.attempt.resume``; when it gets the job again, in ``workflows.job``.
"""

from enum import StrEnum
from typing import Final

from workflows.contracts.base import Tolerant

RESUME_WAIT_SECONDS: Final = 60
"""So long a lost agent alone may take its job again; then any agent of the pool begins it anew."""
MAX_LOST_IN_A_ROW: Final = 3
"""An agent that lost a job so often in a row is not waited for any more: it may be the job that ends it."""


class ResumeAt(StrEnum):
    """Where a job whose agent was lost goes on; without it, always from its beginning."""

    STEP = "step"


class LostAttempts(Tolerant):
    """The last attempts of a job, when one agent lost them all: what it kept of one of these is as it was left."""

    agent_id: str
    numbers: list[int]
