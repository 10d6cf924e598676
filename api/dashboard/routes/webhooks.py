"""What webhooks brought, what it did or why nothing, and doing it again."""

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import chosen, form_of, page, see
from api.dashboard.inside import Inside, RefusedByApi
from api.http.problems import Problem
from workflows.contracts.deployments.deliveries import DeliveryPage

router = APIRouter(include_in_schema=False)
_FILTERS: Final = ("provider", "service_name", "outcome", "cursor")


@router.get("/webhooks")
async def webhooks(request: Request) -> Response:
    """What came, and what it did or why nothing; filters stand in the address."""
    return await _webhooks_page(request)


@router.post("/webhooks/{delivery_id}/replay")
async def replay(request: Request, delivery_id: str) -> Response:
    """Once more, by the rules of now and with the rights of the tool that sent it."""
    form = await form_of(request)
    try:
        await Inside(request).send("POST", f"/api/webhooks/deliveries/{delivery_id}/replay", {}, csrf=form["csrf"])
    except RefusedByApi as refused:
        return await _webhooks_page(request, problem=refused.problem)
    return see(request, "/webhooks")


async def _webhooks_page(request: Request, *, problem: Problem | None = None) -> Response:
    query = chosen(request, *_FILTERS)
    found = await (api := Inside(request)).get("/api/webhooks/deliveries", DeliveryPage, query)
    status = 200 if problem is None else problem.status
    filters = _FILTERS[:-1]
    return page(
        request,
        "trail/webhooks.html",
        api=api,
        status=status,
        found=found,
        query=query,
        filters=filters,
        problem=problem,
    )
