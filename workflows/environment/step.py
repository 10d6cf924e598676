"""One step of an environment's lock: the state after it, whom to tell, what to write in the trail. Pure.

Also the small changes that both ``lock`` and ``turn`` make.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workflows.contracts.audit import details
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.environments import (
    MAX_AHEAD,
    Ahead,
    EnvironmentState,
    Granted,
    Holder,
    LiveVersion,
    Reinstated,
    Retired,
    StopsChanged,
    Superseded,
    Ticket,
    Waiting,
    YieldRequested,
)
from workflows.environment import words


@dataclass(frozen=True, slots=True)
class Tell:
    """A signal to a deployment's workflow; the message's class names it."""

    deployment_id: str
    workflow_id: str
    message: Granted | Waiting | YieldRequested | Superseded | Reinstated | StopsChanged | Retired


@dataclass(frozen=True, slots=True)
class EnvironmentStep:
    """``tells`` are sent in order, after the state and the events are written."""

    state: EnvironmentState
    tells: tuple[Tell, ...] = ()
    events: tuple[AuditEvent, ...] = ()

    def then(self, change: Callable[[EnvironmentState], "EnvironmentStep"]) -> "EnvironmentStep":
        """This step and, from its state, another one."""
        after = change(self.state)
        return EnvironmentStep(after.state, self.tells + after.tells, self.events + after.events)


def handed_over(holder: Holder) -> bool:
    """A live holder said yes: it is still written down, until ``proceed`` decides who follows."""
    return holder.yielding and not holder.live


def reinstated(state: EnvironmentState, version: LiveVersion, now: int, *, restarted: bool = False) -> EnvironmentStep:
    """A live version holds the environment, with a new number. ``restarted``: its workflow has gone."""
    fence = next_fence(state, now)
    holder = Holder(
        deployment_id=version.deployment_id,
        workflow_id=version.workflow_id,
        version=version.version,
        git_commit_sha=version.git_commit_sha,
        fence=fence,
        since=now,
        live=True,
        restarted=restarted,
    )
    text = f"{version.version}, which is live, holds {state.environment} again (turn {fence})."
    event = words.event(state, details.VersionReinstated(fence=fence), now, text, about=holder)
    message = Reinstated(environment=state.environment, fence=fence, history=state.history, again=version.again)
    tell = Tell(holder.deployment_id, holder.workflow_id, message)
    return EnvironmentStep(changed(state, holder=holder, fence=fence), (tell,), (event,))


def granted(state: EnvironmentState, holder: Holder) -> Tell:
    """The holder's grant, as it is told; with those that came before it, as far as they are kept."""
    message = Granted(
        environment=state.environment,
        fence=holder.fence,
        previous=state.live,
        history=state.history,
        ahead=[_ahead(state, each) for each in state.queue if each.arrived_at < holder.arrived_at][:MAX_AHEAD],
        frozen=holder.frozen,
    )
    return Tell(holder.deployment_id, holder.workflow_id, message)


def _ahead(state: EnvironmentState, ticket: Ticket) -> Ahead:
    return Ahead(
        deployment_id=ticket.deployment_id,
        version=ticket.version,
        git_commit_sha=ticket.git_commit_sha,
        place=f"came before it and is in line for {state.environment}",
    )


def told_to_look(state: EnvironmentState) -> EnvironmentStep:
    """To who rolls out: a freeze or hold that stops it may be over."""
    holder = state.holder
    if holder is None or holder.live:
        return EnvironmentStep(state)
    message = StopsChanged(environment=state.environment)
    return EnvironmentStep(state, (Tell(holder.deployment_id, holder.workflow_id, message),))


def superseded(state: EnvironmentState, deployment_id: str, workflow_id: str, by: Ticket | Holder) -> Tell:
    """To a version whose place another one takes."""
    message = Superseded(environment=state.environment, by_deployment_id=by.deployment_id, by_version=by.version)
    return Tell(deployment_id, workflow_id, message)


def version_of(holder: Holder, now: int, *, before: str | None = None, final: bool = False) -> LiveVersion:
    """A holder's version, live from now on. ``before``: the deployment whose place it takes,
    empty when there is none.
    """
    return LiveVersion(
        version=holder.version,
        deployment_id=holder.deployment_id,
        workflow_id=holder.workflow_id,
        git_commit_sha=holder.git_commit_sha,
        since=now,
        before=before,
        final=final,
    )


def next_fence(state: EnvironmentState, now: int) -> int:
    """Grows with every holder, also when the environment's workflow and its record were lost."""
    return max(state.fence + 1, now)


def without_ticket(state: EnvironmentState, deployment_id: str) -> EnvironmentState:
    """The state without this deployment's place in line."""
    return changed(state, queue=[each for each in state.queue if each.deployment_id != deployment_id])


def changed(state: EnvironmentState, **update: Any) -> EnvironmentState:
    """The state with these fields."""
    return state.model_copy(update=update)
