"""AgentTaskWorkflow: one question to the agents of a pool. Look who is there, ask one, read what it says.

Who asks from inside (a deployment's guard) runs it as a child workflow; from outside the API starts it. Whatever
happens is a result: a guard that gets no answer refuses, or asks a person.
Deliberately not here: what an answer means (``answers``), who may ask (``api.auth``), how agents answer
(``agent.tasks``).
"""

from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from workflows.calls import Calls
    from workflows.contracts.activities import offer_task, run_task
    from workflows.contracts.ids import tasks_queue
    from workflows.contracts.tasks import LEASE_SECONDS, TaskInput, TaskOffer, TaskOutcome, TaskResult, TaskStart
    from workflows.job.recorded import started_ms
    from workflows.task.answers import not_offered, reported, result_of, unreported

_TRIES: Final = 3
"""A question changes nothing, so another agent is asked when one is lost."""
_AGAIN: Final = timedelta(milliseconds=200)
_MAX_DECLINES: Final = 5
_GUARD: Final = "workflow"
"""The ``via`` of a guard's question, which nobody can claim who asks from outside."""


@workflow.defn(name="AgentTaskWorkflow")
class AgentTaskWorkflow:
    """One question."""

    def __init__(self) -> None:
        self._calls = Calls()

    @workflow.run
    async def run(self, start: TaskStart) -> TaskResult:
        """Ask, and return what became of it."""
        began = workflow.now()
        if workflow.info().parent is None and start.via == _GUARD:
            start = start.model_copy(update={"via": "temporal"})
        start = start.heard(started_ms())
        try:
            offer = await self._calls.call(
                offer_task,
                start,
                summary="who answers, signed, and kept in the audit trail",
                give_up_after=timedelta(seconds=start.seconds),
            )
        except ApplicationError as error:
            return result_of(start, TaskOutcome.REFUSED, error.message)
        except FailureError as error:
            if is_cancelled_exception(error):
                return result_of(start, TaskOutcome.CANCELLED, "The question was withdrawn.")
            return result_of(start, TaskOutcome.FAILED, "The control plane's records did not answer.", "unavailable")
        if not offer.agents:
            return not_offered(start)
        result = not_offered(start)
        for _ in range(_MAX_DECLINES):
            left = timedelta(seconds=start.seconds) - (workflow.now() - began)
            if left <= timedelta(0):
                return result_of(start, TaskOutcome.UNANSWERED, f"Nobody answered within {start.seconds} s.")
            result = await self._ask(start, offer, left)
            if result.outcome is not TaskOutcome.NOT_OFFERED:
                break
        return result

    async def _ask(self, start: TaskStart, offer: TaskOffer, left: timedelta) -> TaskResult:
        task = TaskInput(task_id=start.task_id, pool=start.pool, question=start.question, signature=offer.signature)
        try:
            answer = await workflow.execute_activity(
                run_task.__name__,
                task,
                result_type=RawValue,
                task_queue=tasks_queue(start.pool),
                schedule_to_close_timeout=left,
                start_to_close_timeout=left,
                heartbeat_timeout=timedelta(seconds=LEASE_SECONDS),
                retry_policy=RetryPolicy(initial_interval=_AGAIN, maximum_attempts=_TRIES),
                cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL,
                summary=f"ask: {start.question.kind}",
            )
        except ActivityError as error:
            return unreported(start, error)
        return reported(start, answer, workflow.payload_converter())
