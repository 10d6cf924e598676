"""Questions to a pool's agents as callers send them, and what becomes of them. The command line reads these too."""

from typing import Final

from pydantic import Field

from workflows.contracts.base import Frozen, Tolerant
from workflows.contracts.tasks import DEFAULT_SECONDS, MAX_SECONDS, Answer, Question, TaskOutcome, TaskResult

EXAMPLE_TASK: Final = {
    "question": {
        "kind": "ancestry",
        "git_repo": "https://example.com/shop.git",
        "ancestor": "9f1c2a7e4b0d8c6f5e3a1b2c4d6e8f0a9b7c5d3e",
        "descendant": "0a9b7c5d3e9f1c2a7e4b0d8c6f5e3a1b2c4d6e8f",
    }
}


class TaskRequest(Frozen):
    """One question. ``timeout_seconds``: so long an answer is waited for, the time until an agent is free included."""

    question: Question
    timeout_seconds: int = Field(default=DEFAULT_SECONDS, ge=1, le=MAX_SECONDS)


class TaskView(Tolerant):
    """What became of a question. ``outcome`` null: it is under way, ask again. ``answer`` is there when it was
    answered: the word of the agent ``agent_id``. Otherwise ``message`` says why, and what to do.
    """

    task_id: str
    pool: str
    outcome: TaskOutcome | None = Field(default=None, description="null: it is under way.")
    agent_id: str | None = None
    cause: str | None = None
    message: str = ""
    answer: Answer | None = None


def task_view(pool: str, task_id: str, result: TaskResult | None) -> TaskView:
    """As it is shown."""
    if result is None:
        return TaskView(task_id=task_id, pool=pool)
    return TaskView(**result.model_dump())
