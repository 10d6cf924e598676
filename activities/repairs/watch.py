"""The watch of the control worker: workflows that cannot go on become an event, a line in the log, and an end of it.

One listing a tick, and nothing else as long as nothing is stuck. Every control worker has one: an event's id is that of
the failure, so that all of them keep it once. What is stuck when a worker starts is found before it takes any task, so
that it also tells when its own, mended code lets the workflow go on.
What an agent's answer has stopped is repaired at once.
Deliberately not here: who is stuck (``workflows.repair.stuck``), the cure (``activities``).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from temporalio.service import RPCError, RPCStatusCode

from activities.bounded import gather_bounded
from activities.clock import Clock
from activities.repairs.activities import subject_ids
from activities.stores.interfaces.events import EventStore
from workflows.contracts.audit.details import Details, WorkflowRecovered, WorkflowStuck
from workflows.contracts.audit.events import AuditEvent, new_event
from workflows.contracts.errors import HybridCIError
from workflows.contracts.repairs import Kind, Repair, RepairInput, Standing, Story, StuckWorkflow, Subject
from workflows.contracts.who import Who
from workflows.repair.stuck import MOST

logger = logging.getLogger(__name__)

EVERY_SECONDS: Final = 10.0
WATCH: Final = "watch"
"""As whom it writes the trail, and repairs."""
_NEW_AT_A_TICK: Final = 100
"""Each costs two requests and a write; the others are told at the next tick."""


class StuckSource(Protocol):
    """What Temporal says. ``workflows.repair.stuck.StuckWorkflows`` asks the server."""

    async def find(self) -> list[StuckWorkflow]:
        """Those that are stuck now."""
        ...

    async def story(self, stuck: StuckWorkflow) -> Story:
        """Why."""
        ...

    async def is_stuck(self, subject: Subject) -> bool:
        """Is it? Raises RPCError NOT_FOUND when it is gone."""
        ...

    async def standing(self, subject: Subject) -> Standing:
        """How it stands, by its whole history."""
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    stuck: StuckWorkflow
    episode: str


class Watch:
    """Remembers whom it has told of. For one event loop."""

    def __init__(
        self,
        source: StuckSource,
        events: EventStore,
        clock: Clock,
        repair: Callable[[RepairInput], Awaitable[None]],
    ) -> None:
        """``repair`` begins one."""
        self._source, self._events, self._clock, self._repair = source, events, clock, repair
        self._known: dict[str, _Known] = {}
        self._failing = False

    @property
    def known(self) -> Mapping[str, object]:
        """The ids of the workflows that were stuck at the last tick."""
        return self._known

    async def run(self, *, every: float = EVERY_SECONDS) -> None:
        """Tick until it is cancelled."""
        while True:
            await asyncio.sleep(every)
            await self.tick()

    async def tick(self) -> None:
        """Look once. What does not answer is told once, and asked again at the next tick."""
        try:
            await self._look()
        except (HybridCIError, RPCError, RuntimeError) as error:  # RuntimeError: the SDK's connection
            if not self._failing:
                logger.warning("cannot look for stuck workflows; trying again", extra={"because": str(error)})
            self._failing = True
        except Exception:  # of no use to anybody else: the worker goes on
            logger.exception("the watch failed; trying again")
        else:
            self._failing = False

    async def _look(self) -> None:
        found = {stuck.workflow_id: stuck for stuck in await self._source.find()}
        new = [stuck for workflow_id, stuck in found.items() if not self._knows(workflow_id, stuck)]
        gone = [] if len(found) >= MOST else [each for key, each in self._known.items() if key not in found]
        for answer in [
            *await gather_bounded(self._tell, new[:_NEW_AT_A_TICK]),
            *await gather_bounded(self._tell_recovered, gone[:_NEW_AT_A_TICK]),
        ]:
            if isinstance(answer, Exception):
                raise answer

    def _knows(self, workflow_id: str, stuck: StuckWorkflow) -> bool:
        known = self._known.get(workflow_id)
        return known is not None and known.stuck.run_id == stuck.run_id

    async def _tell(self, stuck: StuckWorkflow) -> None:
        story = await self._source.story(stuck)
        details = {"workflow_id": stuck.workflow_id, "run_id": stuck.run_id, "type": stuck.workflow_type}
        message = f"{stuck} cannot go on: its workflow task fails again and again. Repair it: {stuck.command}"
        told = {**details, "cause": stuck.cause, "failure": story.message}
        event = self._event(f"stuck-{story.episode}", WorkflowStuck(**told), stuck, message)
        await self._events.append(event)
        odd_answer = await self._repaired(stuck)
        self._known[stuck.workflow_id] = _Known(stuck, story.episode)
        logger.error("a workflow cannot go on", extra={**told, "repair": odd_answer or stuck.command})

    async def _repaired(self, stuck: StuckWorkflow) -> str:
        """What an agent answered that stops this job; then its repair has begun, for there is nothing to decide.

        Empty for everything else: which of two ways is right then, a person says.
        """
        if stuck.kind is not Kind.JOB:
            return ""
        odd_answer = (await self._source.standing(stuck)).odd_answer
        if odd_answer:
            reason = f"An agent answered with {odd_answer}."
            subject = Subject.model_validate(stuck.model_dump(include=set(Subject.model_fields)))
            await self._repair(RepairInput(subject=subject, command=Repair(by=WATCH, via="workflow", reason=reason)))
        return odd_answer

    async def _tell_recovered(self, known: _Known) -> None:
        stuck = known.stuck
        try:
            if await self._source.is_stuck(stuck):
                return  # visibility was behind
            message = f"{stuck} goes on, or has ended: its workflow task does not fail any more."
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            message = f"{stuck} is gone."
        details = {"workflow_id": stuck.workflow_id, "type": stuck.workflow_type}
        event = self._event(f"recovered-{known.episode}", WorkflowRecovered(**details), stuck, message)
        await self._events.append(event)
        del self._known[stuck.workflow_id]
        logger.info("a workflow goes on that could not", extra=details)

    def _event(self, event_id: str, what: Details, stuck: StuckWorkflow, message: str) -> AuditEvent:
        about = subject_ids(stuck)
        return new_event(what, Who.itself(WATCH), event_id=event_id, at=self._clock(), message=message, **about)
