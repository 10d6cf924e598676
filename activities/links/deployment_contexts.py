"""The contexts that chains of deployments, services, environments and events hand on.

Deliberately not here: how they are read (``base.require``).
"""

from typing import Any, TypedDict

from activities.stores.interfaces import WriteOutcome
from workflows.contracts.deployments import (
    Deployment,
    DeploymentPage,
    DeploymentQuery,
    DeploymentStats,
    DeploymentWrite,
    EventPage,
    EventQuery,
)
from workflows.contracts.environments import EnvironmentState, EnvironmentWrite
from workflows.contracts.services import Service, ServicePage, ServiceWrite


class DeploymentCreationContext(TypedDict, total=False):
    """Chain DeploymentCreation."""

    write: DeploymentWrite
    deployment: Deployment
    outcome: WriteOutcome
    serialized: dict[str, Any]


class DeploymentWriteContext(TypedDict, total=False):
    """The chains of DeploymentLifecycle."""

    write: DeploymentWrite
    outcome: WriteOutcome


class DeploymentReadContext(TypedDict, total=False):
    """The read chains of deployments: each uses its question and its answer."""

    deployment_id: str
    deployment: Deployment
    query: DeploymentQuery
    page: DeploymentPage
    deployment_stats: DeploymentStats
    day: str
    day_count: int


class ServiceApplyContext(TypedDict, total=False):
    """Chain ApplyService. ``change_id`` tells a change that is tried again."""

    write: ServiceWrite
    change_id: str
    service: Service


class ServiceReadContext(TypedDict, total=False):
    """The read chains of services. ``version`` is absent for the present one."""

    service_name: str
    version: int
    service: Service
    limit: int
    cursor: str
    page: ServicePage


class EnvironmentWriteContext(TypedDict, total=False):
    """Chain RecordEnvironment."""

    write: EnvironmentWrite
    outcome: WriteOutcome


class EnvironmentReadContext(TypedDict, total=False):
    """The read chains of environments."""

    service_name: str
    environment: str
    state: EnvironmentState
    states: list[EnvironmentState]


class EventReadContext(TypedDict, total=False):
    """Chain ListEvents."""

    query: EventQuery
    page: EventPage
