"""A fake of our own way to the agents: what they answer is a function, and nothing takes time unless it is told to."""

from collections.abc import Callable

from workflows.client.tasks import TaskClient
from workflows.contracts.errors import HybridCIError, NotFound
from workflows.contracts.tasks import AncestryAnswer, TaskOutcome, TaskResult, TaskStart


def yes(start: TaskStart) -> TaskResult:
    answer = AncestryAnswer(is_ancestor=True, complete=True)
    return result(start, TaskOutcome.ANSWERED, agent_id="agent-1", answer=answer)


def result(start: TaskStart, outcome: TaskOutcome, **fields: object) -> TaskResult:
    values = {"task_id": start.task_id, "pool": start.pool, "outcome": outcome}
    return TaskResult.model_validate({**values, **fields})


class FakeTasks(TaskClient):
    """``answer`` None: every question is under way until it is withdrawn. ``failure`` is raised by every call."""

    def __init__(self) -> None:  # no client: the base class is not used
        self.asked: list[TaskStart] = []
        self.answer: Callable[[TaskStart], TaskResult] | None = yes
        self.failure: HybridCIError | None = None
        self.withdrawn: set[str] = set()

    async def ask(self, start: TaskStart) -> TaskStart:
        if self.failure is not None:
            raise self.failure
        for each in self.asked:
            if (each.pool, each.task_id) == (start.pool, start.task_id):
                return each
        self.asked.append(start)
        return start

    async def result(self, pool: str, task_id: str, *, within: float) -> TaskResult | None:
        start = self._find(pool, task_id)
        if task_id in self.withdrawn:
            return result(start, TaskOutcome.CANCELLED, message="The question was withdrawn.")
        return None if self.answer is None else self.answer(start)

    async def cancel(self, pool: str, task_id: str) -> None:
        self._find(pool, task_id)
        if self.answer is None:
            self.withdrawn.add(task_id)

    def _find(self, pool: str, task_id: str) -> TaskStart:
        if self.failure is not None:
            raise self.failure
        for each in self.asked:
            if (each.pool, each.task_id) == (pool, task_id):
                return each
        raise NotFound(f"There is no task {task_id} of pool {pool}.")
