"""What environments and monitoring systems say to a deployment, by signals only. Handlers note it; ``deployment`` acts.

The base of ``DeploymentMessages``, where people speak.
"""

from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from temporalio import workflow

from workflows.contracts.errors import fields_text

with workflow.unsafe.imports_passed_through():
    from workflows import deployment_record as record
    from workflows.contracts.deployment_commands import ReportMetrics
    from workflows.contracts.environments import Granted, Reinstated, Superseded, Waiting, Yielded, YieldRequested
    from workflows.deployment_progress import Breach, Phase
    from workflows.deployment_steps import DeploymentSteps
    from workflows.recorded_job import now_ms
    from workflows.verification import breach, judged

BEFORE_ITS_TURN: Final = frozenset({Phase.JOIN, Phase.APPROVAL, Phase.TURN})
_LONGEST_WHY: Final = 1000
_IN_AN_ENVIRONMENT: Final = frozenset(
    {Phase.ROLL_OUT, Phase.VERIFY, Phase.BAKE, Phase.PAUSED, Phase.ARRIVED, Phase.LIVE}
)
M = TypeVar("M", bound=BaseModel)


def read_signal(kind: type[M], message: Any) -> tuple[M | None, str | None]:
    """The message, or None and why it is none: the SDK drops a malformed signal in silence, and one that was typed
    without input would fail the workflow's task for ever.
    """
    try:
        return kind.model_validate(message), None
    except ValidationError as error:
        return None, fields_text(error, nameless="input")[:_LONGEST_WHY]


class DeploymentSignals(DeploymentSteps):
    """The handlers."""

    @workflow.signal(name="report_metrics")
    async def report_metrics(self, message: Any = None) -> None:
        """A sample. Outside an environment it is kept, not judged."""
        report, _ = read_signal(ReportMetrics, message)
        if report is None:
            return
        progress = self._progress
        if self._deployment.closed:
            return
        judging = progress.phase in _IN_AN_ENVIRONMENT and (progress.step > 0 or progress.phase is not Phase.ROLL_OUT)
        verification = self._environment.verification if judging else None
        sample = judged(report, verification, now_ms())
        self._deployment = record.sampled(self._deployment, sample)
        over = None
        if verification is not None and self._interrupt is None and progress.yielded_to is None:
            stage = self._deployment.stage(self._environment.name)
            since = stage.started_at if stage is not None and stage.started_at is not None else now_ms()
            over = breach(self._deployment.metric_samples, verification, since)
        if over is not None:
            self._interrupt = Breach(f"Metrics of {self._deployment.version} in {self._environment.name}: {over}.")
        await self._record()

    # --- the environment's lock -----------------------------------------------------------------------------------

    @workflow.signal(name="granted")
    async def granted(self, message: Any = None) -> None:
        """Its turn has come."""
        grant, _ = read_signal(Granted, message)
        if grant is None:
            return
        progress = self._progress
        if self._deployment.closed or not progress.in_line or grant.environment != self._environment.name:
            return
        if progress.granted is None or progress.granted.fence < grant.fence:
            self._progress = progress.model_copy(update={"granted": grant})

    @workflow.signal(name="waiting")
    async def waiting(self, message: Any = None) -> None:
        """Why it is not its turn yet."""
        waiting, _ = read_signal(Waiting, message)
        if waiting is None:
            return
        here = self._progress.phase is Phase.TURN and waiting.environment == self._environment.name
        if here and self._progress.granted is None:
            self._deployment = record.waiting(self._deployment, waiting.environment, waiting.reason)
            await self._record()

    @workflow.signal(name="yield_requested")
    async def yield_requested(self, message: Any = None) -> None:
        """Give the environment to the next one, unless a rollback needs it."""
        request, _ = read_signal(YieldRequested, message)
        if request is None:
            return
        if self._progress.phase is not Phase.LIVE or self._interrupt is not None:
            return
        grant = self._progress.granted
        answer = Yielded(deployment_id=self._deployment.deployment_id, fence=grant.fence if grant else None)
        to = f"{request.to_version} (deployment {request.to_deployment_id})"
        self._progress = self._progress.model_copy(update={"yielded_to": to})
        await self._tell_environment(request.environment, yielded=answer)

    @workflow.signal(name="superseded")
    async def superseded(self, message: Any = None) -> None:
        """Another version took its place, in the line or live."""
        by, _ = read_signal(Superseded, message)
        if by is None:
            return
        if self._progress.phase not in {*BEFORE_ITS_TURN, Phase.LIVE} or self._interrupt is not None:
            return
        if by.environment == self._environment.name:  # staging can become the last one, in a later definition
            self._interrupt = by

    @workflow.signal(name="reinstated")
    async def reinstated(self, message: Any = None) -> None:
        """The other version is gone again; this one holds the environment."""
        turn, _ = read_signal(Reinstated, message)
        if turn is None:
            return
        progress = self._progress
        if progress.phase is Phase.LIVE and progress.granted is not None:
            grant = progress.granted.model_copy(update={"fence": turn.fence})
            self._progress = progress.model_copy(update={"yielded_to": None, "granted": grant})
            self._deployment = record.stage_changed(self._deployment, turn.environment, fence=turn.fence)
            self._note(
                "reinstated", by="environment", message=f"{self._deployment.version} holds the environment again"
            )
            await self._record()
