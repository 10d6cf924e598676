"""What environments and monitoring systems say to a deployment, by signals only: one table.

To add one: its model in the contracts, what it does here, its line in ``SIGNALS``. Deliberately not here: how a message
is taken (``inbox``), what people say (``commands``).
"""

from typing import Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import keep_metrics
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.bans import BanTold
    from workflows.contracts.deployments.commands import AskPerson, ReportMetrics
    from workflows.contracts.deployments.deployment import Deployment, NeedsDecision
    from workflows.contracts.deployments.environments import (
        Granted,
        Reinstated,
        Retired,
        StopsChanged,
        Superseded,
        Waiting,
        YieldRequested,
    )
    from workflows.contracts.deployments.live_again import LiveAgain
    from workflows.contracts.deployments.metrics import MetricsVerdict, MetricVerdict
    from workflows.contracts.fields import shortened
    from workflows.deployment import banning, record
    from workflows.deployment.context import Context
    from workflows.deployment.inbox import InboxStep, Note, Signal, write
    from workflows.deployment.progress import METRICS, Breach, Halt, Part, Phase
    from workflows.deployment.rules.verification import breach, breached, judged, limits_of, report_of
    from workflows.deployment.state import State
    from workflows.job.recorded import now_ms

_ROWS: Final = "metrics-are-judged-by-rows"  # 2026-11: before, the last samples of all metrics were judged together

_MAX_NAME: Final = 256
_MAX_REASON: Final = 1024
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
    if stage is None or stage.started_at is None:  # nobody knows which samples are this version's
        return InboxStep(after)
    since = stage.started_at
    over = breach(after.deployment.metric_samples, verification, since)
    if over is None:
        return InboxStep(after)
    message = f"Metrics of {state.deployment.version} in {state.environment.name}: {over}."
    return InboxStep(after.interrupted(Breach(message)))


def _reported(state: State, report: ReportMetrics, now: int) -> InboxStep | None:
    return None if state.deployment.closed else InboxStep(state)


async def _keep_and_judge(context: Context, before: State, report: ReportMetrics) -> None:
    """As the API does with what is reported there."""
    what = report_of(before.deployment, report, now_ms())
    try:
        told = await context.calls.call(keep_metrics, what, summary=f"metrics of {what.source}")
    except ApplicationError as error:
        workflow.logger.warning("metrics that were sent by a signal are refused: %s", error)
        return
    step = None if told is None else _verdict_told(context.state, told, now_ms())
    if step is not None:
        context.journal.state = step.state
        await context.journal.record()


def _verdict_told(state: State, told: MetricsVerdict, now: int) -> InboxStep | None:
    """What cannot be acted upon now is not taken either, so that the next sample tells it again."""
    progress = state.progress
    if state.deployment.closed or progress.phase.part is not Part.THERE or told.environment != state.environment.name:
        return None
    if progress.phase is Phase.ROLL_OUT and progress.step == 0:
        return None
    limited = {limit.metric for limit in limits_of(state.environment.verification)}
    rows = [row for row in told.rows if row.metric in limited and row.environment == told.environment]
    known = {row.key for row in state.deployment.metric_rows if row.verdict is MetricVerdict.BREACHED}
    after = state.changed(record.metrics_told, rows)
    if after.deployment == state.deployment or any(row.at > now + _AHEAD_MS for row in rows):
        return None
    needed = after.deployment.needs_decision
    if needed is not None and needed.key == METRICS and breached(after.deployment.metric_rows) is None:
        after = after.changed(record.decided_to_stay)
    over = breached(row for row in rows if row.key not in known)
    if over is None:
        return InboxStep(after)
    if state.interrupt is not None or progress.yielded_to is not None:
        return None
    return InboxStep(after.interrupted(Breach(f"Metrics of {state.deployment.version} in {told.environment}: {over}.")))


def _person_asked(state: State, asked: AskPerson, now: int) -> InboxStep | None:
    known = state.deployment.needs_decision
    if state.deployment.closed or state.progress.phase is not Phase.LIVE or state.interrupt is not None:
        return None
    if known is not None and known.key == asked.key:
        return None
    needed = NeedsDecision(what=asked.what, why=asked.why, by=asked.by or "", at=now, key=asked.key)
    after = state.changed(record.asks_person, needed)
    return InboxStep(after, Note(EventType.DEPLOYMENT_NEEDS_DECISION, message=after.deployment.waits_for or ""))


def _granted(state: State, grant: Granted, now: int) -> InboxStep | None:
    progress = state.progress
    if state.deployment.closed or not progress.in_line or grant.environment != state.environment.name:
        return None
    if not _plausible(grant.fence, now) or grant.fence <= progress.left_fence:
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


def _bounded(again: LiveAgain | None) -> LiveAgain | None:
    """With texts that the record can hold, whoever says them."""
    if again is None:
        return None
    names = {name: getattr(again, name) for name in ("by", "from_version", "from_deployment_id")}
    texts = {name: shortened(text, _MAX_NAME) for name, text in names.items() if text is not None}
    return again.model_copy(update={**texts, "reason": shortened(again.reason, _MAX_REASON)})


def _reinstated(state: State, turn: Reinstated, now: int) -> InboxStep | None:
    grant, progress, deployment = state.progress.granted, state.progress, state.deployment
    if progress.phase is not Phase.LIVE or grant is None or not _plausible(turn.fence, now):
        return None
    if turn.fence < grant.fence:
        return None
    again = _bounded(turn.again) or deployment.live_again
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


def _banned(state: State, told: BanTold, now: int) -> InboxStep | None:
    waits = state.progress.phase.part is Part.LINE and state.interrupt is None
    return InboxStep(state) if waits else None  # before the line and before each turn it looks by itself


async def _look_for_ban(context: Context, before: State, told: BanTold) -> None:
    """Whoever sends it is not believed."""
    await banning.look(context)


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
        newer=(
            _ROWS,
            Signal(
                name="report_metrics",
                model=ReportMetrics,
                description="A sample, which is kept and judged as the API does.",
                effect=_reported,
                then=_keep_and_judge,
            ),
        ),
    ),
    Signal(
        name="metrics_verdict",
        model=MetricsVerdict,
        description="Rows of metrics are otherwise than before: a breach begins, or ends.",
        effect=_verdict_told,
        then=write,
    ),
    Signal(
        name="ask_person",
        model=AskPerson,
        description="An alert speaks for a rollback that nothing automatic may make.",
        effect=_person_asked,
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
        name="banned",
        model=BanTold,
        description="Something of the service was banned: look whether it is this.",
        effect=_banned,
        then=_look_for_ban,
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
