"""Which workflows cannot go on, by Temporal's own word: the search attribute that it gives to a workflow whose task has
failed several times in a row. One listing, however many workflows are open.

A server without that attribute is asked for the attempts of pending tasks instead, some open workflows at a time.
Deliberately not here: what follows from it (``workflow``, ``activities.repairs.watch``). Temporal's errors pass
through.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from temporalio.api.common.v1 import WorkflowExecution as ExecutionId
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
)
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from workflows.contracts import search_attributes as attributes
from workflows.contracts.ids import deployment_id_of, job_workflow_id
from workflows.contracts.repairs import KINDS, Kind, RepairProgress, Standing, Story, StuckWorkflow, Subject
from workflows.payloads.errors import UnreadablePayload
from workflows.repair.history import COMPLETED, TASK_ENDS, failure_message, is_failure, last_answer, reset_point

MOST: Final = 1000
"""How many stuck workflows are listed; whatever stops more of them at once is no matter of single workflows."""
_PROBLEMS: Final = SearchAttributeKey.for_keyword_list("TemporalReportedProblems")
_TYPES: Final = ", ".join(f"'{name}'" for name in KINDS)
_OPEN: Final = f"ExecutionStatus = 'Running' AND WorkflowType IN ({_TYPES})"
_REPORTED: Final = f"{_OPEN} AND {_PROBLEMS.name} IS NOT NULL"
_STUCK_ATTEMPT: Final = 3
"""The first failure can be a worker that left; the second one is told by the third attempt, 10 s later."""
_AT_A_TIME: Final = 100
_NEWEST_EVENTS: Final = 100
_MESSAGE_CHARACTERS: Final = 1000
_LOOKS: Final = 15
_LOOK_SECONDS: Final = 0.2
_QUERY_TIMEOUT: Final = timedelta(seconds=8)


class StuckWorkflows:
    """Finds and judges them. For one event loop. ``reported``: the server has the attribute; None: it is asked."""

    def __init__(self, client: Client, *, reported: bool | None = None) -> None:
        self._client, self._is_reported = client, reported
        self._round = _Round(client)

    async def find(self) -> list[StuckWorkflow]:
        """Those that are stuck now, ``MOST`` of them; visibility may lag behind by a second."""
        if not await self._reported():
            return await self._round.next()
        executions = self._client.list_workflows(_REPORTED, page_size=MOST, limit=MOST)
        return [_stuck(execution, _cause(execution)) async for execution in executions]

    async def story(self, stuck: StuckWorkflow) -> Story:
        """What its history says of the failure."""
        events = await self._newest(stuck.workflow_id, stuck.run_id)
        completed = next((each.event_id for each in events if each.event_type == COMPLETED), 0)
        return Story(episode=f"{stuck.run_id}-{completed}", message=failure_message(events)[:_MESSAGE_CHARACTERS])

    async def is_stuck(self, subject: Subject) -> bool:
        """True when it is open and cannot go on. Raises RPCError NOT_FOUND when there is no such workflow."""
        description = await self._client.get_workflow_handle(subject.workflow_id).describe()
        return _is_open(description) and await self._cannot_go_on(subject, description)

    async def standing(self, subject: Subject) -> Standing:
        """How it stands, and where it may be taken back to. One that does not exist is not open."""
        handle = self._client.get_workflow_handle(subject.workflow_id)
        try:
            description = await handle.describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return Standing(open=False)
            raise
        if not _is_open(description):
            return Standing(open=False)
        if not await self._cannot_go_on(subject, description):
            return Standing(open=True, run_id=description.run_id)
        history = await self._client.get_workflow_handle(subject.workflow_id, run_id=description.run_id).fetch_history()
        reset_to, obstacle = reset_point(history.events, description.raw_description.pending_activities)
        odd_answer = await self._odd_answer(history.events) if subject.kind is Kind.JOB else ""
        return Standing(
            open=True,
            stuck=True,
            run_id=description.run_id,
            reset_to=reset_to,
            obstacle=obstacle,
            odd_answer=odd_answer,
        )

    async def progress(self, subject: Subject) -> RepairProgress:
        """What it does just now, after a reset."""
        description = await self._client.get_workflow_handle(subject.workflow_id).describe()
        if not _is_open(description):
            return RepairProgress.GOES_ON
        try:
            if await self._cannot_go_on(subject, description):
                return RepairProgress.STUCK
        except RPCError as error:
            if error.status in {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}:
                return RepairProgress.SILENT
            raise
        last = await self._last_task(subject.workflow_id, description.run_id)
        return RepairProgress.GOES_ON if last is not None and last.event_type == COMPLETED else RepairProgress.SILENT

    async def _odd_answer(self, events: Sequence[HistoryEvent]) -> str:
        """What an agent answered that the workflow's worker cannot hand over; empty when there is no such answer.

        Its SDK's core wants exactly one payload. A sealed one must have one of our keys, as what the job was started
        with has: when that cannot be opened either, it is a key that is missing here, and no matter of the agent's.
        """
        answer = last_answer(events)
        if answer is None:
            return ""
        if answer.failure is None and len(answer.payloads) != 1:
            return f"{len(answer.payloads)} payloads instead of one"
        codec = self._client.data_converter.payload_codec
        if codec is not None:
            try:
                await codec.decode(events[0].workflow_execution_started_event_attributes.input.payloads)
            except UnreadablePayload:
                return ""
        if answer.failure is not None:
            return await self._odd_failure(answer.failure)
        if codec is None:
            return ""
        try:
            await codec.decode(answer.payloads)
        except UnreadablePayload:
            return "a payload that was sealed with a key that is not ours"
        return ""

    async def _odd_failure(self, failure: Failure) -> str:
        """As the workflow's worker reads it; a copy, for it is opened in place."""
        copy = Failure()
        copy.CopyFrom(failure)
        try:
            await self._client.data_converter.decode_failure(copy)
        except UnreadablePayload:
            return "a failure that was sealed with a key that is not ours"
        except Exception as error:  # a converter may raise anything
            return f"a failure that cannot be read ({type(error).__name__})"
        return ""

    async def _reported(self) -> bool:
        """True when this server sets the attribute."""
        if self._is_reported is None:
            request = DescribeNamespaceRequest(namespace=self._client.namespace)
            namespace = await self._client.workflow_service.describe_namespace(request)
            self._is_reported = namespace.namespace_info.capabilities.reported_problems_search_attribute
        return self._is_reported

    async def _cannot_go_on(self, subject: Subject, description: WorkflowExecutionDescription) -> bool:
        description = await self._settled(description)
        attempt = _attempt(description)
        if _cause(description) or attempt >= _STUCK_ATTEMPT:
            return True
        if attempt == 0:
            return _is_open(description) and not await self._answers(subject)
        last = await self._last_task(subject.workflow_id, description.run_id)
        return attempt > 1 and last is not None and is_failure(last)

    async def _settled(self, description: WorkflowExecutionDescription) -> WorkflowExecutionDescription:
        """A moment later when it has a task just now: the question whether it can go on is then being answered."""
        handle = self._client.get_workflow_handle(description.id)
        for _ in range(_LOOKS):
            if _attempt(description) != 1:
                break
            await asyncio.sleep(_LOOK_SECONDS)
            description = await handle.describe()
        return description

    async def _answers(self, subject: Subject) -> bool:
        """False for one that nothing has woken since it broke: its task fails as soon as anybody asks.

        Raises RPCError DEADLINE_EXCEEDED or CANCELLED when no worker has taken the question.
        """
        if subject.kind is Kind.OTHER:
            return True
        handle = self._client.get_workflow_handle(subject.workflow_id)
        try:
            await handle.query("state", result_type=object, rpc_timeout=_QUERY_TIMEOUT)
        except WorkflowQueryFailedError:  # no query of ours refuses
            return False
        except RPCError as error:
            if error.status in {RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.INVALID_ARGUMENT}:
                return False  # its task has failed
            raise
        return True

    async def _last_task(self, workflow_id: str, run_id: str) -> HistoryEvent | None:
        """How its last task ended that has ended."""
        events = await self._newest(workflow_id, run_id)
        return next((each for each in events if each.event_type in TASK_ENDS), None)

    async def _newest(self, workflow_id: str, run_id: str) -> Sequence[HistoryEvent]:
        """Its last events, the newest first."""
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace=self._client.namespace,
            execution=ExecutionId(workflow_id=workflow_id, run_id=run_id),
            maximum_page_size=_NEWEST_EVENTS,
        )
        answer = await self._client.workflow_service.get_workflow_execution_history_reverse(request)
        return answer.history.events


class _Round:
    """Goes round the open workflows, some at each call, and remembers which were stuck."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._token: bytes | None = None
        self._found: dict[str, StuckWorkflow] = {}

    async def next(self) -> list[StuckWorkflow]:
        """Look at the next ones, and again at those that were stuck."""
        page = self._client.list_workflows(_OPEN, page_size=_AT_A_TIME, next_page_token=self._token)
        await page.fetch_next_page()
        self._token = page.next_page_token
        for workflow_id in [*self._found, *(each.id for each in page.current_page or ())]:
            await self._look(workflow_id)
        return list(self._found.values())

    async def _look(self, workflow_id: str) -> None:
        self._found.pop(workflow_id, None)
        try:
            description = await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return
            raise
        if _is_open(description) and _attempt(description) >= _STUCK_ATTEMPT:
            self._found[workflow_id] = _stuck(description, "")


def subject_of(execution: WorkflowExecution) -> dict[str, Any]:
    """The fields of a ``Subject``."""
    kind, found = KINDS.get(execution.workflow_type, Kind.OTHER), execution.typed_search_attributes
    fields: dict[str, Any] = {
        "kind": kind,
        "workflow_id": execution.id,
        "service_name": found.get(attributes.SERVICE),
        "environment": found.get(attributes.ENVIRONMENT),
        "version": found.get(attributes.VERSION),
        "pool": found.get(attributes.POOL),
    }
    if kind is Kind.JOB:
        fields["job_id"] = execution.id.removeprefix(job_workflow_id(""))
    elif kind is Kind.DEPLOYMENT:
        fields["deployment_id"] = deployment_id_of(execution.id)
    return fields


def _stuck(execution: WorkflowExecution, cause: str) -> StuckWorkflow:
    return StuckWorkflow(
        **subject_of(execution), run_id=execution.run_id, workflow_type=execution.workflow_type, cause=cause
    )


def _cause(execution: WorkflowExecution) -> str:
    """Temporal's word for what fails: ``WorkflowTaskFailedCauseNonDeterministicError``. Empty when nothing does."""
    problems = execution.typed_search_attributes.get(_PROBLEMS) or ()
    words = {name: value for name, _, value in (problem.partition("=") for problem in problems)}
    return words.get("cause") or words.get("category") or (problems[0] if problems else "")


def _is_open(description: WorkflowExecutionDescription) -> bool:
    return description.status is WorkflowExecutionStatus.RUNNING


def _attempt(description: WorkflowExecutionDescription) -> int:
    """Which try the pending workflow task is; 0 when none is pending."""
    raw = description.raw_description
    return raw.pending_workflow_task.attempt if raw.HasField("pending_workflow_task") else 0
