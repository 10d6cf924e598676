"""What environments and monitoring systems say to a deployment, by signals only: one table.

To add one: its model in the contracts, what it does here, its line in ``SIGNALS``. Deliberately not here: how a message
is taken (``inbox``), what people say (``commands``).
"""

from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.commands import ReportMetrics
    from workflows.contracts.deployments.deployment import Deployment
    from workflows.contracts.deployments.environments import (
        Granted,
        Reinstated,
        Retired,
        StopsChanged,
        Superseded,
        Waiting,
        YieldRequested,
    )
    from workflows.deployment import record
    from workflows.deployment.context import Context
    from workflows.deployment.inbox import InboxStep, Note, Signal, write
    from workflows.deployment.progress import Breach, Halt, Part, Phase
    from workflows.deployment.state import State
    from workflows.deployment.verification import breach, judged


_AHEAD_MS: Final = 5 * 60_000
"""A turn's number is its time or the next after the last one's: none comes from much later than now."""


def _plausible(fence: int, now: int) -> bool:
    """A number that no lock gives would shut out all that it gives later: it is somebody else's."""
    return 0 < fence <= now + _AHEAD_MS


def _sampled(state: State, report: ReportMetrics, now: int) -> InboxStep | None:
    progress = state.progress
    if state.deployment.closed:
        return None
    judging = progress.phase.part is Part.THERE and (progress.step > 0 or progress.phase is not Phase.ROLL_OUT)
    verification = state.environment.verification if judging else None
    after = state.changed(record.sampled, judged(report, verification, now))
    if verification is None or state.interrupt is not None or progress.yielded_to is not None:
        return InboxStep(after)
    stage = after.deployment.stage(state.environment.name)
    since = stage.started_at if stage is not None and stage.started_at is not None else now
    over = breach(after.deployment.metric_samples, verification, since)
    if over is None:
        return InboxStep(after)
    message = f"Metrics of {state.deployment.version} in {state.environment.name}: {over}."
    return InboxStep(after.interrupted(Breach(message)))


def _granted(state: State, grant: Granted, now: int) -> InboxStep | None:
    progress = state.progress
    if state.deployment.closed or not progress.in_line or grant.environment != state.environment.name:
        return None
    if not _plausible(grant.fence, now):
        return None
    if progress.granted is None or progress.granted.fence < grant.fence:
        return InboxStep(state.noting(granted=grant))
    return None


def _waiting(state: State, waiting: Waiting, now: int) -> InboxStep | None:
    here = state.progress.phase is Phase.TURN and waiting.environment == state.environment.name
    if not here or state.progress.granted is not None:
        return None
    return InboxStep(state.changed(record.waiting, waiting.environment, waiting.reason))


def _handed_over(state: State, request: YieldRequested, now: int) -> InboxStep | None:
    if state.progress.phase is not Phase.LIVE or state.interrupt is not None:
        return None
    to = f"{request.to_version} (deployment {request.to_deployment_id})"
    return InboxStep(state.noting(yielded_to=to))


def _superseded(state: State, by: Superseded, now: int) -> InboxStep | None:
    phase = state.progress.phase
    if (phase.part is not Part.LINE and phase is not Phase.LIVE) or state.interrupt is not None:
        return None
    if by.environment != state.environment.name:  # staging can become the last one, in a later definition
        return None
    return InboxStep(state.interrupted(by))


def _reinstated(state: State, turn: Reinstated, now: int) -> InboxStep | None:
    grant, progress, deployment = state.progress.granted, state.progress, state.deployment
    if progress.phase is not Phase.LIVE or grant is None or not _plausible(turn.fence, now):
        return None
    if turn.fence < grant.fence:
        return None
    again = turn.again or deployment.live_again
    known = (grant.fence, progress.yielded_to, deployment.live_again) == (turn.fence, turn.yielded_to, again)
    if known and deployment.reopened_in is not None:  # with which it was started
        return None
    update = {"fence": turn.fence, "history": turn.history or grant.history}
    after = state.noting(yielded_to=turn.yielded_to, granted=grant.model_copy(update=update))
    after = after.changed(record.stage_changed, turn.environment, fence=turn.fence)
    after = after.changed(Deployment.model_copy, update={"live_again": again})
    if turn.yielded_to is not None:
        return InboxStep(after)
    message = f"{state.deployment.version} holds the environment again"
    return InboxStep(after, Note(EventType.DEPLOYMENT_REINSTATED, message=message))


async def _tell_the_lock(context: Context, before: State, request: YieldRequested) -> None:
    await context.lock.hand_over(request.environment)


def _stops_changed(state: State, changed: StopsChanged, now: int) -> InboxStep | None:
    here = state.progress.phase is Phase.ROLL_OUT and changed.environment == state.environment.name
    return InboxStep(state.noting(looks=True)) if here and state.progress.halted is Halt.STOP else None


def _retired(state: State, said: Retired, now: int) -> InboxStep | None:
    here = state.progress.phase is Phase.LIVE and said.environment == state.environment.name
    return InboxStep(state.interrupted(said)) if here and state.interrupt is None else None


SIGNALS: Final = (
    Signal(
        name="report_metrics",
        model=ReportMetrics,
        description="A sample. Outside an environment it is kept, not judged.",
        effect=_sampled,
        then=write,
    ),
    Signal(name="granted", model=Granted, description="Its turn has come.", effect=_granted),
    Signal(name="waiting", model=Waiting, description="Why it is not its turn yet.", effect=_waiting, then=write),
    Signal(
        name="yield_requested",
        model=YieldRequested,
        description="Give the environment to the next one, unless a rollback needs it.",
        effect=_handed_over,
        then=_tell_the_lock,
    ),
    Signal(
        name="superseded",
        model=Superseded,
        description="Another version took its place, in the line or live.",
        effect=_superseded,
    ),
    Signal(
        name="reinstated",
        model=Reinstated,
        description="The other version is gone again; this one holds the environment.",
        effect=_reinstated,
        then=write,
    ),
    Signal(name="retired", model=Retired, description="Somebody says that it is gone.", effect=_retired),
    Signal(
        name="stops_changed",
        model=StopsChanged,
        description="A freeze or a hold began or ended: look again.",
        effect=_stops_changed,
    ),
)
