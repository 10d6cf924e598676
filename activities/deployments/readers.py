"""The read side for the API: what can be asked about deployments, services, environments and the audit trail.

Deliberately not here: anything that changes state (that goes through a workflow).
"""

import builtins
from collections.abc import Sequence
from typing import cast

from codeuchain import Middleware

from activities.bans.chains import build_require_no_ban_chain, build_retrieve_bans_chain
from activities.chaining.once import read_chain
from activities.deployments.chains import (
    build_deployment_count_chain,
    build_deployment_stats_chain,
    build_list_deployments_by_service_chain,
    build_list_deployments_chain,
    build_retrieve_deployment_chain,
)
from activities.environments.chains import (
    build_find_environments_chain,
    build_list_environments_chain,
    build_retrieve_environment_chain,
)
from activities.events.chains import build_list_events_chain
from activities.line.chains import build_retrieve_line_chain
from activities.services.chains import build_list_services_chain, build_retrieve_service_chain
from activities.stores.interfaces.deployments import DeploymentStore
from activities.stores.interfaces.environments import EnvironmentStore, LineStore
from activities.stores.interfaces.events import EventStore
from activities.stores.interfaces.services import BanStore, ServiceStore
from workflows.contracts.audit.events import EventPage, EventQuery
from workflows.contracts.deployments.bans import BanList
from workflows.contracts.deployments.deployment import Deployment, DeploymentPage, DeploymentQuery, DeploymentStats
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.deployments.line import LineState
from workflows.contracts.deployments.services import Service, ServicePage


class DeploymentReader:
    """Reads records of deployments and what belongs to them. Safe for concurrent use.

    Every method raises Unavailable when the store does not answer; lists raise ValidationFailed for a cursor that
    their query did not hand out.
    """

    def __init__(
        self,
        deployments: DeploymentStore,
        services: ServiceStore,
        environments: EnvironmentStore,
        events: EventStore,
        middleware: Sequence[Middleware] = (),
        line: LineStore | None = None,
        *,
        bans: BanStore,
    ) -> None:
        self._retrieve = build_retrieve_deployment_chain(deployments, middleware)
        self._list = build_list_deployments_chain(deployments, middleware)
        self._list_by_service = build_list_deployments_by_service_chain(deployments, middleware)
        self._stats = build_deployment_stats_chain(deployments, middleware)
        self._count = build_deployment_count_chain(deployments, middleware)
        self._retrieve_service = build_retrieve_service_chain(services, middleware)
        self._list_services = build_list_services_chain(services, middleware)
        self._retrieve_environment = build_retrieve_environment_chain(environments, middleware)
        self._find_environments = build_find_environments_chain(environments, middleware)
        self._list_environments = build_list_environments_chain(environments, middleware)
        self._retrieve_bans = build_retrieve_bans_chain(bans, middleware)
        self._require_no_ban = build_require_no_ban_chain(bans, middleware)
        self._retrieve_line = None if line is None else build_retrieve_line_chain(line, middleware)
        self._list_events = build_list_events_chain(events, middleware)

    async def get(self, deployment_id: str) -> Deployment:
        """The record as last written. Raises NotFound."""
        return await read_chain(self._retrieve, {"deployment_id": deployment_id}, result="deployment", kind=Deployment)

    async def list(self, query: DeploymentQuery) -> DeploymentPage:
        """One page, newest first: of one service when the query names it, else of all."""
        chain = self._list if query.service_name is None else self._list_by_service
        return await read_chain(chain, {"query": query}, result="page", kind=DeploymentPage)

    async def stats(self) -> DeploymentStats:
        """All deployments by status."""
        return await read_chain(self._stats, {}, result="deployment_stats", kind=DeploymentStats)

    async def day_count(self, day: str) -> int:
        """How many were created on a day, ``YYYY-MM-DD`` in UTC. Raises ValidationFailed for anything else."""
        return await read_chain(self._count, {"day": day}, result="day_count", kind=int)

    async def service(self, name: str, version: int | None = None) -> Service:
        """A service as it is now, or one of its versions. Raises NotFound."""
        return await read_chain(
            self._retrieve_service, {"service_name": name, "version": version}, result="service", kind=Service
        )

    async def services(self, limit: int = 50, cursor: str | None = None) -> ServicePage:
        """One page of services as they are now, by name."""
        return await read_chain(
            self._list_services, {"limit": limit, "cursor": cursor}, result="page", kind=ServicePage
        )

    async def environment(self, service_name: str, environment: str) -> EnvironmentState:
        """One environment of a service. Raises NotFound as long as nothing has reached it."""
        question = {"service_name": service_name, "environment": environment}
        return await read_chain(self._retrieve_environment, question, result="state", kind=EnvironmentState)

    async def environments(self, service_name: str) -> builtins.list[EnvironmentState]:
        """The environments of a service that were ever used, by name."""
        states = cast("type[builtins.list[EnvironmentState]]", builtins.list)
        return await read_chain(self._list_environments, {"service_name": service_name}, result="states", kind=states)

    async def environments_of(self, keys: Sequence[tuple[str, str]]) -> builtins.list[EnvironmentState]:
        """Of these services' environments, those that were ever used, in no order."""
        states = cast("type[builtins.list[EnvironmentState]]", builtins.list)
        found = {"keys": builtins.list(keys)}
        return await read_chain(self._find_environments, found, result="states", kind=states)

    async def bans(self, service_name: str) -> BanList:
        """What is banned of a service, newest first."""
        return await read_chain(self._retrieve_bans, {"service_name": service_name}, result="bans", kind=BanList)

    async def require_no_ban(self, service_name: str, version: str, git_commit_sha: str) -> None:
        """Raises InvalidState that says who banned this version or commit, and what lifts the ban."""
        asked = {"service_name": service_name, "version": version, "git_commit_sha": git_commit_sha}
        await read_chain(self._require_no_ban, asked, result="bans", kind=BanList)

    async def line(self) -> LineState:
        """The freezes and holds of many services; an empty one without a store."""
        return (
            LineState()
            if self._retrieve_line is None
            else await read_chain(self._retrieve_line, {}, result="line", kind=LineState)
        )

    async def events(self, query: EventQuery) -> EventPage:
        """One page of the audit trail, newest first."""
        return await read_chain(self._list_events, {"query": query}, result="page", kind=EventPage)
