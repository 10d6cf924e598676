"""A fake of our own ``TaskQueues``: what waits is what the test says."""

from activities.agents.registry import AgentRegistry
from activities.clock import Clock, epoch_millis
from activities.jobs.readers import JobReader
from activities.stores.open import Stores
from api.agents.fleet import Fleet
from api.temporal.task_queues import EMPTY, Backlog
from workflows.contracts.errors import HybridCIError


class FakeQueues:
    """``failure`` is raised by every call."""

    def __init__(self) -> None:
        self.backlogs: dict[str, Backlog] = {}
        self.failure: HybridCIError | None = None
        self.asked: list[str] = []

    async def backlog(self, queue: str) -> Backlog:
        self.asked.append(queue)
        if self.failure is not None:
            raise self.failure
        return self.backlogs.get(queue, EMPTY)


def fleet_of(stores: Stores, queues: FakeQueues | None = None, *, clock: Clock = epoch_millis) -> Fleet:
    found = queues or FakeQueues()
    registry, jobs = AgentRegistry(stores.agents, clock), JobReader(stores.jobs)
    return Fleet.of(registry, jobs, lambda: found, clock=clock, monotonic=lambda: clock() / 1000)
