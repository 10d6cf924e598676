"""LineWorkflow: one freeze or hold of many services, or its end. The record is changed first, then those who wait look.

Deliberately not here: the rules and the record (activity ``change_line``), who obeys it (``workflows.environment``,
``workflows.deployment.phases.roll_out.halts``: none goes on without having looked).
"""

from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.calls import RETRY, Calls
    from workflows.contracts.activities import change_line, tell_environments
    from workflows.contracts.deployments.line import LineChange, LineChanged, LineState
    from workflows.contracts.errors import ErrorCode
    from workflows.job.recorded import started_ms
    from workflows.words import titled

_TELLING: Final = timedelta(minutes=10)
_SIGN_OF_LIFE: Final = timedelta(seconds=30)


@workflow.defn(name="LineWorkflow")
class LineWorkflow:
    """One change."""

    def __init__(self) -> None:
        self._changed: LineChanged | None = None
        self._refused: ApplicationError | None = None

    @workflow.run
    async def run(self, change: LineChange) -> LineState:
        """Returns the line as it is then. Fails as ``validation_failed`` or ``invalid_state``."""
        at = started_ms()
        heard = LineChange(
            stop=None if change.stop is None else change.stop.heard(at),
            go=None if change.go is None else change.go.heard(at),
        )
        asked = change.stop or change.go
        try:
            changed = await Calls().call(
                change_line, heard, summary=titled(f"change the line, by {asked.by if asked else ''}")
            )
        except ApplicationError as error:
            self._refused = error
            await workflow.wait_condition(workflow.all_handlers_finished)
            raise
        self._changed = changed
        workflow.set_current_details(f"The line has {len(changed.line.stops)} freezes and holds.")
        await workflow.execute_activity(
            tell_environments,
            changed.scopes,
            start_to_close_timeout=_TELLING,
            heartbeat_timeout=_SIGN_OF_LIFE,
            retry_policy=RETRY,
            summary="who waits looks again",
        )
        await workflow.wait_condition(workflow.all_handlers_finished)
        return changed.line

    @workflow.update(name="changed", description="Answer with the line once it is changed.")
    async def changed(self) -> LineState:
        """Before those who wait have looked: nobody goes on without having looked anyway."""
        await workflow.wait_condition(lambda: self._changed is not None or self._refused is not None)
        if self._changed is None:
            raise self._refused or ApplicationError("no answer", type=ErrorCode.UNAVAILABLE)
        return self._changed.line
