"""The state of a deployment as its workflow holds it: changed by one hand at a time, written in order with its events,
and shown in the Temporal UI. Decides nothing.

Deliberately not here: what the state is (``state``) and how its record changes (``record``).
"""

import asyncio
import uuid
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, Unpack

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.calls import Calls
    from workflows.contracts import search_attributes as attributes
    from workflows.contracts.activities import create_deployment, record_deployment
    from workflows.contracts.audit.details import Details
    from workflows.contracts.audit.events import AuditEvent, new_event
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.commands import DeploymentInput
    from workflows.contracts.deployments.deployment import Deployment, DeploymentWrite
    from workflows.contracts.errors import ErrorCode
    from workflows.contracts.identity.proofs import Claim
    from workflows.contracts.who import Who
    from workflows.deployment import record
    from workflows.deployment.presentation import deployment_details
    from workflows.deployment.progress import Advance, Phase
    from workflows.deployment.state import State
    from workflows.job.recorded import next_sequence, now_ms, started_ms

_EVENT_IDS: Final = uuid.UUID("0b1a8f0e-5b1c-5a9e-9a55-2a4b8f6f3c11")
WORKFLOW: Final = Who.itself("workflow")
ENVIRONMENT: Final = Who.itself("environment")
P = ParamSpec("P")
_REFUSED_RECORD: Final = "a-refused-record-is-not-the-end"  # 2026-11: before, it failed the workflow
_TELLS_WAITING: Final = "lists-show-what-waits-for-a-yes"  # 2026-11: before, only the status
_MOST_UNWRITTEN: Final = 100
"""Events that are kept while the store refuses the record."""


class Journal:
    """Holds ``state``; ``written`` is the record as last written, None before the first time."""

    def __init__(self, state: State, calls: Calls, *, written: Deployment | None) -> None:
        self.state = state
        self.written = written
        self._calls = calls
        self._writing = asyncio.Lock()  # a handler's write and the main line's must not overtake each other
        self._events: list[AuditEvent] = []
        self._claim: Claim | None = None
        self._shown: dict[str, str] = {}

    def change(self, by: Callable[Concatenate[Deployment, P], Deployment], *args: P.args, **kwargs: P.kwargs) -> None:
        """Change the record by one of ``record``'s functions."""
        self.state = self.state.changed(by, *args, **kwargs)

    def move(self, phase: Phase, /, **update: Unpack[Advance]) -> None:
        """Go to another phase."""
        self.state = self.state.moved(phase, **update)

    async def record(self) -> None:
        """Write the record and the events noted since, in order, unless both are written already.

        One that is refused for good is told in the log and written with the next change: the deployment goes on.
        Raises ApplicationError for the first write, without which there is none, and for a deployment that has ended.
        """
        async with self._writing:
            self.change(record.bounded)
            if self.state.deployment.closed and self.state.deployment.closed_in is None:
                self.change(Deployment.model_copy, update={"closed_in": workflow.info().run_id})
            written, events, deployment = self.written, self._events, self.state.deployment
            same = written is not None and written.model_copy(
                update={"sequence": deployment.sequence, "updated_at": deployment.updated_at}
            )
            if same == deployment and not events:
                return
            self._events = []
            sequence = next_sequence(written.sequence if written else None)
            self.change(Deployment.model_copy, update={"sequence": sequence, "updated_at": now_ms()})
            deployment = self.state.deployment
            previous, claim = (written.status, None) if written else (None, self._claim)
            try:
                doubt = await self._calls.call(
                    record_deployment if written else create_deployment,
                    DeploymentWrite(deployment=deployment, previous=previous, claim=claim, events=events),
                    summary=f"record: {deployment.status} {deployment.environment or ''}".strip(),
                )
            except ApplicationError as error:
                ended = error.type == ErrorCode.CONFLICT  # by the run that this one was made of
                if written is None or ended or not workflow.patched(_REFUSED_RECORD):
                    raise
                workflow.logger.error("the deployment's record is refused", exc_info=error)
                self._events = [*events, *self._events][-_MOST_UNWRITTEN:]
                return
            self.written = deployment
            if doubt is not None:
                self.change(Deployment.model_copy, update={"start_doubt": doubt})
        self._show()

    def go_on(self, state: State) -> None:
        """With the record as it was just written by the control plane."""
        self.state, self.written = state, state.deployment
        self._show()

    def created_by(self, start: DeploymentInput) -> None:
        """Who started it, and whose word that is, for the first write."""
        self._claim = start.heard(started_ms()).claim()
        self.note(EventType.DEPLOYMENT_CREATED, start.who(), claim=self._claim)

    def allowed_older(self, start: DeploymentInput) -> None:
        """Whoever started it says why its commit may be older, for the first write."""
        words = f"{start.request.version} may be older than what is there"
        what, reason = EventType.DEPLOYMENT_OLDER_ALLOWED, start.allow_older
        self.note(what, start.who(), reason=reason, message=words, claim=self._claim)

    def note(
        self,
        what: EventType | Details,
        who: Who = WORKFLOW,
        *,
        reason: str | None = None,
        message: str = "",
        claim: Claim | None = None,
    ) -> None:
        """An event for the audit trail; it is written with the record."""
        deployment = self.state.deployment
        # Without the time: a workflow task that is lost and runs again must give the same event the same id. An update
        # can come back in another order. The number is drawn all the same: those drawn later must stay what they were.
        drawn, update = workflow.uuid4(), workflow.current_update_info()
        origin, place = (update.id, 0) if update is not None else (drawn, len(self._events))
        word, by = (what if isinstance(what, EventType) else what.event).word, who.by or ""
        content = f"{origin}\n{word}\n{by}\n{reason}\n{message}"
        number = f"{place:03d}-{uuid.uuid5(_EVENT_IDS, content).hex[:16]}"
        self._events.append(
            new_event(
                what,
                who,
                event_id=f"{deployment.deployment_id}-{number}",
                at=now_ms(),
                service_name=deployment.service_name,
                environment=deployment.environment,
                deployment_id=deployment.deployment_id,
                version=deployment.version,
                reason=reason,
                message=message,
                claim=claim,
            )
        )

    def _show(self) -> None:
        """Tell the Temporal UI: words at no cost, search attributes only when they changed."""
        deployment = self.state.deployment
        workflow.set_current_details(deployment_details(deployment))
        wanted = {attributes.STATUS.name: self._status()}
        if deployment.environment is not None:
            wanted[attributes.ENVIRONMENT.name] = deployment.environment
        changes = [
            key.value_set(wanted[key.name])
            for key in (attributes.STATUS, attributes.ENVIRONMENT)
            if key.name in wanted and wanted[key.name] != self._shown.get(key.name)
        ]
        if changes:
            workflow.upsert_search_attributes(changes)  # pyright: ignore[reportUnknownMemberType]
            self._shown = self._shown | wanted

    def _status(self) -> str:
        """As lists of the Temporal UI have it."""
        deployment = self.state.deployment
        waits = self.state.progress.phase is Phase.APPROVAL and deployment.waits_for is not None
        return attributes.WAITS_FOR_APPROVAL if waits and workflow.patched(_TELLS_WAITING) else deployment.status.value
