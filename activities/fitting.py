"""What is written instead of a record or an event that its store refuses because it is too large: the same, shorter.

Whoever can send a text must be able neither to end a workflow by its length nor to keep an event out of the trail, so
the write is made once more, with what was cut said in its place. Texts have bounds of their own long before; this is
for what nobody thought of. Deliberately not here: those bounds (the contracts, ``workflows.*.record``), what can be
kept (``stores``).
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.deployment import DeploymentWrite
from workflows.contracts.deployments.environments import EnvironmentWrite
from workflows.contracts.errors import ValidationFailed
from workflows.contracts.fields import shortened
from workflows.contracts.records import JobWrite
from workflows.deployment import record as deployment_record
from workflows.environment.words import bounded
from workflows.job import record as job_record

logger = logging.getLogger(__name__)
W = TypeVar("W")
R = TypeVar("R")

MAX_CHARACTERS: Final = 500
"""Of one text, when the whole does not fit."""
_FITS_BYTES: Final = 24 * 1024
"""An event of this size is kept by every store."""
_TEXTS: Final = (
    "by", "via", "address", "role", "key_id", "service_name", "environment", "deployment_id", "job_id", "agent_id",
    "pool", "version", "reason", "message",
)  # fmt: skip


async def written(write: Callable[[W], Awaitable[R]], given: W, shorter: Callable[[W], W]) -> R:
    """The write's result; when it is refused, that of the shorter one. Raises what that one raises."""
    try:
        return await write(given)
    except ValidationFailed as error:
        logger.warning("a write is too large, and is made shorter", extra={"because": shortened(error.message, 1000)})
        return await write(shorter(given))


def shorter_job(write: JobWrite) -> JobWrite:
    """Without the details of its attempts."""
    return write.model_copy(
        update={
            "job": job_record.without_details(write.job, MAX_CHARACTERS),
            "creation": shorter_events(write.creation),
            "events": shorter_events(write.events),
        }
    )


def shorter_deployment(write: DeploymentWrite) -> DeploymentWrite:
    """With shorter texts; its definition stays, for a rollback needs it."""
    deployment = deployment_record.bounded(write.deployment, MAX_CHARACTERS)
    return write.model_copy(update={"deployment": deployment, "events": shorter_events(write.events)})


def shorter_environment(write: EnvironmentWrite) -> EnvironmentWrite:
    """With shorter texts."""
    update = {"state": bounded(write.state, MAX_CHARACTERS), "events": shorter_events(write.events)}
    return write.model_copy(update=update)


def shorter_events(events: Sequence[AuditEvent]) -> list[AuditEvent]:
    """Those that can be kept as they are, the others shorter."""
    return [_kept(event) for event in events]


def _kept(event: AuditEvent) -> AuditEvent:
    """As much of it as can be kept: whole, with short texts, else without its details."""
    if _fits(event):
        return event
    texts = {name: shortened(text, MAX_CHARACTERS) for name in _TEXTS if (text := getattr(event, name)) is not None}
    short = event.model_copy(update=texts)
    if _fits(short):
        return short
    said = f"The details of this event were too long to be kept: {', '.join(sorted(event.details))}."
    return short.model_copy(update={"details": {"cut": shortened(said, MAX_CHARACTERS)}})


def _fits(event: AuditEvent) -> bool:
    return len(event.model_dump_json().encode()) <= _FITS_BYTES
