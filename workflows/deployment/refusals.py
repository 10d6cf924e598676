"""Why a person's command cannot be done now, in words that name the command that can; None when it can. Pure.

Deliberately not here: what a command does (``commands``), who may approve (``approvals``). ``now`` is in milliseconds.
"""

from collections.abc import Callable

from workflows.bans import banned_words
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
from workflows.contracts.deployments.deployment import Decision, Deployment, DeploymentStatus
from workflows.contracts.deployments.rules import ApprovalPolicy
from workflows.deployment.progress import Halt, Part, Phase
from workflows.deployment.rules.approvals import (
    approval_refused,
    approvers,
    missing,
    refused_by_name,
    rejection_refused,
)
from workflows.deployment.state import State


def approve(state: State, command: Approve, now: int) -> str | None:
    """Nothing waits for it, or this person's word does not count."""
    return _approval(state, command, now, approval_refused)


def approve_by_name(state: State, command: Approve, now: int) -> str | None:
    """The same as it was before persons were known."""
    return _approval(state, command, now, refused_by_name)


def reject(state: State, command: Reject, now: int) -> str | None:
    """Nothing waits for an approval."""
    return _waits_for_no_approval(state) or rejection_refused(state.deployment, state.environment.name, command)


def rollback(state: State, command: RollbackCommand, now: int) -> str | None:
    """There is nothing to roll back, or nothing to roll back to, or it is under way."""
    deployment, progress = state.deployment, state.progress
    if (ended := _ended(state)) is not None:
        service = deployment.service_name
        return f"{ended} To go back from what is live now: `hybridci deploy rollback {service} --reason …`."
    if progress.phase is Phase.ROLLBACK and command.job_id is None:
        return f"{deployment.version} is being rolled back already."
    if isinstance(state.interrupt, RollbackCommand):
        return f"{deployment.version} is about to be rolled back already."
    if progress.yielded_to is not None:
        return f"{progress.yielded_to} is being rolled out over {deployment.version}: roll that one back instead."
    if not progress.touched:
        last = deployment.definition.environments[-1].name if deployment.definition.environments else "production"
        return (
            f"Nothing of {deployment.version} was rolled out to {last} yet. To stop it: "
            f"`hybridci deploy cancel {deployment.deployment_id}`."
        )
    if state.target(command.to_version, command.to_commit) is None and command.job_id is None:
        return _no_target(state, command.to_version, command.to_commit)
    return None


def banned(state: State, command: RollbackCommand) -> str | None:
    """What it would bring back is banned, as was looked up just now; None for what another CI has done already."""
    if command.job_id is not None:
        return None
    named = command.to_version is not None or command.to_commit is not None
    target = state.target(command.to_version, command.to_commit)
    if not named:
        target = state.last_good or target
    ban = next(
        (ban for ban in state.progress.bans if target and ban.covers(target.version, target.git_commit_sha)), None
    )
    if target is None or ban is None:
        return None
    deployment = state.deployment
    all_of_them = "" if named else " So is all that was live before it."
    return (
        f"{banned_words(deployment.service_name, ban)}{all_of_them} To lift it and go back: `hybridci deploy rollback "
        f"{deployment.deployment_id} --to-version {target.version} --lift-ban --reason …`."
    )


def resume(state: State, command: Resume, now: int) -> str | None:
    """It is not paused, waits for no commit, and nobody need say that it may be older."""
    if (ended := _ended(state)) is not None:
        return ended
    progress = state.progress
    halted = progress.halted if progress.phase is Phase.ROLL_OUT else None
    paused = progress.phase is Phase.PAUSED or halted in {Halt.PAUSE, Halt.PERSON}
    without_commit = progress.phase is Phase.SOURCE and state.deployment.waits_for is not None
    if progress.phase is Phase.LIVE and state.deployment.needs_decision is not None and state.interrupt is None:
        return None
    if halted is Halt.STOP:
        return _stopped(state)
    older = progress.phase is Phase.ORDER
    if not (paused or without_commit or older) or progress.resumed or state.interrupt is not None:
        return f"{state.deployment.version} is not paused: it is {state.deployment.status} ({progress.phase})."
    return None


def promote(state: State, command: Promote, now: int) -> str | None:
    """Its rollout waits for nothing, or for what no promotion passes."""
    if (elsewhere := _no_rollout(state)) is not None:
        return elsewhere
    progress, version = state.progress, state.deployment.version
    if progress.halted is Halt.STOP:
        return _stopped(state) if progress.firm else _goes_on_already(state)
    if progress.full:
        return f"{version} goes to 100 % already."
    if command.full:
        return None
    if progress.halted is None:
        return f"{version} is being rolled out and waits for nothing; `--full` leaves all further pauses out."
    return _goes_on_already(state)


def skip_step(state: State, command: SkipStep, now: int) -> str | None:
    """There is no step that could be left out now."""
    if (elsewhere := _no_rollout(state)) is not None:
        return elsewhere
    progress, version = state.progress, state.deployment.version
    if progress.halted is None:
        return f"{version} is in the middle of a step, which cannot be left out any more. It waits for nothing."
    last = progress.full or progress.step >= len(state.environment.rollout.percentages) - 1
    if progress.halted is Halt.STOP and last:
        return f"The next step of {version} is 100 %, which cannot be left out. {_stopped(state)}"
    return _goes_on_already(state)


def abort(state: State, command: Abort, now: int) -> str | None:
    """Nothing is being rolled out, or it is being ended."""
    deployment, phase = state.deployment, state.progress.phase
    if (ended := _ended(state)) is not None:
        return ended
    if phase is Phase.LIVE:
        return f"{deployment.version} is live: `hybridci deploy rollback {deployment.deployment_id} --reason …`."
    if phase is Phase.ROLLBACK or state.interrupt is not None:
        return f"{deployment.version} is being ended already."
    if phase.part not in {Part.CHECK, Part.THERE}:
        return (
            f"{deployment.version} is not being rolled out: it is {deployment.status} ({phase}). To end it: "
            f"`hybridci deploy cancel {deployment.deployment_id}`."
        )
    return None


def _no_rollout(state: State) -> str | None:
    deployment, progress = state.deployment, state.progress
    if (ended := _ended(state)) is not None:
        return ended
    if state.interrupt is not None:
        return f"{deployment.version} is being ended already."
    if progress.phase is Phase.PAUSED:
        return (
            f"{deployment.version} waits for a verification that could not tell, not for a step: "
            f"`hybridci deploy resume {deployment.deployment_id} --reason …`."
        )
    if progress.phase is not Phase.ROLL_OUT or state.environment.external:
        return f"{deployment.version} is at no step of a rollout: it is {deployment.status} ({progress.phase})."
    return None


def _stopped(state: State) -> str:
    return f"{state.deployment.version} is stopped: {state.deployment.waits_for}"


def _goes_on_already(state: State) -> str | None:
    progress = state.progress
    if progress.resumed or progress.passes or progress.skips:
        return f"{state.deployment.version} goes on already."
    return None


def cancel(state: State, command: CancelDeployment, now: int) -> str | None:
    """It is live, or being ended."""
    deployment, phase = state.deployment, state.progress.phase
    if (ended := _ended(state)) is not None:
        return ended
    if phase is Phase.LIVE:
        return f"{deployment.version} is live: `hybridci deploy rollback {deployment.deployment_id} --reason …`."
    if phase is Phase.ROLLBACK or state.interrupt is not None:
        return f"{deployment.version} is being ended already."
    return None


def override_freeze(state: State, command: OverrideFreeze, now: int) -> str | None:
    """It is not in line."""
    if (ended := _ended(state)) is not None:
        return ended
    if state.progress.phase.part is not Part.LINE:
        return f"{state.deployment.version} waits for no freeze: it is {state.deployment.status}."
    return None


def record_stage(state: State, command: RecordStage, now: int) -> str | None:
    """That environment takes no result from outside, or not now."""
    deployment, progress = state.deployment, state.progress
    if (ended := _ended(state)) is not None:
        return ended
    wanted = next((each for each in deployment.definition.environments if each.name == command.environment), None)
    if wanted is None:
        return f"{deployment.service_name} has no environment {command.environment}."
    if not wanted.external:
        return f"{command.environment} is rolled out from here: it takes no result of another CI."
    here = state.environment.name == command.environment
    if not here or progress.phase is not Phase.ROLL_OUT or progress.recorded_stage is not None:
        stage = deployment.stage(command.environment)
        status = stage.status if stage is not None else "unknown"
        words = f": {deployment.waits_for}" if deployment.waits_for else ""
        return f"{command.environment} waits for no result now (it is {status}){words}"
    return None


def _approval(
    state: State,
    command: Approve,
    now: int,
    refused: Callable[[ApprovalPolicy, Deployment, str, Approve, int], str | None],
) -> str | None:
    if (early_or_late := _waits_for_no_approval(state)) is not None:
        return early_or_late
    environment = state.environment
    if environment.approval is None:
        return f"{environment.name} needs no approval."
    return refused(environment.approval, state.deployment, environment.name, command, now)


def _waits_for_no_approval(state: State) -> str | None:
    deployment, phase = state.deployment, state.progress.phase
    if (ended := _ended(state)) is not None:
        return ended
    if state.interrupt is not None:
        return f"{deployment.version} is being ended already."
    if phase.part is Part.BEFORE:
        return f"{deployment.version} waits for no approval yet: it is {deployment.status} ({phase})."
    name, policy = state.environment.name, state.environment.approval
    if any(entry.environment == name and entry.decision is Decision.REJECT for entry in deployment.approvals):
        return f"{deployment.version} was rejected for {name}."
    enough = policy is not None and missing(policy, deployment.approvals, name) is None
    if policy is not None and (enough or phase.part is not Part.LINE):
        by = ", ".join(approvers(deployment.approvals, name))
        return f"{deployment.version} has all its approvals for {name} (by {by}); it needs no more there."
    if phase is not Phase.APPROVAL:
        return f"{deployment.version} waits for no approval now: it is {deployment.status} in {name} ({phase})."
    return None


def _no_target(state: State, to_version: str | None, to_commit: str | None) -> str:
    name, grant = state.environment.name, state.progress.granted
    if to_version is None and to_commit is None:
        return f"Nothing was live in {name} before {state.deployment.version}: there is nothing to roll back to."
    known = sorted({live.version for live in grant.history}) if grant is not None else []
    asked = to_version or f"Commit {to_commit}"
    return f"{asked} was never live in {name} before. Known there: {', '.join(known) or 'none'}."


def _ended(state: State) -> str | None:
    deployment = state.deployment
    if not deployment.closed:
        return None
    why = f": {deployment.error_message}" if deployment.error_message else ""
    return f"{deployment.version} has ended ({DeploymentStatus(deployment.status)}){why}"
