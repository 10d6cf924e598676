"""What people may ask of a deployment: one table. To add a command: its model in ``contracts.deployments.commands``,
why it is refused in ``refusals``, what it does here, its line in ``COMMANDS``.

The client's name for it is in ``client.deployments``. Deliberately not here: how a command is taken (``inbox``).
"""

from collections.abc import Callable
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.audit.details import DeploymentApproved, RollbackRequested, RolloutPromoted, StageRecorded
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.commands import (
        Abort,
        Approve,
        CancelDeployment,
        OverrideFreeze,
        Promote,
        RecordStage,
        Reject,
        Resume,
        RollbackCommand,
        SkipStep,
    )
    from workflows.contracts.deployments.deployment import Approval, Decision
    from workflows.contracts.identity.people import identity_as_said
    from workflows.deployment import record, refusals
    from workflows.deployment.banning import heeds, refresh
    from workflows.deployment.context import Context
    from workflows.deployment.inbox import Command, InboxStep, Note, NotNow, write
    from workflows.deployment.judging import judge
    from workflows.deployment.progress import Halt, Phase
    from workflows.deployment.rules.approvals import asks, missing, who_may
    from workflows.deployment.state import State
    from workflows.job.recorded import now_ms


_TOLD_WHAT_IS_MISSING: Final = "an-approval-is-answered-with-what-is-missing"  # 2026-11: before, with what was missing


def _approved(state: State, command: Approve, now: int) -> InboxStep:
    """As it was before approvals were judged."""
    return _said_yes(state, command, _entry(state, command, now))


async def _judged(context: Context, command: Approve) -> Callable[[State, Approve, int], InboxStep]:
    """Raises NotNow when it counts for nothing."""
    state = context.state
    who = identity_as_said(command.by) if command.vouched is None else command.vouched.identity
    given = _entry(state, command, now_ms()).model_copy(update={"person": who.person})
    entry = await judge(context, state.environment, given)
    if entry.why is not None:
        policy = state.environment.approval
        raise NotNow(entry.why if policy is None else f"{entry.why} {who_may(policy, state.deployment)}")
    told = workflow.patched(_TOLD_WHAT_IS_MISSING)
    return lambda after, _, __: _said_yes(_asking(after, entry) if told else after, command, entry)


def _said_yes(state: State, command: Approve, entry: Approval) -> InboxStep:
    what = DeploymentApproved.of(entry)
    return InboxStep(state.changed(record.decided, entry), Note(what, command.comment, "; ".join(entry.marks)))


def _asking(state: State, entry: Approval) -> State:
    """Whoever gives this approval is answered with what is missing then."""
    environment, until = state.environment, state.progress.until
    if environment.approval is None or until is None:
        return state
    given = state.changed(record.decided, entry).deployment
    lacking = missing(environment.approval, given.approvals, environment.name)
    return state.changed(record.waiting, environment.name, asks(given, environment.name, lacking, until))


def _rejected(state: State, command: Reject, now: int) -> InboxStep:
    entry = _decision(state, Decision.REJECT, command.by, command.reason, now)
    return InboxStep(state.changed(record.decided, entry), Note(EventType.DEPLOYMENT_REJECTED, command.reason))


def _entry(state: State, command: Approve, now: int) -> Approval:
    entry = _decision(state, Decision.APPROVE, command.by, command.comment, now)
    return entry.model_copy(update={"signed": command.signed, "vouched": command.vouched})


def _decision(state: State, decision: Decision, by: str, comment: str, now: int) -> Approval:
    return Approval(
        environment=state.environment.name,
        decision=decision,
        by=by,
        at=now,
        git_commit_sha=state.deployment.git_commit_sha,
        comment=comment,
    )


def _rollback_requested(state: State, command: RollbackCommand, now: int) -> InboxStep:
    return InboxStep(state.interrupted(command), Note(RollbackRequested.of(command), command.reason))


async def _unless_banned(
    context: Context, command: RollbackCommand
) -> Callable[[State, RollbackCommand, int], InboxStep]:
    """Raises NotNow when what it would bring back is banned."""
    if heeds("when-asked"):
        await refresh(context)
        if (why := refusals.banned(context.state, command)) is not None:
            raise NotNow(why)
    return _rollback_requested


async def _until_it_is_under_way(context: Context, before: State, command: object) -> None:
    journal, earlier = context.journal, before.deployment.rollback
    await workflow.wait_condition(
        lambda: journal.written is not None and (journal.written.closed or journal.written.rollback != earlier)
    )


def _resumed(state: State, command: Resume, now: int) -> InboxStep:
    note = Note(EventType.DEPLOYMENT_RESUMED, command.reason)
    if state.progress.phase is Phase.LIVE:  # somebody was asked whether it goes back: it stays
        return InboxStep(state.changed(record.decided_to_stay), note)
    return InboxStep(state.noting(resumed=True), note)


def _promoted(state: State, command: Promote, now: int) -> InboxStep:
    stopped = state.progress.halted is Halt.STOP
    after = state.noting(resumed=True, passes=stopped, full=state.progress.full or command.full)
    return InboxStep(after, Note(RolloutPromoted(full=command.full, past_a_stop=stopped), command.reason))


def _step_skipped(state: State, command: SkipStep, now: int) -> InboxStep:
    after = state.noting(resumed=True, skips=state.progress.halted is Halt.STOP)
    return InboxStep(after, Note(EventType.DEPLOYMENT_STEP_SKIPPED, command.reason))


def _aborted(state: State, command: Abort, now: int) -> InboxStep:
    return InboxStep(state.interrupted(command), Note(EventType.DEPLOYMENT_ABORTED, command.reason))


def _cancel_requested(state: State, command: CancelDeployment, now: int) -> InboxStep:
    return InboxStep(state.interrupted(command), Note(EventType.DEPLOYMENT_CANCEL_REQUESTED, command.reason))


def _freeze_overridden(state: State, command: OverrideFreeze, now: int) -> InboxStep:
    return InboxStep(state.noting(override_freeze=True), Note(EventType.DEPLOYMENT_FREEZE_OVERRIDDEN, command.reason))


async def _join_again_and_write(context: Context, before: State, command: object) -> None:
    if context.state.progress.in_line:
        await context.lock.join(ready=context.state.approved)
    await write(context, before, command)


def _stage_recorded(state: State, command: RecordStage, now: int) -> InboxStep:
    after = state.noting(recorded_stage=command, touched=state.final)
    after = after.changed(record.stage_job_started, state.environment.name, command.job_id)
    return InboxStep(after, Note(StageRecorded.of(command), command.message))


COMMANDS: Final = (
    Command(
        name="approve",
        model=Approve,
        description="Say yes to this version in the environment that waits for it.",
        refused=EventType.DEPLOYMENT_APPROVAL_REFUSED,
        refusal=refusals.approve,
        effect=_approved,
        judge=_judged,
        before=refusals.approve_by_name,
    ),
    Command(
        name="reject",
        model=Reject,
        description="Say no: the deployment ends.",
        refused=EventType.DEPLOYMENT_REJECTION_REFUSED,
        refusal=refusals.reject,
        effect=_rejected,
    ),
    Command(
        name="rollback",
        model=RollbackCommand,
        description="Bring the version before back, or a named one. Answers once its job is on its way.",
        refused=EventType.DEPLOYMENT_ROLLBACK_REFUSED,
        refusal=refusals.rollback,
        effect=_rollback_requested,
        judge=_unless_banned,
        then=_until_it_is_under_way,
    ),
    Command(
        name="resume",
        model=Resume,
        description="Go on where verification could not tell, or where a commit may be older.",
        refused=EventType.DEPLOYMENT_RESUME_REFUSED,
        refusal=refusals.resume,
        effect=_resumed,
    ),
    Command(
        name="promote",
        model=Promote,
        description="Go on with the rollout now; `full`: to 100 % without further pauses.",
        refused=EventType.DEPLOYMENT_PROMOTION_REFUSED,
        refusal=refusals.promote,
        effect=_promoted,
    ),
    Command(
        name="skip_step",
        model=SkipStep,
        description="Leave the present pause of the rollout out.",
        refused=EventType.DEPLOYMENT_SKIP_REFUSED,
        refusal=refusals.skip_step,
        effect=_step_skipped,
    ),
    Command(
        name="abort",
        model=Abort,
        description="Stop the rollout and bring back what was live.",
        refused=EventType.DEPLOYMENT_ABORT_REFUSED,
        refusal=refusals.abort,
        effect=_aborted,
    ),
    Command(
        name="cancel",
        model=CancelDeployment,
        description="End it; once something was rolled out into the last environment, roll back.",
        refused=EventType.DEPLOYMENT_CANCEL_REFUSED,
        refusal=refusals.cancel,
        effect=_cancel_requested,
    ),
    Command(
        name="override_freeze",
        model=OverrideFreeze,
        description="Do not wait for a freeze to end.",
        refused=EventType.DEPLOYMENT_FREEZE_OVERRIDE_REFUSED,
        refusal=refusals.override_freeze,
        effect=_freeze_overridden,
        then=_join_again_and_write,
    ),
    Command(
        name="record_stage",
        model=RecordStage,
        description="What another CI did in an external environment.",
        refused=EventType.DEPLOYMENT_STAGE_REFUSED,
        refusal=refusals.record_stage,
        effect=_stage_recorded,
    ),
)
