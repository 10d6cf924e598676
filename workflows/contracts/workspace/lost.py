"""Of a job that may resume: which agent lost its last attempts, and whether it is waited for. Pure."""

from collections.abc import Sequence
from typing import Protocol

from workflows.contracts.statuses import Outcome
from workflows.contracts.workspace.resume import MAX_LOST_IN_A_ROW, LostAttempts, ResumeAt


class _Attempt(Protocol):
    @property
    def number(self) -> int: ...
    @property
    def agent_id(self) -> str | None: ...
    @property
    def pool(self) -> str: ...
    @property
    def outcome(self) -> Outcome | None: ...


class _Job(Protocol):
    @property
    def resume(self) -> ResumeAt | None: ...
    @property
    def pool(self) -> str: ...
    @property
    def attempts(self) -> Sequence[_Attempt]: ...


def lost_attempts(job: _Job) -> LostAttempts | None:
    """Its last attempts, when one agent lost them all, and is known."""
    numbers: list[int] = []
    last = job.attempts[-1].agent_id if job.attempts else None
    for attempt in reversed(job.attempts):
        if attempt.outcome is not Outcome.AGENT_LOST or attempt.agent_id != last:
            break
        numbers.append(attempt.number)
    return LostAttempts(agent_id=last, numbers=numbers[::-1]) if job.resume and last and numbers else None


def waited_for(job: _Job) -> LostAttempts | None:
    """Whoever has lost the last attempts, and may go on where they ended."""
    lost = lost_attempts(job)
    if lost is None or len(lost.numbers) >= MAX_LOST_IN_A_ROW or job.attempts[-1].pool != job.pool:
        return None
    return lost
