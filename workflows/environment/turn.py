"""Whose turn it is in an environment: freezes, the line, handing over, and why the others wait. Pure.

Times are epoch milliseconds. Deliberately not here: what deployments say (``lock``) and what people may ask
(``commands``).
"""

from typing import Final

from workflows.contracts.audit import details
from workflows.contracts.audit.details import FreezeEnded
from workflows.contracts.deployments.environments import (
    EnvironmentState,
    Holder,
    Ticket,
    Waiting,
    YieldRequested,
)
from workflows.contracts.deployments.line import StopInForce, StopKind
from workflows.environment import words
from workflows.environment.answers import Answers
from workflows.environment.step import (
    EnvironmentStep,
    Tell,
    changed,
    granted,
    handed_over,
    next_fence,
    reinstated,
    version_of,
    without_ticket,
)
from workflows.line.stops import longest, passable

YIELD_PATIENCE_MS: Final = 2000
"""A live version mostly hands over within milliseconds: only when it does not, those who wait are told."""
ASK_AGAIN_MS: Final = 60_000
"""It may have been asked in the middle of a task that was lost; asked twice, it answers twice, which is like once."""


def proceed(state: EnvironmentState, now: int, answers: Answers) -> EnvironmentStep:
    """Whose turn is it now? ``answers``: of the recurring freezes, by ready deployment, and of the line."""
    step = _freezes_ended(state, now).then(lambda after: _frozen_marked(after, now, answers))
    ready = next((ticket for ticket in step.state.queue if _may_go(step.state, ticket, now, answers)), None)
    holder = step.state.holder
    if ready is not None and (holder is None or handed_over(holder)):
        step = step.then(lambda after: _grant(after, ready, holder, now))
    elif holder is not None and handed_over(holder):
        live = step.state.live
        own = live if live is not None and live.deployment_id == holder.deployment_id else version_of(holder, now)
        step = step.then(lambda after: reinstated(changed(after, holder=None), own, now))
    elif ready is not None and holder is not None and holder.live and not holder.yielding:
        return step.then(lambda after: _ask_to_yield(after, holder, ready, now))
    return step.then(lambda after: _reasons_told(after, now, answers))


def next_look(state: EnvironmentState, now: int, answers: Answers) -> int | None:
    """When ``proceed`` must be asked again though nothing happens, or None."""
    edges = [edge for freeze in state.freezes for edge in (freeze.starts_at, freeze.ends_at)]
    edges += answers.edges(now)
    if state.holder is not None and state.holder.live and state.holder.yielding:
        edges.append(now + (ASK_AGAIN_MS if all_told(state, now, answers) else YIELD_PATIENCE_MS))
    return min((edge for edge in edges if edge > now), default=None)


def ask_again(state: EnvironmentState, now: int, answers: Answers) -> EnvironmentStep:
    """Should the live holder have missed that it was asked to hand over: ask again. Two answers are like one."""
    holder = state.holder
    ready = next((ticket for ticket in state.queue if _may_go(state, ticket, now, answers)), None)
    if ready is None or holder is None or not (holder.live and holder.yielding):
        return EnvironmentStep(state)
    return EnvironmentStep(state, _ask_to_yield(state, holder, ready, now).tells)


def _grant(state: EnvironmentState, ticket: Ticket, before: Holder | None, now: int) -> EnvironmentStep:
    fence = next_fence(state, now)
    holder = Holder(
        deployment_id=ticket.deployment_id,
        workflow_id=ticket.workflow_id,
        version=ticket.version,
        git_commit_sha=ticket.git_commit_sha,
        fence=fence,
        since=now,
        over=before.deployment_id if before is not None else None,
        frozen=ticket.frozen,
        arrived_at=ticket.arrived_at,
    )
    after = changed(without_ticket(state, ticket.deployment_id), holder=holder, fence=fence)
    text = f"{ticket.version} has its turn in {state.environment} (turn {fence})."
    return EnvironmentStep(
        after,
        (granted(after, holder),),
        (words.event(state, details.TurnGranted(fence=fence), now, text, about=ticket),),
    )


def _ask_to_yield(state: EnvironmentState, holder: Holder, ticket: Ticket, now: int) -> EnvironmentStep:
    message = YieldRequested(
        environment=state.environment, to_deployment_id=ticket.deployment_id, to_version=ticket.version
    )
    text = f"{holder.version}, which is live, was asked to hand {state.environment} over to {ticket.version}."
    return EnvironmentStep(
        changed(state, holder=holder.model_copy(update={"yielding": True})),
        (Tell(holder.deployment_id, holder.workflow_id, message),),
        (words.event(state, details.YieldAsked(to=ticket.deployment_id), now, text, about=holder),),
    )


def _reasons_told(state: EnvironmentState, now: int, answers: Answers) -> EnvironmentStep:
    """Tell each ready deployment why it waits, if that is news."""
    queue: list[Ticket] = []
    tells: list[Tell] = []
    for ticket in state.queue:
        reason = _reason(state, ticket, now, answers) if ticket.ready else None
        if reason is not None and reason != ticket.waits_for:
            message = Waiting(environment=state.environment, reason=reason)
            tells.append(Tell(ticket.deployment_id, ticket.workflow_id, message))
        queue.append(ticket.model_copy(update={"waits_for": reason}))
    return EnvironmentStep(changed(state, queue=queue), tuple(tells))


def all_told(state: EnvironmentState, now: int, answers: Answers) -> bool:
    """Every ready deployment knows why it waits."""
    return all(ticket.waits_for == _reason(state, ticket, now, answers) for ticket in state.queue if ticket.ready)


def _reason(state: EnvironmentState, ticket: Ticket, now: int, answers: Answers) -> str | None:
    if state.hold is not None:
        return words.on_hold(state)
    stop = _line_stop(ticket, answers)
    if stop is not None:
        return words.stopped(state, ticket, stop)
    freeze = _freeze_of(state, ticket, now, answers)
    if freeze is not None:
        closed = _is_closed(answers, ticket, freeze)
        return words.closed(state, ticket, *freeze) if closed else words.frozen(state, ticket, *freeze)
    return words.not_its_turn(state, state.holder) if state.holder is not None else None


def _may_go(state: EnvironmentState, ticket: Ticket, now: int, answers: Answers) -> bool:
    if not ticket.ready or state.hold is not None or _line_stop(ticket, answers) is not None:
        return False
    return _freeze_of(state, ticket, now, answers) is None


def _line_stop(ticket: Ticket, answers: Answers) -> StopInForce | None:
    """What of the line stops it; of several the one that is told."""
    return longest([each for each in answers.line if not (ticket.override_freeze and passable(each))])


def _is_closed(answers: Answers, ticket: Ticket, freeze: tuple[int, str]) -> bool:
    answer = answers.windows.get(ticket.deployment_id)
    return answer is not None and answer.closed and (answer.until, answer.name) == freeze


def _freeze_of(state: EnvironmentState, ticket: Ticket, now: int, answers: Answers) -> tuple[int, str] | None:
    """Until when the ticket is frozen and by what; of several freezes, the one that ends last."""
    if ticket.override_freeze:
        return None
    freezes = _ad_hoc(state, now)
    answer = answers.windows.get(ticket.deployment_id)
    if answer is not None and answer.until is not None and answer.until > now:
        freezes.append((answer.until, answer.name or "a recurring freeze"))
    return max(freezes, default=None)


def _ad_hoc(state: EnvironmentState, now: int) -> list[tuple[int, str]]:
    return [(freeze.ends_at, freeze.name) for freeze in state.freezes if freeze.starts_at <= now < freeze.ends_at]


def _freezes_ended(state: EnvironmentState, now: int) -> EnvironmentStep:
    events = (
        words.event(state, FreezeEnded(freeze_id=freeze.freeze_id), now, f"The freeze '{freeze.name}' is over.")
        for freeze in state.freezes
        if freeze.ends_at <= now
    )
    return EnvironmentStep(
        changed(state, freezes=[freeze for freeze in state.freezes if freeze.ends_at > now]), events=tuple(events)
    )


def _is_frozen(ticket: Ticket, answers: Answers) -> bool:
    stop = _line_stop(ticket, answers)
    return stop is not None and stop.kind is StopKind.FREEZE


def _frozen_marked(state: EnvironmentState, now: int, answers: Answers) -> EnvironmentStep:
    """For display: what freezes the environment; for the ready ones: that they had to wait for it."""
    freezes = [_freeze_of(state, ticket, now, answers) for ticket in state.queue if ticket.ready]
    shown = max([*_ad_hoc(state, now), *(freeze for freeze in freezes if freeze is not None)], default=None)
    queue = [
        ticket.model_copy(update={"frozen": True})
        if ticket.ready and (_freeze_of(state, ticket, now, answers) or _is_frozen(ticket, answers))
        else ticket
        for ticket in state.queue
    ]
    until, name = shown if shown is not None else (None, None)
    return EnvironmentStep(changed(state, queue=queue, frozen_until=until, frozen_by=name))
