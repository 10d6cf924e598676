"""The activity ``run_task`` on this agent: may it be answered here, the answer, or why there is none.

A task runs nothing of a repository and nothing that its asker names, needs no workspace, has no log and gets no secret.
It has slots of its own, so that no job waits for it. Deliberately not here: how a question is answered (``catalogue``).
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Final

from temporalio import activity

from agent.git.errors import CheckoutError
from agent.logs.spool import epoch_ms
from agent.metrics.reading import NoSuchProvider, ReadFailed
from agent.safety.gate import Gate
from agent.safety.specifications import Specifications, SpecificationUnverified
from agent.tasks.catalogue import Catalogue
from agent.tasks.probes import ProbeFailed
from workflows.contracts.activities import run_task
from workflows.contracts.fields import without_misleading
from workflows.contracts.tasks import MAX_SECONDS, TaskInput, TaskOutcome, TaskReport

_HEARTBEAT_SECONDS: Final = 1.0
_REPORT_SECONDS: Final = 1.0
"""Kept free at the end of the time that there is, for the report itself."""
_LEAST_SECONDS: Final = 0.5
_MESSAGE_CHARACTERS: Final = 900

logger = logging.getLogger(__name__)


class Tasks:
    """Answers as many at once as its worker has slots. ``specifications`` None: unsigned questions too."""

    def __init__(
        self,
        agent_id: str,
        kinds: Collection[str],
        catalogue: Catalogue,
        gate: Gate,
        specifications: Specifications | None,
    ) -> None:
        self._agent_id, self._kinds, self._catalogue, self._gate = agent_id, kinds, catalogue, gate
        self._specifications = specifications
        self._running: set[asyncio.Task[TaskReport]] = set()

    def stop_all(self) -> None:
        """End all now; other agents are asked."""
        for task in self._running:
            task.cancel()

    @activity.defn(name=run_task.__name__)
    async def run_task(self, task: TaskInput) -> TaskReport:
        """See ``contracts.activities.run_task``."""
        began = time.monotonic()
        refused = self._refusal(task)
        report = refused if refused is not None else await self._answered(task)
        logger.info(
            "Task %s (%s): %s in %.0f ms",
            task.task_id,
            task.question.kind,
            report.cause or report.outcome,
            1000 * (time.monotonic() - began),
        )
        return report

    def _refusal(self, task: TaskInput) -> TaskReport | None:
        if self._gate.refusal is not None:
            return self._without(
                task, TaskOutcome.NOT_OFFERED, "busy", f"It takes nothing new: {self._gate.refusal[1]}."
            )
        if task.question.kind not in self._kinds:
            why = f"This agent answers no questions of kind {task.question.kind}."
            return self._without(task, TaskOutcome.NOT_OFFERED, "unknown_kind", why)
        if self._specifications is not None:
            try:
                self._specifications.require_task(task, epoch_ms())
            except SpecificationUnverified as error:
                return self._without(task, TaskOutcome.REFUSED, "specification_unverified", str(error))
        return None

    async def _answered(self, task: TaskInput) -> TaskReport:
        working = asyncio.create_task(self._answer(task))
        self._running.add(working)
        try:
            return await working
        finally:
            working.cancel()
            self._running.discard(working)

    async def _answer(self, task: TaskInput) -> TaskReport:
        try:
            async with _beating(activity.heartbeat):
                answer = await self._catalogue.answer(task.question, _seconds_left())
        except CheckoutError as error:
            return self._without(task, TaskOutcome.FAILED, error.cause, error.message)
        except NoSuchProvider as error:
            return self._without(task, TaskOutcome.NOT_OFFERED, "unknown_provider", str(error))
        except ReadFailed as error:
            return self._without(task, TaskOutcome.FAILED, "read_failed", str(error))
        except ProbeFailed as error:
            return self._without(task, TaskOutcome.FAILED, "probe_failed", str(error))
        return TaskReport(task_id=task.task_id, agent_id=self._agent_id, outcome=TaskOutcome.ANSWERED, answer=answer)

    def _without(self, task: TaskInput, outcome: TaskOutcome, cause: str, message: str) -> TaskReport:
        said = without_misleading(message, lines=False)[:_MESSAGE_CHARACTERS]
        return TaskReport.model_validate(
            {
                "task_id": task.task_id,
                "agent_id": self._agent_id,
                "outcome": outcome,
                "cause": cause,
                "message": said,
            }
        )


def _seconds_left() -> float:
    allowed = activity.info().start_to_close_timeout
    seconds = MAX_SECONDS if allowed is None else allowed.total_seconds()
    return max(_LEAST_SECONDS, min(seconds, MAX_SECONDS) - _REPORT_SECONDS)


@asynccontextmanager
async def _beating(beat: Callable[[], None]) -> AsyncGenerator[None]:
    """Keep the lease, by which a withdrawn question is noticed too."""

    async def keep() -> None:
        while True:
            beat()
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    beating = asyncio.create_task(keep())
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
