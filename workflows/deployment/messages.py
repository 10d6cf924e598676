"""What people say to a deployment: updates, signals of the same name, and their refusals.

An update answers with the record once it is written; a signal that is refused changes nothing but the audit trail.
Handlers only note what was said; ``workflow`` acts on it.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.deployment_commands import (
        Approve,
        CancelDeployment,
        OverrideFreeze,
        RecordStage,
        Reject,
        Resume,
        RollbackCommand,
    )
    from workflows.contracts.deployments import Approval, Decision, Deployment, DeploymentStatus
    from workflows.contracts.environments import (
        Via,
    )
    from workflows.contracts.errors import ErrorCode
    from workflows.contracts.sealed import SignedApproval
    from workflows.deployment.approvals import approval_refused, approvers, missing, rejection_refused
    from workflows.deployment.progress import Phase
    from workflows.deployment.signals import BEFORE_ITS_TURN, DeploymentSignals, read_signal
    from workflows.recorded_job import now_ms

C = TypeVar("C", bound=Via)


class DeploymentMessages(DeploymentSignals):
    """The handlers."""

    # --- approvals ------------------------------------------------------------------------------------------------

    @workflow.update(name="approve")
    async def approve(self, command: Approve) -> Deployment:
        """Say yes to this version in the environment that waits for it."""
        return await self._approve(command)

    @workflow.signal(name="approve")
    async def approve_by_signal(self, command: Any = None) -> None:
        """As the update, for who needs no answer."""
        await self._unless_refused(Approve, command, self._approval_refused, self._approve, "approval")

    @workflow.update(name="reject")
    async def reject(self, command: Reject) -> Deployment:
        """Say no: the deployment ends."""
        return await self._reject(command)

    @workflow.signal(name="reject")
    async def reject_by_signal(self, command: Any = None) -> None:
        """As the update, for who needs no answer."""
        await self._unless_refused(Reject, command, self._rejection_refused, self._reject, "rejection")

    async def _approve(self, command: Approve) -> Deployment:
        self._add_to_trail(Decision.APPROVE, command.by, command.comment, command.signed)
        self._noted("approved", command, command.comment)
        return await self._recorded()

    async def _reject(self, command: Reject) -> Deployment:
        self._add_to_trail(Decision.REJECT, command.by, command.reason)
        self._noted("rejected", command, command.reason)
        return await self._recorded()

    def _add_to_trail(self, decision: Decision, by: str, comment: str, signed: SignedApproval | None = None) -> None:
        entry = Approval(
            environment=self._environment.name,
            decision=decision,
            by=by,
            at=now_ms(),
            git_commit_sha=self._deployment.git_commit_sha,
            comment=comment,
            signed=signed,
        )
        self._deployment = self._deployment.model_copy(update={"approvals": [*self._deployment.approvals, entry]})

    def _approval_refused(self, command: Approve) -> str | None:
        if (early_or_late := self._waits_for_no_approval()) is not None:
            return early_or_late
        environment = self._environment
        if environment.approval is None:
            return f"{environment.name} needs no approval."
        return approval_refused(environment.approval, self._deployment, environment.name, command, now_ms())

    def _rejection_refused(self, command: Reject) -> str | None:
        return self._waits_for_no_approval() or rejection_refused(self._deployment, self._environment.name, command)

    def _waits_for_no_approval(self) -> str | None:
        deployment, phase = self._deployment, self._progress.phase
        if (ended := self._ended()) is not None:
            return ended
        if self._interrupt is not None:
            return f"{deployment.version} is being ended already."
        if phase in {Phase.DEFINITION, Phase.BUILD, Phase.TEST}:
            return f"{deployment.version} waits for no approval yet: it is {deployment.status} ({phase})."
        name, policy = self._environment.name, self._environment.approval
        if any(entry.environment == name and entry.decision is Decision.REJECT for entry in deployment.approvals):
            return f"{deployment.version} was rejected for {name}."
        enough = policy is not None and missing(policy, deployment.approvals, name) is None
        if policy is not None and (enough or (phase not in BEFORE_ITS_TURN)):
            by = ", ".join(approvers(deployment.approvals, name))
            return f"{deployment.version} has all its approvals for {name} (by {by}); it needs no more there."
        if phase is not Phase.APPROVAL:
            return f"{deployment.version} waits for no approval now: it is {deployment.status} in {name} ({phase})."
        return None

    # --- rollback, resume, cancel ---------------------------------------------------------------------------------

    @workflow.update(name="rollback")
    async def rollback(self, command: RollbackCommand) -> Deployment:
        """Bring the version before back, or a named one. Answers once its job is on its way."""
        return await self._roll_back_by(command)

    @workflow.signal(name="rollback")
    async def rollback_by_signal(self, command: Any = None) -> None:
        """As the update, for who needs no answer."""
        await self._unless_refused(RollbackCommand, command, self._rollback_refused, self._roll_back_by, "rollback")

    async def _roll_back_by(self, command: RollbackCommand) -> Deployment:
        earlier = self._deployment.rollback
        self._interrupt = command
        self._noted("rollback_requested", command, command.reason, to_version=command.to_version)
        await workflow.wait_condition(
            lambda: self._written is not None and (self._written.closed or self._written.rollback != earlier)
        )
        return self._deployment

    def _rollback_refused(self, command: RollbackCommand) -> str | None:
        deployment, progress = self._deployment, self._progress
        if (ended := self._ended()) is not None:
            return f"{ended} To bring another version back, deploy it again."
        if progress.phase is Phase.ROLLBACK and command.job_id is None:
            return f"{deployment.version} is being rolled back already."
        if isinstance(self._interrupt, RollbackCommand):
            return f"{deployment.version} is about to be rolled back already."
        if progress.yielded_to is not None:
            return f"{progress.yielded_to} is being rolled out over {deployment.version}: roll that one back instead."
        if not progress.touched:
            last = deployment.definition.environments[-1].name if deployment.definition.environments else "production"
            return (
                f"Nothing of {deployment.version} was rolled out to {last} yet. To stop it: "
                f"`hybridci deploy cancel {deployment.deployment_id}`."
            )
        if self._target(command.to_version) is None and command.job_id is None:
            return self._no_target(command.to_version)
        return None

    def _no_target(self, to_version: str | None) -> str:
        name, grant = self._environment.name, self._progress.granted
        if to_version is None:
            return f"Nothing was live in {name} before {self._deployment.version}: there is nothing to roll back to."
        known = sorted({live.version for live in grant.history}) if grant is not None else []
        return f"{to_version} was never live in {name} before. Known there: {', '.join(known) or 'none'}."

    @workflow.update(name="resume")
    async def resume(self, command: Resume) -> Deployment:
        """Go on where verification could not tell."""
        return await self._resume(command)

    @workflow.signal(name="resume")
    async def resume_by_signal(self, command: Any = None) -> None:
        """As the update, for who needs no answer."""
        await self._unless_refused(Resume, command, self._resume_refused, self._resume, "resume")

    async def _resume(self, command: Resume) -> Deployment:
        self._progress = self._progress.model_copy(update={"resumed": True})
        self._noted("resumed", command, command.reason)
        return await self._recorded()

    def _resume_refused(self, command: Resume) -> str | None:
        if (ended := self._ended()) is not None:
            return ended
        if self._progress.phase is not Phase.PAUSED or self._progress.resumed or self._interrupt is not None:
            return (
                f"{self._deployment.version} is not paused: it is {self._deployment.status} ({self._progress.phase})."
            )
        return None

    @workflow.update(name="cancel")
    async def cancel(self, command: CancelDeployment) -> Deployment:
        """End it; once something was rolled out into the last environment, roll back."""
        return await self._cancel(command)

    @workflow.signal(name="cancel")
    async def cancel_by_signal(self, command: Any = None) -> None:
        """As the update, for who needs no answer."""
        await self._unless_refused(CancelDeployment, command, self._cancel_refused, self._cancel, "cancel")

    async def _cancel(self, command: CancelDeployment) -> Deployment:
        self._interrupt = command
        self._noted("cancel_requested", command, command.reason)
        return await self._recorded()

    def _cancel_refused(self, command: CancelDeployment) -> str | None:
        deployment, phase = self._deployment, self._progress.phase
        if (ended := self._ended()) is not None:
            return ended
        if phase is Phase.LIVE:
            return f"{deployment.version} is live: `hybridci deploy rollback {deployment.deployment_id} --reason …`."
        if phase is Phase.ROLLBACK or self._interrupt is not None:
            return f"{deployment.version} is being ended already."
        return None

    # --- freezes, stages of another CI ----------------------------------------------------------------------------

    @workflow.update(name="override_freeze")
    async def override_freeze(self, command: OverrideFreeze) -> Deployment:
        """Do not wait for a freeze to end."""
        return await self._override_freeze(command)

    @workflow.signal(name="override_freeze")
    async def override_freeze_by_signal(self, command: Any = None) -> None:
        """As the update, for who needs no answer."""
        await self._unless_refused(
            OverrideFreeze, command, self._override_refused, self._override_freeze, "freeze override"
        )

    async def _override_freeze(self, command: OverrideFreeze) -> Deployment:
        self._progress = self._progress.model_copy(update={"override_freeze": True})
        self._noted("freeze_overridden", command, command.reason)
        if self._progress.in_line:
            await self._join(ready=self._approved())
        return await self._recorded()

    def _approved(self) -> bool:
        policy, name = self._environment.approval, self._environment.name
        return policy is None or missing(policy, self._deployment.approvals, name) is None

    def _override_refused(self, command: OverrideFreeze) -> str | None:
        if (ended := self._ended()) is not None:
            return ended
        if self._progress.phase not in BEFORE_ITS_TURN:
            return f"{self._deployment.version} waits for no freeze: it is {self._deployment.status}."
        return None

    @workflow.update(name="record_stage")
    async def record_stage(self, command: RecordStage) -> Deployment:
        """What another CI did in an external environment."""
        return await self._record_stage(command)

    @workflow.signal(name="record_stage")
    async def record_stage_by_signal(self, command: Any = None) -> None:
        """As the update, for who needs no answer."""
        await self._unless_refused(RecordStage, command, self._stage_refused, self._record_stage, "stage")

    async def _record_stage(self, command: RecordStage) -> Deployment:
        self._progress = self._progress.model_copy(update={"recorded_stage": command, "touched": self._final})
        self._deployment = self._stage_job_started(self._deployment, command.job_id)
        self._noted("stage_recorded", command, command.message, job_id=command.job_id, succeeded=command.succeeded)
        return await self._recorded()

    def _stage_refused(self, command: RecordStage) -> str | None:
        deployment, progress = self._deployment, self._progress
        if (ended := self._ended()) is not None:
            return ended
        wanted = next((each for each in deployment.definition.environments if each.name == command.environment), None)
        if wanted is None:
            return f"{deployment.service_name} has no environment {command.environment}."
        if not wanted.external:
            return f"{command.environment} is rolled out from here: it takes no result of another CI."
        present = self._environment.name
        if (
            present != command.environment
            or progress.phase is not Phase.ROLL_OUT
            or progress.recorded_stage is not None
        ):
            stage = deployment.stage(command.environment)
            status = stage.status if stage is not None else "unknown"
            words = f": {deployment.waits_for}" if deployment.waits_for else ""
            return f"{command.environment} waits for no result now (it is {status}){words}"
        return None

    # --- refusals -------------------------------------------------------------------------------------------------

    @approve.validator
    def _approve_allowed(self, command: Approve) -> None:
        _raise(self._approval_refused(command))

    @reject.validator
    def _reject_allowed(self, command: Reject) -> None:
        _raise(self._rejection_refused(command))

    @rollback.validator
    def _rollback_allowed(self, command: RollbackCommand) -> None:
        _raise(self._rollback_refused(command))

    @resume.validator
    def _resume_allowed(self, command: Resume) -> None:
        _raise(self._resume_refused(command))

    @cancel.validator
    def _cancel_allowed(self, command: CancelDeployment) -> None:
        _raise(self._cancel_refused(command))

    @override_freeze.validator
    def _override_allowed(self, command: OverrideFreeze) -> None:
        _raise(self._override_refused(command))

    @record_stage.validator
    def _stage_allowed(self, command: RecordStage) -> None:
        _raise(self._stage_refused(command))

    @workflow.query(name="state")
    def state(self) -> Deployment:
        """The record as the workflow has it now."""
        return self._deployment

    async def _unless_refused(
        self,
        kind: type[C],
        message: Any,
        refused: Callable[[C], str | None],
        act: Callable[[C], Awaitable[Deployment]],
        what: str,
    ) -> None:
        command, reason = read_signal(kind, message)
        if command is not None:
            reason = refused(command)
            if reason is None:
                await act(command)
                return
        self._noted(f"{what.replace(' ', '_')}_refused", command or Via(), reason or "")
        await self._record()

    def _noted(self, action: str, command: Via, reason: str, **details: Any) -> None:
        by = str(getattr(command, "by", ""))
        given = {name: value for name, value in details.items() if value is not None}
        self._note(action, by=by, via=command.via, address=command.address, role=command.role, reason=reason, **given)

    def _ended(self) -> str | None:
        deployment = self._deployment
        if not deployment.closed:
            return None
        why = f": {deployment.error_message}" if deployment.error_message else ""
        return f"{deployment.version} has ended ({DeploymentStatus(deployment.status)}){why}"

    async def _recorded(self) -> Deployment:
        await self._record()
        return self._deployment


def _raise(refusal: str | None) -> None:
    if refusal is not None:
        raise ApplicationError(refusal, type=ErrorCode.INVALID_STATE, non_retryable=True)
