"""Deployments: start, list, look at. What people and other CIs say about one is in ``commands``."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.responses import Response

from api.auth.guard import Caller
from api.auth.idempotency import REPLAY_HEADER, IdempotencyKey
from api.auth.origin import OriginDep
from api.auth.reach import unseen, within
from api.auth.resources import Resource
from api.deployments.approval import WantedApproval, wanted_approval
from api.deployments.ports import DeploymentPortsDep
from api.deployments.schemas import MAX_MILLIS, DeploymentOut, StartRequest, deployment_json
from api.deployments.service import start_deployment
from api.deployments.waiting import with_what_it_waits_for
from api.http.accepted import ACCEPTED
from api.http.answers import PageQuery, Paging, json_answer, pending_headers
from api.http.bodies import json_body
from api.http.ids import DeploymentId, KnownService
from api.temporal.recorded import seen_deployment
from workflows.contracts.audit.events import EventPage, EventQuery
from workflows.contracts.deployments.deployment import (
    DeploymentPage,
    DeploymentQuery,
    DeploymentStatus,
)
from workflows.contracts.deployments.metrics import MetricName, MetricsPage, MetricsQuery, Source
from workflows.contracts.deployments.services import EnvironmentName, ServiceName
from workflows.contracts.errors import FieldError, NotFound, ValidationFailed
from workflows.contracts.fields import CommitSha, GitRef, Millis, ShortLine

router = APIRouter(prefix="/api/dashboard", tags=["deployments"])
_REPLAY = {
    "description": f"The same request was made before with this key: the same deployment. {REPLAY_HEADER}: true.",
    "model": DeploymentOut,
}


class ServiceDeploymentQuery(PageQuery):
    """Which deployments of a service a list shows: those of which all this holds."""

    status: DeploymentStatus | None = None
    branch: GitRef | None = Field(default=None, description="With or without `refs/heads/`.")
    commit: CommitSha | None = Field(default=None, description="The whole SHA.")
    author: Annotated[ShortLine, Field(min_length=1)] | None = Field(
        default=None, description="An address or a name, as the deployment has it."
    )
    waits: bool = Field(default=False, description="Only those that wait: for a person, for their turn, for a time.")


class DeploymentListQuery(ServiceDeploymentQuery):
    """Which deployments a list shows."""

    service_name: ServiceName | None = None


@router.post(
    "/deployments",
    name="start_deployment",
    status_code=201,
    response_model=DeploymentOut,
    responses={200: _REPLAY, **ACCEPTED},
    summary="Deploy a version",
)
async def create_deployment(
    request: Annotated[StartRequest, Depends(json_body(StartRequest))],
    ports: DeploymentPortsDep,
    origin: OriginDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Start it on its way, by the service's definition of now. 201: it is durably started and can be read; 202: its
    record follows.
    """
    try:
        started = await start_deployment(ports, origin, request, key=idempotency_key)
    except NotFound as error:
        field = FieldError(field="service_name", message="is not registered")
        raise ValidationFailed(error.message, [field]) from None
    headers = {"Location": f"{router.prefix}/deployments/{started.deployment.deployment_id}"}
    if started.replayed:
        headers[REPLAY_HEADER] = "true"
    return json_answer(deployment_json(started.deployment), 201 if started.created else 200, headers)


@router.get("/deployments", response_model=DeploymentPage, summary="List deployments, newest first")
async def list_deployments(
    listing: Annotated[DeploymentListQuery, Query()], ports: DeploymentPortsDep, caller: Caller
) -> Response:
    """One page. A page can be short while there are more: go on until ``next_cursor`` is null. ``stopped_early`` says
    that ``looked_at`` were looked at, which is as many as one page may.
    """
    page = await ports.deployments.list(DeploymentQuery(**listing.model_dump()))
    items = within(caller, page.items, lambda item: Resource(service=item.service_name))
    page = page.model_copy(update={"items": items, **unseen(caller)})
    return json_answer(page.model_dump_json().encode())


@router.get(
    "/deployments/service/{name}",
    name="list_deployments_by_service",
    response_model=DeploymentPage,
    summary="List the deployments of a service",
)
@router.get("/services/{name}/deployments", response_model=DeploymentPage, summary="List the deployments of a service")
async def list_deployments_of_service(
    name: KnownService, listing: Annotated[ServiceDeploymentQuery, Query()], ports: DeploymentPortsDep
) -> Response:
    """Newest first. 404 when there is no such service."""
    page = await ports.deployments.list(DeploymentQuery(service_name=name, **listing.model_dump()))
    if not page.items and listing.cursor is None:
        await ports.deployments.service(name)  # raises NotFound
    return json_answer(page.model_dump_json().encode())


@router.get("/deployments/{deployment_id}", response_model=DeploymentOut, summary="Show a deployment")
async def get_deployment(deployment_id: DeploymentId, ports: DeploymentPortsDep) -> Response:
    """Where it stands in each environment; ``waits_for`` says in words what moves it.

    An accepted one that the store has not taken yet is shown as its workflow has it; ``Record-Pending: true`` then.
    """
    seen = await seen_deployment(ports, deployment_id)
    record = await with_what_it_waits_for(ports, seen.record)
    return json_answer(deployment_json(record), headers=pending_headers(recorded=seen.recorded))


@router.get(
    "/deployments/{deployment_id}/approval", response_model=WantedApproval, summary="Show who may approve, and who has"
)
async def get_deployment_approval(
    deployment_id: DeploymentId, ports: DeploymentPortsDep, origin: OriginDep
) -> Response:
    """What the environment where it stands asks of people, and whether the caller's approval would count (``you_may``).
    Whether it does is decided when it is given.
    """
    found = await wanted_approval(ports, origin, (await seen_deployment(ports, deployment_id)).record)
    return json_answer(found.model_dump_json().encode())


class MetricsListQuery(PageQuery):
    """Which samples a list shows: those of which all this holds."""

    environment: EnvironmentName | None = None
    metric: MetricName | None = None
    source: Source | None = None
    since: Millis | None = Field(default=None, le=MAX_MILLIS, description="Epoch milliseconds.")
    until: Millis | None = Field(default=None, le=MAX_MILLIS, description="Epoch milliseconds.")


@router.get("/deployments/{deployment_id}/metrics", response_model=MetricsPage, summary="List samples, newest first")
async def list_deployment_metrics(
    deployment_id: DeploymentId, listing: Annotated[MetricsListQuery, Query()], ports: DeploymentPortsDep
) -> Response:
    """What was reported of the version. How each metric stands is in the deployment's ``metric_rows``."""
    await seen_deployment(ports, deployment_id)  # raises NotFound
    page = await ports.measured.page(MetricsQuery(deployment_id=deployment_id, **listing.model_dump()))
    return json_answer(page.model_dump_json().encode())


@router.get("/deployments/{deployment_id}/events", response_model=EventPage, summary="List what was done, newest first")
async def list_deployment_events(deployment_id: DeploymentId, paging: Paging, ports: DeploymentPortsDep) -> Response:
    """The deployment's audit trail."""
    query = EventQuery(deployment_id=deployment_id, limit=paging.limit, cursor=paging.cursor)
    page = await ports.deployments.events(query)
    if not page.items and paging.cursor is None:
        await ports.deployments.get(deployment_id)  # raises NotFound
    return json_answer(page.model_dump_json().encode())
