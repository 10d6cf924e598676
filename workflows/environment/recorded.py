"""The record of an environment as its workflow holds it, writes it in order with its events, and shows it in the UI.

The base of ``EnvironmentWorkflow``, apart from it because it decides nothing.
"""

import uuid
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.calls import Calls
    from workflows.contracts import search_attributes as attributes
    from workflows.contracts.activities import load_environment, record_environment
    from workflows.contracts.audit.events import AuditEvent
    from workflows.contracts.deployments.environments import EnvironmentInput, EnvironmentState, EnvironmentWrite
    from workflows.environment.presentation import environment_details, environment_status
    from workflows.job.recorded import is_continued, next_sequence, now_ms

_EVENT_IDS: Final = uuid.UUID("5f0c1a52-8a44-5c1b-9f0e-2b6c0f6d7e11")


class RecordedEnvironment:
    """Holds the state; subclasses change ``_state`` and add to ``_events``, then ``_record`` and ``_show``."""

    def __init__(self, start: EnvironmentInput) -> None:
        empty = EnvironmentState(service_name=start.service_name, environment=start.environment)
        handed_on = start.resume if is_continued() else None
        self._state = handed_on or empty
        self._written = handed_on
        self._calls = Calls()
        self._events: list[AuditEvent] = []
        self._shown: dict[str, str] = {}

    async def _load(self, start: EnvironmentInput) -> bool:
        """Take the record over that an earlier workflow of this environment left. False: there is none."""
        record = await self._calls.call(
            load_environment, start, summary="the record that an earlier workflow of this environment left"
        )
        if record is not None:
            self._state = self._written = record
        return record is not None

    async def _record(self) -> None:
        """Write the state and the events noted since, unless both are written already.

        Raises ApplicationError when the store refuses them for good; they stay to be written.
        """
        written, state = self._written, self._state
        if not self._events and written is not None and written == state:
            return
        sequence = next_sequence(written.sequence if written else None)
        self._state = state = state.model_copy(update={"sequence": sequence, "updated_at": now_ms()})
        self._events = [event if event.event_id else _identified(event) for event in self._events]
        write = EnvironmentWrite(state=state, events=self._events)
        await self._calls.call(record_environment, write, summary=_summary(self._events))
        self._written, self._events = state, []

    def _show(self) -> None:
        """Tell the Temporal UI: words at no cost, search attributes only when they changed."""
        state = self._state
        workflow.set_current_details(environment_details(state))
        wanted = {
            attributes.SERVICE.name: state.service_name,
            attributes.ENVIRONMENT.name: state.environment,
            attributes.STATUS.name: environment_status(state),
            attributes.VERSION.name: state.live.version if state.live is not None else "",
        }
        keys = (attributes.SERVICE, attributes.ENVIRONMENT, attributes.STATUS, attributes.VERSION)
        shown = self._shown or {key.name: workflow.info().typed_search_attributes.get(key) or "" for key in keys}
        changes = [key.value_set(wanted[key.name]) for key in keys if wanted[key.name] != shown[key.name]]
        if changes:
            workflow.upsert_search_attributes(changes)  # pyright: ignore[reportUnknownMemberType]
        self._shown = wanted


def _identified(event: AuditEvent) -> AuditEvent:
    """With an id of its own. The content is part of it: a lost workflow task that runs again can note other events."""
    number = uuid.uuid5(_EVENT_IDS, f"{workflow.uuid4()}\n{content(event)}").hex[:12]
    return event.model_copy(update={"event_id": f"{event.service_name}-{event.environment}-{number}"})


def content(event: AuditEvent) -> str:
    """What makes its id, the same in every version: a task that ran before an upgrade can run again after it.

    Without the time: a workflow task that is lost and runs again must give the same event the same id.
    """
    later = {"refused"} if event.key_id is not None else {"refused", "key_id"}  # what earlier versions did not have
    return event.model_copy(update={"at": 0}).model_dump_json(exclude=later)


def _summary(events: list[AuditEvent]) -> str:
    actions = ", ".join(event.action.removeprefix("environment.") for event in events[-5:])
    return f"record: {actions or 'the line'}"
