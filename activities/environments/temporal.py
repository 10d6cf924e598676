"""Temporal as the activities of environments use it: signal an environment's workflow, wait for a workflow's end.

Deliberately not here: heartbeats and cancellation of the waiting activity (``activities``).
"""

from collections.abc import Mapping
from typing import Any, Final

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle, WorkflowHistoryEventFilterType
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.ending import end_workflow
from workflows.client.known import stated_if_there
from workflows.contracts import search_attributes
from workflows.contracts.deployments.environments import (
    EnvironmentInput,
    EnvironmentSignal,
    EnvironmentState,
    SignalEnvironment,
)
from workflows.contracts.errors import FieldError, ValidationFailed
from workflows.contracts.ids import CONTROL_QUEUE, environment_workflow_id
from workflows.environment.presentation import environment_search_attributes, environment_static_summary

NOT_FOUND: Final = "not_found"
_SIGNALS: Final = ("join", "leave", "became_live", "yielded", "restore_live", "rollback_readiness")
"""The fields of SignalEnvironment, named like the signals."""


_QUERY: Final = "WorkflowType = 'EnvironmentWorkflow' AND ExecutionStatus = 'Running'"


class TemporalWorkflows:
    """Asks the server. Temporal's errors pass through unless named: the activity is tried again."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def signal_environment(self, signal: SignalEnvironment) -> None:
        """Send the one signal that is set, starting the environment's workflow when there is none: one request, so no
        signal is lost between the two. Raises ValidationFailed unless exactly one is set.
        """
        name, message = _only(signal)
        service, environment = signal.service_name, signal.environment
        await self._client.start_workflow(
            "EnvironmentWorkflow",
            **environment_start(service, environment),
            start_signal=name,
            start_signal_args=[message],
        )

    async def closed(self, workflow_id: str) -> str:
        """Wait until the workflow has closed, all runs of it; its status in lower case, or ``not_found``."""
        handle = self._client.get_workflow_handle(workflow_id)
        try:
            while True:
                await _run_closed(handle)
                status = (await handle.describe()).status  # of the latest run: one that goes on, or was reset, is open
                if status is not None and status is not WorkflowExecutionStatus.RUNNING:
                    return status.name.lower()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return NOT_FOUND
            raise


class TemporalEnvironments:
    """Asks the server, for ``comparing.OpenEnvironments``. Temporal's errors pass through."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def shown(self) -> Mapping[tuple[str, str], tuple[str, str]]:
        """See ``comparing.OpenEnvironments``. One that was started by hand, without its names, is not among them."""
        keys = search_attributes
        found: dict[tuple[str, str], tuple[str, str]] = {}
        async for each in self._client.list_workflows(_QUERY, page_size=1000):
            said = each.typed_search_attributes
            name = said.get(keys.SERVICE, ""), said.get(keys.ENVIRONMENT, "")
            if each.id == environment_workflow_id(*name):
                found[name] = said.get(keys.STATUS, ""), said.get(keys.VERSION, "")
        return found

    async def state(self, name: tuple[str, str]) -> EnvironmentState | None:
        """See ``comparing.OpenEnvironments``."""
        handle = self._client.get_workflow_handle(environment_workflow_id(*name), result_type=EnvironmentState)
        return await stated_if_there(handle, EnvironmentState, ended=False)

    async def end(self, name: tuple[str, str], why: str) -> None:
        """See ``comparing.OpenEnvironments``."""
        await end_workflow(self._client, environment_workflow_id(*name), why)

    async def start(self, name: tuple[str, str]) -> None:
        """See ``comparing.OpenEnvironments``."""
        await self._client.start_workflow("EnvironmentWorkflow", **environment_start(*name))


def environment_start(service: str, environment: str) -> dict[str, Any]:
    """What ``start_workflow`` takes beside the workflow's name: one that is open stays."""
    return {
        "arg": EnvironmentInput(service_name=service, environment=environment),
        "id": environment_workflow_id(service, environment),
        "task_queue": CONTROL_QUEUE,
        "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
        "search_attributes": environment_search_attributes(service, environment),
        "static_summary": environment_static_summary(service, environment),
    }


async def _run_closed(handle: WorkflowHandle[Any, Any]) -> None:
    """Long polls for the close event. Not ``handle.result``: how it ended and what it returned do not matter here."""
    closed = handle.fetch_history_events(
        wait_new_event=True,
        event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT,
        skip_archival=True,
    )
    async for _ in closed:
        return


def _only(signal: SignalEnvironment) -> tuple[str, EnvironmentSignal]:
    messages = [(name, message) for name in _SIGNALS if (message := getattr(signal, name)) is not None]
    if len(messages) != 1:
        given = ", ".join(name for name, _ in messages) or "none"
        raise ValidationFailed(
            f"Nothing was sent to {signal.environment} of {signal.service_name}: a signal carries exactly one of "
            f"{', '.join(_SIGNALS)}, not {given}.",
            [FieldError(field=name, message="must be the only one that is set") for name, _ in messages]
            or [FieldError(field=_SIGNALS[0], message="one of them must be set")],
        )
    return messages[0]
