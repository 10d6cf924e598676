"""Lanes: what is live, on its way and in line, of all services. Deliberately not here: working it out (``lanes``)."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.auth.guard import Caller, require
from api.auth.reach import within
from api.auth.resources import Resource
from api.environments.lanes import LanePortsDep, lanes_of
from api.http.answers import PageQuery, json_answer
from workflows.contracts.access import Operation
from workflows.contracts.deployments.lanes import LanePage
from workflows.contracts.deployments.services import ServiceName

router = APIRouter(prefix="/api/dashboard", tags=["environments"])


class LaneQuery(PageQuery):
    """Whose lanes."""

    service_name: ServiceName | None = None


@router.get("/lanes", response_model=LanePage, summary="List what is live, on its way and in line")
async def list_lanes(listing: Annotated[LaneQuery, Query()], ports: LanePortsDep, caller: Caller) -> Response:
    """By service, in the order in which a version passes the environments. Archived services are left out, unless one
    is named. A page can be short while there are more. What is expected is worked out from the last few rollouts.
    """
    if listing.service_name is not None:
        require(caller, Operation.READ, service=listing.service_name)
        service = await ports.deployments.service(listing.service_name)
        return json_answer(LanePage(items=await lanes_of(ports, [service])).model_dump_json().encode())
    page = await ports.deployments.services(listing.limit, listing.cursor)
    used = [each for each in page.items if each.archived is None]
    seen = list(within(caller, used, lambda each: Resource(service=each.name)))
    lanes = LanePage(items=await lanes_of(ports, seen), next_cursor=page.next_cursor)
    return json_answer(lanes.model_dump_json().encode())
