"""How an environment looks in the Temporal UI. Pure.

Deliberately not here: deciding anything.
"""

from typing import Final

from temporalio.common import SearchAttributePair, TypedSearchAttributes

from workflows.contracts import search_attributes as attributes
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.words import details, moment, quoted

_SHOWN_IN_QUEUE: Final = 10


def environment_search_attributes(service_name: str, environment: str) -> TypedSearchAttributes:
    """What an environment can be found by."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(attributes.SERVICE, service_name),
            SearchAttributePair(attributes.ENVIRONMENT, environment),
        ]
    )


def environment_static_summary(service_name: str, environment: str) -> str:
    """One line."""
    return f"{environment} of {service_name}: one deployment at a time"


def environment_status(state: EnvironmentState) -> str:
    """One word, as ``CiStatus`` has it."""
    if state.hold is not None:
        return "held"
    if state.frozen_until is not None:
        return "frozen"
    if state.holder is not None and not state.holder.live:
        return "deploying"
    return "live" if state.live is not None else "idle"


def environment_details(state: EnvironmentState) -> str:
    """Markdown: who holds it, what is live, who waits and for what."""
    holder, live = state.holder, state.live
    lines = [
        f"Live: {f'**{quoted(live.version)}** since {moment(live.since)}' if live else 'nothing yet'}.",
        f"Held by deployment `{holder.deployment_id}` of {quoted(holder.version)} (turn {holder.fence})."
        if holder and not holder.live
        else "Nothing is being rolled out.",
    ]
    if state.hold is not None:
        lines.append(f"On **hold** by {quoted(state.hold.by)}: {quoted(state.hold.reason)}")
    if state.frozen_until is not None:
        lines.append(f"**Frozen** until {moment(state.frozen_until)} by {quoted(state.frozen_by or 'a freeze')}.")
    lines += [
        f"- {quoted(ticket.version)} `{ticket.deployment_id}` waits for {'its turn' if ticket.ready else 'approvals'}"
        for ticket in state.queue[:_SHOWN_IN_QUEUE]
    ]
    return details("\n\n".join(lines))
