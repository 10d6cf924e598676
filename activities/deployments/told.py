"""What the trail tells of a deployment's record besides what its workflow notes: how a version does, once a minute.

Derived from the write itself, so that it is kept in the record's transaction. Deliberately not here: whether a sample
breaches a limit for long enough to count (``workflows.deployment``).
"""

from typing import Final

from workflows.contracts.audit.details import MetricRecorded
from workflows.contracts.audit.events import AuditEvent, new_event
from workflows.contracts.deployments.deployment import Deployment, DeploymentWrite
from workflows.contracts.who import Who
from workflows.newest import Newest

WINDOW_MILLIS: Final = 60_000
_MAX_KNOWN: Final = 5_000


class MetricsTold:
    """Adds the event of a minute to the first write of this process that has a sample of it; another process may have
    told it, and then it is kept once.
    """

    def __init__(self) -> None:
        self._told: Newest[str, int] = Newest(_MAX_KNOWN)

    def added(self, write: DeploymentWrite) -> DeploymentWrite:
        """The write with its event, if there is one."""
        event = _first_of_minute(write.deployment)
        minute = 0 if event is None else event.at // WINDOW_MILLIS
        if event is None or self._told.get(write.deployment.deployment_id) == minute:
            return write
        return write.model_copy(update={"events": [*write.events, event]})

    def kept(self, write: DeploymentWrite) -> None:
        """This write is in the store."""
        event = _first_of_minute(write.deployment)
        if event is not None:
            self._told[write.deployment.deployment_id] = event.at // WINDOW_MILLIS


def _first_of_minute(deployment: Deployment) -> AuditEvent | None:
    """Of the minute of the newest sample, the first sample that the record has."""
    samples = deployment.metric_samples
    if not samples:
        return None
    minute = max(sample.at for sample in samples) // WINDOW_MILLIS
    first = min((sample for sample in samples if sample.at // WINDOW_MILLIS == minute), key=lambda sample: sample.at)
    said = MetricRecorded(
        sampled_at=first.at,
        error_rate=first.error_rate,
        latency_ms=first.latency_ms,
        requests_per_sec=first.requests_per_sec,
        breaches=first.breaches,
    )
    return new_event(
        said,
        Who(by=first.by or None, via="workflow"),
        event_id=f"{deployment.deployment_id}-metrics-{minute}",
        at=first.at,
        message="; ".join(first.breaches)[:1000],
        service_name=deployment.service_name,
        deployment_id=deployment.deployment_id,
        version=deployment.version,
    )
