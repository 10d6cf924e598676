"""What keeping metrics asks of a store: samples by row, and which alerts have acted. All of it has an age.

One contract suite runs against every implementation. Deliberately not here: how rows are judged.
"""

import builtins
from collections.abc import Sequence
from typing import Protocol

from workflows.contracts.deployments.metrics import Incident, MetricsPage, MetricsQuery, Sample


class MetricStore(Protocol):
    """Samples of deployments, and incidents of environments. Every method raises Unavailable."""

    async def keep(self, deployment_id: str, samples: Sequence[Sample]) -> None:
        """Keep them; one of the same row and time takes the place of what is there. Its row is known from then on."""
        ...

    async def rows(self, deployment_id: str) -> builtins.list[tuple[str, str, str]]:
        """The rows that have samples: environment, metric, source; by name."""
        ...

    async def newest(
        self, deployment_id: str, row: tuple[str, str, str], since: int, limit: int
    ) -> builtins.list[Sample]:
        """The newest samples of a row that are not older than ``since`` (ms), the newest first, as last kept."""
        ...

    async def list(self, query: MetricsQuery) -> MetricsPage:
        """One page of samples, newest first. Raises ValidationFailed for a cursor that this query did not hand out."""
        ...

    async def claim(self, service_name: str, environment: str, incident: str, by: Incident) -> Incident | None:
        """Say that an incident acts upon a deployment: None when it may; else what it has acted upon. The same again
        may.
        """
        ...

    async def unclaim(self, service_name: str, environment: str, incident: str, deployment_id: str) -> None:
        """It has not acted after all."""
        ...
