"""MetricStore in memory, for unit tests."""

from collections.abc import Sequence

from activities.stores.metric_rows import Row, paged, row_of, span, wanted
from workflows.contracts.deployments.metrics import Incident, MetricsPage, MetricsQuery, Sample


class MemoryMetricStore:
    """MetricStore in dicts. Nothing expires: whoever asks for what has no age any more is told of it."""

    def __init__(self) -> None:
        self._samples: dict[str, dict[Row, dict[int, Sample]]] = {}
        self._incidents: dict[tuple[str, str, str], Incident] = {}

    async def keep(self, deployment_id: str, samples: Sequence[Sample]) -> None:
        """See MetricStore."""
        for sample in samples:
            self._samples.setdefault(deployment_id, {}).setdefault(row_of(sample), {})[sample.at] = sample

    async def rows(self, deployment_id: str) -> list[Row]:
        """See MetricStore."""
        return sorted(self._samples.get(deployment_id, {}))

    async def newest(self, deployment_id: str, row: Row, since: int, limit: int) -> list[Sample]:
        """See MetricStore."""
        samples = self._samples.get(deployment_id, {}).get(row, {})
        return [samples[at] for at in sorted(samples, reverse=True) if at >= since][:limit]

    async def list(self, query: MetricsQuery) -> MetricsPage:
        """See MetricStore."""
        since, until = span(query, 0)
        rows = wanted(query, await self.rows(query.deployment_id))
        found = [sample for row in rows for sample in self._samples[query.deployment_id][row].values()]
        return paged(query, [sample for sample in found if since <= sample.at <= until])

    async def claim(self, service_name: str, environment: str, incident: str, by: Incident) -> Incident | None:
        """See MetricStore."""
        known = self._incidents.setdefault((service_name, environment, incident), by)
        return None if known.deployment_id == by.deployment_id else known

    async def unclaim(self, service_name: str, environment: str, incident: str, deployment_id: str) -> None:
        """See MetricStore."""
        key = (service_name, environment, incident)
        if key in self._incidents and self._incidents[key].deployment_id == deployment_id:
            del self._incidents[key]
