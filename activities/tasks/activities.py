"""The control worker's part in a question to a pool's agents: who answers such, the signature, the audit trail.

Deliberately not here: asking (``workflows.task``), what agents do with it (``agent.tasks``).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from temporalio import activity

from activities.clock import Clock
from activities.deployments.signing import SpecSigner
from activities.errors import speaks_temporal
from activities.events.witness import Witness
from activities.stores.interfaces.events import EventStore
from workflows.contracts.agents import Agent
from workflows.contracts.audit.details import TaskAsked
from workflows.contracts.audit.events import new_event
from workflows.contracts.tasks import TaskInput, TaskOffer, TaskStart
from workflows.newest import Newest

KNOWN_FOR_MS: Final = 3_000
"""So long it is not looked up again that somebody answers; that nobody does is looked up each time."""
_MAX_KNOWN: Final = 1_000
_ASK: Final = "Ask through the API: `hybridci ask …`."
_BY_ITSELF: Final = "workflow"
"""The ``via`` of what the control plane asks for its own guards, whose subjects tell of it."""


@dataclass(frozen=True, slots=True)
class TaskActivities:
    """``members`` gives all agents of a pool with their heartbeats. ``all`` is what a Worker registers."""

    members: Callable[[str], Awaitable[Sequence[Agent]]]
    events: EventStore
    signer: SpecSigner
    clock: Clock
    witness: Witness
    _known: Newest[tuple[str, str], tuple[int, int]] = field(default_factory=lambda: Newest(_MAX_KNOWN))

    def all(self) -> Sequence[Callable[..., Any]]:
        """Every activity, for ``Worker(activities=…)``."""
        return [self.offer_task]

    @activity.defn(name="offer_task")
    @speaks_temporal
    async def offer_task(self, start: TaskStart) -> TaskOffer:
        """How many answer, and the signature. Nobody is asked what is not in the trail; the same task is there once.

        Raises invalid_state, not retryable, for a question that the API did not send, where it must have.
        """
        from_outside, workflow_id = start.via != _BY_ITSELF, activity.info().workflow_id
        if from_outside:
            self.witness.doubt(start.claim(), workflow_id, instead=_ASK)
        agents = await self.answering(start.pool, start.question.kind)
        if from_outside:
            await self.events.append(
                new_event(
                    TaskAsked(task_id=start.task_id, question=start.question.model_dump(mode="json")),
                    self.witness.heard(start, workflow_id).who(),
                    event_id=f"task-{start.task_id}",
                    at=self.clock(),
                    message=f"the agents of pool {start.pool} were asked: {start.question.kind}",
                    pool=start.pool,
                    service_name=start.service,
                )
            )
        if not agents:
            return TaskOffer(agents=0)
        task = TaskInput(task_id=start.task_id, pool=start.pool, question=start.question)
        return TaskOffer(agents=agents, signature=self.signer.sign_task(task, start.service))

    async def answering(self, pool: str, kind: str) -> int:
        """How many agents of the pool answer such questions now."""
        now, key = self.clock(), (pool, kind)
        at, known = self._known.get(key, (0, 0))
        if now - at < KNOWN_FOR_MS:
            return known
        count = sum(agent.answers(kind, now) for agent in await self.members(pool))
        if count:
            self._known[key] = now, count
        return count
