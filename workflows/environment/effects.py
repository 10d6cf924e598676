"""What an environment does beyond its record: asks for freezes, tells deployments, watches the holder.

The base of ``EnvironmentWorkflow``, apart from it because it decides nothing: what it learns goes into the inbox.
"""

import asyncio
from collections import deque
from datetime import timedelta
from itertools import groupby
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import await_closed, check_freeze, check_stops, tell_live
    from workflows.contracts.deployments.environments import (
        EnvironmentInput,
        FreezeAnswer,
        FreezeQuestion,
        Granted,
        Holder,
        Reinstated,
        Retired,
        StopsChanged,
        Superseded,
        Waiting,
        YieldRequested,
    )
    from workflows.contracts.deployments.line import StopInForce, StopKind, StopQuestion
    from workflows.contracts.deployments.reopening import TellLive
    from workflows.environment.answers import Answers
    from workflows.environment.inbox import Closed, Gone, Message
    from workflows.environment.recorded import RecordedEnvironment
    from workflows.environment.step import Tell
    from workflows.job.recorded import now_ms
    from workflows.words import titled

_PARENT_CLOSE_PAUSE: Final = timedelta(seconds=10)
"""A terminated deployment's job is cancelled by Temporal meanwhile: the next version must not run beside it."""
_WATCH_AGAIN: Final = timedelta(seconds=10)
_OWNS: Final = "what-is-live-holds-its-environment"  # 2026-11: before, only a version that had yielded did
_PATIENCE: Final = timedelta(seconds=30)
"""Then the others have their turn; the minute's sweep asks again."""
_FREEZE_UNKNOWN_MS: Final = 60_000
_SIGNALS: Final[dict[type[Any], str]] = {
    Granted: "granted",
    Waiting: "waiting",
    YieldRequested: "yield_requested",
    Superseded: "superseded",
    Reinstated: "reinstated",
    StopsChanged: "stops_changed",
    Retired: "retired",
}


class EnvironmentEffects(RecordedEnvironment):
    """Holds the inbox and the watch."""

    def __init__(self, start: EnvironmentInput) -> None:
        super().__init__(start)
        self._inbox: deque[Message] = deque()
        self._looks = False
        """At the line. A run that began before there was one does so once it hears of it."""
        self._watched: str | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._owning, self._asked_to_own = False, 0

    def _owns(self) -> bool:
        """False while a history is replayed that was written before that. Asked each time by another name: the SDK
        gives one answer for one name, and an environment's run lasts for years.
        """
        if not self._owning:
            self._asked_to_own += 1
            self._owning = workflow.patched(f"{_OWNS}-{self._asked_to_own}")
        return self._owning

    async def _answers(self) -> Answers:
        """What the recurring windows and the line say of the ready deployments; asked anew each time."""
        answers: dict[str, FreezeAnswer] = {}
        known: dict[tuple[Any, ...], FreezeAnswer] = {}
        for ticket in self._state.queue:
            if ticket.ready and (ticket.freeze_windows or ticket.allow_windows) and not ticket.override_freeze:
                windows = (tuple(ticket.freeze_windows), tuple(ticket.allow_windows))
                if windows not in known:
                    known[windows] = await self._freeze_answer(
                        FreezeQuestion(at=now_ms(), windows=ticket.freeze_windows, allow_windows=ticket.allow_windows)
                    )
                answers[ticket.deployment_id] = known[windows]
        return Answers(answers, await self._line())

    async def _line(self) -> list[StopInForce]:
        """What of the line is in force, when a turn could be given now: none is given without having looked."""
        state, holder = self._state, self._state.holder
        free = holder is None or holder.live or holder.yielding
        if not self._looks or state.hold is not None or not free or not any(ticket.ready for ticket in state.queue):
            return []
        question = StopQuestion(at=now_ms(), service_name=state.service_name, environment=state.environment)
        try:
            answer = await self._calls.at_once(check_stops, question, summary="is the line stopped?")
        except FailureError as error:  # better late than in a freeze: asked again soon, and an override goes on
            workflow.logger.warning("check_stops failed", exc_info=error)
            unknown = question.at + _FREEZE_UNKNOWN_MS
            return [StopInForce(kind=StopKind.FREEZE, name="freezes and holds that cannot be read", until=unknown)]
        return answer.stops

    async def _freeze_answer(self, question: FreezeQuestion) -> FreezeAnswer:
        try:
            windows = [*question.windows, *question.allow_windows]
            summary = titled(f"is a recurring freeze on? {', '.join(window.name for window in windows[:5])}")
            return await self._calls.at_once(check_freeze, question, summary=summary)
        except FailureError as error:  # better late than in a freeze: asked again soon, and an override goes on
            workflow.logger.warning("check_freeze failed", exc_info=error)
            return FreezeAnswer(until=question.at + _FREEZE_UNKNOWN_MS, name="freeze windows that cannot be read")

    async def _tell(self, tells: list[Tell]) -> None:
        """Each deployment its messages in order; several deployments at once."""
        ordered = sorted(tells, key=lambda tell: tell.workflow_id)
        of_each = [list(group) for _, group in groupby(ordered, key=lambda tell: tell.workflow_id)]
        await asyncio.gather(*(self._tell_one(group) for group in of_each))

    async def _tell_one(self, tells: list[Tell]) -> None:
        for tell in tells:
            try:
                await self._say(tell)
            except FailureError as error:
                late = isinstance(tell.message, Reinstated) and not isinstance(error, ApplicationError)
                if not late and not isinstance(tell.message, Superseded | Retired):  # it has ended by itself before
                    self._inbox.append(Gone(tell.deployment_id))
                return

    async def _say(self, tell: Tell) -> None:
        """What is live is told by an activity: its workflow is started when there is none."""
        if isinstance(tell.message, Reinstated) and self._owns():
            told = TellLive(deployment_id=tell.deployment_id, reinstated=tell.message)
            summary = f"{tell.message.environment}: what is live holds it again"
            await self._calls.call(tell_live, told, summary=summary, give_up_after=_PATIENCE)
            return
        handle: workflow.ExternalWorkflowHandle[Any] = workflow.get_external_workflow_handle(tell.workflow_id)
        await handle.signal(_SIGNALS[type(tell.message)], tell.message)

    def _watch(self, holder: Holder | None) -> None:
        """See to it that a holder who is gone does not keep the lock."""
        wanted = holder.workflow_id if holder is not None else None
        if wanted == self._watched:
            return
        if self._watcher is not None:
            self._watcher.cancel()
        self._watched = wanted
        self._watcher = asyncio.create_task(self._watch_one(holder)) if holder is not None else None

    async def _watch_one(self, holder: Holder) -> None:
        while True:
            try:
                how = await self._closed(holder)
                break
            except FailureError as error:
                if is_cancelled_exception(error):  # it has given the lock back, or keeps it as the live version
                    return
                workflow.logger.warning("await_closed failed", exc_info=error)
                await workflow.sleep(_WATCH_AGAIN, summary="before watching the holder again")
        await workflow.sleep(_PARENT_CLOSE_PAUSE, summary="the job of the lost holder is being cancelled")
        self._inbox.append(Closed(holder.deployment_id, how))

    async def _closed(self, holder: Holder) -> str:
        return await workflow.execute_activity(
            await_closed,
            holder.workflow_id,
            start_to_close_timeout=timedelta(days=30),
            heartbeat_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=10)),
            cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL,
            summary=f"watches {holder.version}: its end frees the lock",
        )
