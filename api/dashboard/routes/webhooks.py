"""What webhooks brought, what it did or why nothing, and doing it again; which tools can send here."""

import asyncio
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import Fields, chosen, form_of, page, see
from api.dashboard.inside import Inside, RefusedByApi
from api.http.problems import Problem
from api.webhooks.history.schemas import DeliveryListOut, DeliveryOut, ProvidersOut
from workflows.contracts.deployments.deliveries import DeliveryOutcome

router = APIRouter(include_in_schema=False)
_DELIVERIES: Final = "/api/webhooks/deliveries"
_FILTERS: Final = ("provider", "service_name", "outcome", "cursor")


@router.get("/webhooks")
async def webhooks(request: Request) -> Response:
    """What came, and what it did or why nothing; filters stand in the address."""
    return await _webhooks_page(request)


@router.get("/webhooks/{delivery_id}")
async def delivery(request: Request, delivery_id: str) -> Response:
    """One of them, with its body where it is kept."""
    return await _delivery_page(request, delivery_id)


@router.post("/webhooks/{delivery_id}/replay")
async def replay(request: Request, delivery_id: str) -> Response:
    """Once more, by the rules of now and with the rights of the tool that sent it."""
    form = await form_of(request)
    body: dict[str, object] = {"reason": form["reason"]} if form["reason"] else {}
    if form["start_again"]:
        body["start_again"] = True
    try:
        await Inside(request).send("POST", f"{_DELIVERIES}/{delivery_id}/replay", body, csrf=form["csrf"])
    except RefusedByApi as refused:
        if refused.problem.status in {401, 403, 404}:
            raise
        return await _delivery_page(request, delivery_id, problem=refused.problem, filled=form)
    return see(request, f"/webhooks/{delivery_id}")


async def _delivery_page(
    request: Request, delivery_id: str, *, problem: Problem | None = None, filled: Fields | None = None
) -> Response:
    api = Inside(request)
    found = await api.get(f"{_DELIVERIES}/{delivery_id}", DeliveryOut)
    status = 200 if problem is None else problem.status
    return page(
        request, "trail/delivery.html", api=api, status=status, each=found, problem=problem, filled=filled or Fields()
    )


async def _webhooks_page(request: Request, *, problem: Problem | None = None) -> Response:
    api, query = Inside(request), chosen(request, *_FILTERS)
    found, providers = await asyncio.gather(
        api.get(_DELIVERIES, DeliveryListOut, query),
        api.get("/api/webhooks/providers", ProvidersOut),
    )
    return page(
        request,
        "trail/webhooks.html",
        api=api,
        status=200 if problem is None else problem.status,
        found=found,
        query=query,
        providers=providers.items,
        outcomes=[each.value for each in DeliveryOutcome],
        site=str(request.base_url).rstrip("/"),
        problem=problem,
    )
