"""DeploymentStore in memory, for unit tests. No ``await`` stands between a read and the write that follows from it."""

import builtins
from collections import Counter

from activities.stores.documents import dump_deployment, load_deployment
from activities.stores.found_by import matches_deployment
from activities.stores.interfaces.writes import Placed, WriteOutcome
from activities.stores.memory.events import MemoryEventStore
from activities.stores.memory.pages import newest_first, oldest
from activities.stores.packing import check_summary, pack, unpack
from activities.stores.statistics import day_of
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentPage,
    DeploymentQuery,
    DeploymentStats,
    DeploymentStatus,
    DeploymentSummary,
    DeploymentWrite,
)
from workflows.contracts.deployments.versions import VersionClaim, claim_of, require_same_commit


class MemoryDeploymentStore:
    """DeploymentStore in a dict. Records are kept as text, as everywhere."""

    def __init__(self, events: MemoryEventStore) -> None:
        self._events = events
        self._documents: dict[str, str | bytes] = {}
        self._states: Counter[DeploymentStatus] = Counter()
        self._days: Counter[str] = Counter()
        self._claims: dict[tuple[str, str], VersionClaim] = {}

    async def write(self, write: DeploymentWrite, document: str | None = None) -> WriteOutcome:
        """See DeploymentStore."""
        deployment, stored = write.deployment, await self.get(write.deployment.deployment_id)
        document = dump_deployment(deployment) if document is None else document
        kept = pack(document, "deployment", deployment.deployment_id)
        check_summary(deployment.summary().model_dump_json(), "deployment", deployment.deployment_id)
        if stored is not None and stored.sequence >= deployment.sequence:
            return WriteOutcome.STALE
        if stored is None:
            self._claim(deployment)
        self._events.keep(write.events)
        self._documents[deployment.deployment_id] = kept
        self._states[deployment.status] += 1
        if stored is None:
            self._days[day_of(deployment.created_at)] += 1
        else:
            self._states[stored.status] -= 1
        return WriteOutcome.APPLIED

    async def get(self, deployment_id: str) -> Deployment | None:
        """See DeploymentStore."""
        kept = self._documents.get(deployment_id)
        return None if kept is None else _load(kept)

    async def version_claim(self, service_name: str, version: str) -> VersionClaim | None:
        """See DeploymentStore."""
        return self._claims.get((service_name, version))

    def _claim(self, deployment: Deployment) -> None:
        key = (deployment.service_name, deployment.version)
        require_same_commit(deployment, self._claims.get(key))
        self._claims[key] = claim_of(deployment)

    async def list(self, query: DeploymentQuery) -> DeploymentPage:
        """See DeploymentStore."""
        deployments = [
            each for each in map(_load, self._documents.values()) if matches_deployment(query, each.summary())
        ]
        page, cursor = newest_first(query, deployments, _place)
        return DeploymentPage(items=[each.summary() for each in page], next_cursor=cursor)

    async def oldest(self, behind: str, until: int, limit: int) -> builtins.list[Placed[DeploymentSummary]]:
        """See DeploymentStore."""
        found = oldest(map(_load, self._documents.values()), _place, behind, until, limit)
        return [Placed(place, deployment.summary()) for place, deployment in found]

    async def remove(self, deployment: Deployment) -> bool:
        """See DeploymentStore."""
        stored = await self.get(deployment.deployment_id)
        if stored is not None and stored.sequence != deployment.sequence:
            return False
        self._documents.pop(deployment.deployment_id, None)
        return True

    async def stats(self) -> DeploymentStats:
        """See DeploymentStore."""
        by_status = {status: count for status, count in self._states.items() if count}
        return DeploymentStats(total=self._days.total(), by_status=by_status)

    async def day_count(self, day: str) -> int:
        """See DeploymentStore."""
        return self._days[day]


def _load(kept: str | bytes) -> Deployment:
    return load_deployment(unpack(kept))


def _place(deployment: Deployment) -> tuple[int, str]:
    return (deployment.created_at, deployment.deployment_id)
