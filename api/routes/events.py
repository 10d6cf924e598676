"""The audit trail: who did what when, from where, why. Append-only; nothing here writes it."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.deps import ServicesDep
from api.routes.common import PageQuery, json_answer
from workflows.contracts.deployments import EventPage, EventQuery
from workflows.contracts.fields import ShortLine
from workflows.contracts.services import ServiceName

router = APIRouter(tags=["events"])


class EventListQuery(PageQuery):
    """Whose events; those of a deployment are chosen before those of a service."""

    service_name: ServiceName | None = None
    deployment_id: ShortLine | None = None


@router.get("/api/events", response_model=EventPage, summary="List what was done, newest first")
async def list_events(listing: Annotated[EventListQuery, Query()], services: ServicesDep) -> Response:
    """All events, or those of a service or of a deployment."""
    page = await services.deployments.events(EventQuery(**listing.model_dump()))
    return json_answer(page.model_dump_json().encode())
