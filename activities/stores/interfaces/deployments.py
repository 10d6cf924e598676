"""What a store of deployments does."""

import builtins
from typing import Protocol

from activities.stores.interfaces.writes import Placed, WriteOutcome
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentPage,
    DeploymentQuery,
    DeploymentStats,
    DeploymentSummary,
    DeploymentWrite,
)
from workflows.contracts.deployments.versions import VersionClaim


class DeploymentStore(Protocol):
    """Deployment records and what they are found by. Events are kept in their record's transaction."""

    async def write(self, write: DeploymentWrite, document: str | None = None) -> WriteOutcome:
        """Store the record, move it between lists and counters, append ``write.events``: all or nothing.

        ``document`` is the record as ``documents.dump_deployment`` writes it, from who has made it already.

        Condition ``sequence_is_newer``, as for jobs: an old or repeated write changes nothing and returns STALE.
        Raises ValidationFailed for a record that is too large to be kept.
        """
        ...

    async def get(self, deployment_id: str) -> Deployment | None:
        """The record as last written (a consistent read), or None."""
        ...

    async def version_claim(self, service_name: str, version: str) -> VersionClaim | None:
        """Which commit this version is; a consistent read. None: none was created since there are claims.

        A record's first write makes the claim with it. Unless its definition allows a version to be used again, that
        raises InvalidState, and nothing is kept, when the version is another commit already.
        """
        ...

    async def list(self, query: DeploymentQuery) -> DeploymentPage:
        """Newest first by ``created_at``. Raises ValidationFailed for a cursor that this query did not hand out."""
        ...

    async def oldest(self, behind: str, until: int, limit: int) -> builtins.list[Placed[DeploymentSummary]]:
        """As for jobs."""
        ...

    async def remove(self, deployment: Deployment) -> bool:
        """As for jobs."""
        ...

    async def stats(self) -> DeploymentStats:
        """Counters: the same cost whatever the number of deployments."""
        ...

    async def day_count(self, day: str) -> int:
        """How many were created on a day, ``YYYY-MM-DD`` in UTC."""
        ...
