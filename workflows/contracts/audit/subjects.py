"""Whom an event is about first: its subject. A subject's events are numbered; each holds the hash of the one before.

Deliberately not here: how they are kept (the stores), what else an event names (``events``).
"""

import hashlib
from typing import Final

from workflows.contracts.audit.events import AuditEvent

_BY_ACCESS: Final = frozenset({"access", "session", "token"})
_BY_DETAIL: Final = {
    "workflow": ("workflows", "workflow_id"),
    "webhook": ("webhooks", "provider"),
    "config": ("config", "name"),
}


def subject_of(event: AuditEvent) -> str:
    """The subject, as ``<kind>/<id>``: ``jobs/…``, ``deployments/…``, ``environments/<service>/<name>``.

    By the word before the dot; what has no id of that kind belongs to the next best that the event names, and what
    names nothing to ``system``. It never changes for a type, since a chain of hashes hangs on it.
    """
    word = event.action.partition(".")[0]
    found = _own(event, word) or _first_named(event)
    return found or f"system/{word}"


def chained(before: str, subject: str, number: int, document: str) -> str:
    """The hash of a subject's event: SHA-256, in hexadecimal, over the hash ``before``, its place and its text."""
    text = "\n".join((before, subject, str(number), document))
    return hashlib.sha256(text.encode()).hexdigest()


def _own(event: AuditEvent, word: str) -> str | None:
    if word == "environment" and event.service_name and event.environment:
        return f"environments/{event.service_name}/{event.environment}"
    if word in _BY_ACCESS:
        credential = event.details.get("credential_id")
        return f"credentials/{credential}" if isinstance(credential, str) else f"addresses/{event.address or 'unknown'}"
    if word in _BY_DETAIL:
        kind, detail = _BY_DETAIL[word]
        name = event.details.get(detail)
        return f"{kind}/{name}" if isinstance(name, str) else None
    named = {
        "job": ("jobs", event.job_id),
        "attempt": ("jobs", event.job_id),
        "metric": ("deployments", event.deployment_id),
        "deployment": ("deployments", event.deployment_id),
        "service": ("services", event.service_name),
        "agent": ("agents", event.agent_id),
        "pool": ("pools", event.pool),
    }.get(word)
    return f"{named[0]}/{named[1]}" if named is not None and named[1] else None


def _first_named(event: AuditEvent) -> str | None:
    named = (
        ("jobs", event.job_id),
        ("deployments", event.deployment_id),
        ("agents", event.agent_id),
        ("services", event.service_name),
        ("pools", event.pool),
    )
    return next((f"{kind}/{name}" for kind, name in named if name), None)
