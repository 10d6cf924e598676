"""Records as JSON text and back, without loss.

JSON has no exact decimals, no NaN and no infinity, and a job's ``metadata`` or an event's ``details`` can hold any of
them, so they are kept as one-key objects (``{"$decimal": "1.10"}``); an object that looks like one is wrapped, so that
it comes back as it was. Everything else pydantic writes and reads as it is: big integers, empty strings, 0, null and
any Unicode text.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, cast

from pydantic import TypeAdapter

from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.feed import FeedRow, Position
from workflows.contracts.audit.seals import StoredRow
from workflows.contracts.deployments.deployment import Deployment, DeploymentSummary
from workflows.contracts.jobs import Job, JobSummary

_DECODERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "$decimal": Decimal,
    "$float": float,
    "$object": lambda value: {key: _untagged(item) for key, item in value.items()},
}
_SUMMARIES: Final = TypeAdapter(list[JobSummary])
_DEPLOYMENT_SUMMARIES: Final = TypeAdapter(list[DeploymentSummary])
_EVENTS: Final = TypeAdapter(list[AuditEvent])


def dump_job(job: Job) -> str:
    """The record as JSON text."""
    if job.metadata:
        job = job.model_copy(update={"metadata": {key: _tagged(value) for key, value in job.metadata.items()}})
    return job.model_dump_json()


def load_job(text: str | bytes) -> Job:
    """The record that ``dump_job`` wrote."""
    job = Job.model_validate_json(text)
    if job.metadata:
        job = job.model_copy(update={"metadata": {key: _untagged(value) for key, value in job.metadata.items()}})
    return job


def dump_deployment(deployment: Deployment) -> str:
    """The record as JSON text."""
    return deployment.model_dump_json()


def load_deployment(text: str | bytes) -> Deployment:
    """The record that ``dump_deployment`` wrote."""
    return Deployment.model_validate_json(text)


def load_summaries(texts: Sequence[str]) -> list[JobSummary]:
    """The summaries of a page, parsed at once: a tenth of the cost of one by one."""
    return _SUMMARIES.validate_json(f"[{','.join(texts)}]")


def load_deployment_summaries(texts: Sequence[str]) -> list[DeploymentSummary]:
    """The deployments of a page."""
    return _DEPLOYMENT_SUMMARIES.validate_json(f"[{','.join(texts)}]")


def dump_event(event: AuditEvent) -> str:
    """The event as JSON text."""
    if event.details:
        event = event.model_copy(update={"details": {key: _tagged(value) for key, value in event.details.items()}})
    return event.model_dump_json()


def load_events(texts: Sequence[str]) -> list[AuditEvent]:
    """The events that ``dump_event`` wrote."""
    return [
        event.model_copy(update={"details": {key: _untagged(value) for key, value in event.details.items()}})
        for event in _EVENTS.validate_json(f"[{','.join(texts)}]")
    ]


def load_row(row: StoredRow) -> FeedRow:
    """The row of the feed that is stored so. Raises ValueError for one that no store has written."""
    shard, _, sequence = row.after.partition("-")
    return FeedRow(
        shard=row.shard,
        sequence=int(row.place),
        subject=row.subject,
        number=int(row.number),
        before=row.before,
        after=Position(shard=int(shard), sequence=int(sequence)) if row.after else None,
        event=load_events([row.document])[0],
    )


def _tagged(value: Any) -> Any:
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, dict):
        items = {key: _tagged(item) for key, item in cast("dict[str, Any]", value).items()}
        return {"$object": items} if _is_tag(cast("dict[str, Any]", value)) else items
    if isinstance(value, list):
        return [_tagged(item) for item in cast("list[Any]", value)]
    return value


def _untagged(value: Any) -> Any:
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        if _is_tag(mapping):
            ((tag, content),) = mapping.items()
            return _DECODERS[tag](content)
        return {key: _untagged(item) for key, item in mapping.items()}
    if isinstance(value, list):
        return [_untagged(item) for item in cast("list[Any]", value)]
    return value


def _is_tag(mapping: Mapping[str, Any]) -> bool:
    return len(mapping) == 1 and next(iter(mapping)) in _DECODERS
