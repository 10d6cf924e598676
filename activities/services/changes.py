"""Changes of a stored service: what they are refused for, and their lines in the trail. Pure.

Deliberately not here: making them (``links``).
"""

from workflows.contracts.audit.details import Details, PolicyChanged, PolicyChangeRejected, ServiceApplied
from workflows.contracts.audit.events import AuditEvent, new_event
from workflows.contracts.deployments.policy import DecidePolicyChange
from workflows.contracts.deployments.services import PolicyChange, Service, ServiceWrite
from workflows.contracts.errors import InvalidState, Unavailable
from workflows.contracts.who import Who


def require_person(write: ServiceWrite) -> None:
    """Whoever holds a machine's key could else ask with it, and agree with their own. Raises InvalidState."""
    if write.identity is not None and write.identity.machine:
        raise InvalidState(
            f"{write.by} is a machine, and another policy of {write.name} needs two persons: one of them must ask."
        )


def another_version(write: ServiceWrite, present: int) -> InvalidState:
    """Another version is the present one."""
    found = f"is version {present}" if present else "does not exist"
    expected = f"version {write.expected_version}" if write.expected_version else "none"
    return InvalidState(
        f"Service {write.name} {found}, but {expected} was expected. Look at it as it is now and apply again.",
        version=present,
    )


def waits(present: Service, write: ServiceWrite) -> bool:
    """This very change is stored and waits."""
    change = present.policy_change
    return change is not None and (change.spec, change.asked_by) == (write.spec, write.by)


def decided(decision: DecidePolicyChange, change_id: str, service: Service, change: PolicyChange) -> list[AuditEvent]:
    """The events of a decision."""
    version, changes = service.version, change.changes
    if not decision.approve:
        rejected = PolicyChangeRejected(service_version=version, changes=changes, asked_by=change.asked_by)
        return [event(rejected, decision, change_id, service, "keeps its policy", reason=decision.reason or None)]
    applied, changed = (
        ServiceApplied(service_version=version),
        PolicyChanged(service_version=version, changes=changes, asked_by=change.asked_by),
    )
    words = f"has another policy, asked for by {change.asked_by}"
    return [
        event(applied, decision, change_id, service, f"has definition {version}"),
        event(changed, decision, f"{change_id}-policy", service, words, reason=decision.reason or None),
    ]


def nothing_waits(decision: DecidePolicyChange, present: Service | None) -> InvalidState:
    """No change waits in that version."""
    found = "does not exist" if present is None else f"is version {present.version}"
    waits = present is not None and present.policy_change is not None
    then = "another change waits there now: look at that" if waits else "nothing waits there"
    return InvalidState(
        f"No change of {decision.name}'s policy waits in version {decision.version}: the service {found}, and {then}.",
        version=present.version if present is not None else 0,
    )


def too_fast(name: str) -> Unavailable:
    """Others were faster each time."""
    return Unavailable(
        f"Service {name} changes faster than this change can be stored. Apply it again.", service_name=name
    )


def event(
    what: Details, who: Who, event_id: str, service: Service, words: str, *, reason: str | None = None
) -> AuditEvent:
    """A line of the trail of a change."""
    return new_event(
        what,
        who.who(),
        event_id=event_id,
        at=service.updated_at,
        service_name=service.name,
        reason=reason,
        message=f"{service.name} {words}",
    )
