"""What an environment tells people: why a deployment waits, and the lines of its audit trail. Pure.

Deliberately not here: deciding anything.
"""

from typing import Final

from workflows.contracts.audit.details import Details
from workflows.contracts.audit.events import AuditEvent, new_event
from workflows.contracts.audit.types import EventType
from workflows.contracts.deployments.environments import EnvironmentState, Holder, LiveVersion, Ticket
from workflows.contracts.deployments.line import StopInForce
from workflows.contracts.fields import shortened
from workflows.contracts.who import Message, Who
from workflows.line.stops import passable
from workflows.line.stops import stopped as stop_words
from workflows.words import moment

NOBODY: Final = Who.itself("")
"""What the environment does by itself."""


def on_hold(state: EnvironmentState) -> str:
    """Why nothing moves while there is a hold, and what lifts it."""
    hold = state.hold
    if hold is None:
        return ""
    return (
        f"{state.environment} is on hold by {hold.by} since {moment(hold.at)}: {hold.reason.rstrip('.')}. "
        f"`hybridci deploy release {state.service_name} --environment {state.environment}` lifts it."
    )


def frozen(state: EnvironmentState, ticket: Ticket, until: int, name: str) -> str:
    """Why it does not move during a freeze, and what goes on anyway."""
    return (
        f"{state.environment} is frozen until {moment(until)} by '{name}'. "
        f"`hybridci freeze override {ticket.deployment_id} --reason …` goes on anyway."
    )


def closed(state: EnvironmentState, ticket: Ticket, until: int, name: str) -> str:
    """Why it does not begin outside of the windows in which alone it may."""
    return (
        f"{state.environment} takes rollouts only within '{name}', next from {moment(until)} on. "
        f"`hybridci freeze override {ticket.deployment_id} --reason …` goes on anyway."
    )


def stopped(state: EnvironmentState, ticket: Ticket, stop: StopInForce) -> str:
    """What of the line stops it, and what goes on anyway."""
    anyway = f" `hybridci freeze override {ticket.deployment_id} --reason …` goes on anyway." if passable(stop) else ""
    return f"{stop_words(state.environment, state.service_name, stop)}{anyway}"


def not_its_turn(state: EnvironmentState, holder: Holder) -> str:
    """Who holds the environment, and what tells how far that is."""
    if holder.live:
        doing = "is live and was asked to hand the environment over"
    else:
        doing = f"is being rolled out since {moment(holder.since)}"
    return (
        f"{holder.version} {doing} in {state.environment}. "
        f"`hybridci deploy show {holder.deployment_id}` tells how far it is."
    )


def event(
    state: EnvironmentState,
    what: EventType | Details,
    now: int,
    message: str,
    *,
    about: Ticket | Holder | None = None,
    who: Who = NOBODY,
    reason: str | None = None,
) -> AuditEvent:
    """A line of the trail. Its id is given by the workflow, when it is written. ``who``: as it was heard."""
    return new_event(
        what,
        who,
        event_id="",
        at=now,
        service_name=state.service_name,
        environment=state.environment,
        deployment_id=about.deployment_id if about else None,
        version=about.version if about else None,
        reason=reason,
        message=message,
        claim=who.claim() if isinstance(who, Message) else None,
    )


def bounded(state: EnvironmentState, most: int) -> EnvironmentState:
    """With texts of at most ``most`` characters, whoever said them: a record that its store refuses tells nobody."""

    def version(of: LiveVersion) -> LiveVersion:
        return of.model_copy(update={"version": shortened(of.version, most)})

    hold, holder = state.hold, state.holder
    return state.model_copy(
        update={
            "hold": hold and hold.model_copy(update={n: shortened(getattr(hold, n), most) for n in ("by", "reason")}),
            "holder": holder and holder.model_copy(update={"version": shortened(holder.version, most)}),
            "live": state.live and version(state.live),
            "history": [version(each) for each in state.history],
            "queue": [
                each.model_copy(
                    update={
                        "version": shortened(each.version, most),
                        "waits_for": None if each.waits_for is None else shortened(each.waits_for, most),
                    }
                )
                for each in state.queue
            ],
        }
    )
