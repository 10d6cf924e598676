"""``/api/webhooks/deliveries``: what other tools sent here, what it did or why nothing, and doing it once more.

For whoever operates: bodies hold names and addresses of people. Who reaches some services only sees deliveries that are
about these and no others.
"""

import asyncio
from collections.abc import Iterable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from activities.events.trail import noted
from api.auth.guard import Caller, require
from api.auth.origin import OriginDep
from api.auth.principal import Principal
from api.http.answers import json_answer
from api.http.bodies import json_body
from api.webhooks.history.replaying import planned_again
from api.webhooks.history.schemas import (
    DeliveredNow,
    DeliveryListOut,
    DeliveryListQuery,
    DeliveryOut,
    ProviderOut,
    ProvidersOut,
    ReplayRequest,
)
from api.webhooks.keeping import day_of
from api.webhooks.ports import WebhookPorts, WebhookPortsDep
from api.webhooks.secrets import secret_variable
from api.webhooks.surroundings import WebhooksDep, around
from workflows.contracts.access import Operation
from workflows.contracts.audit.details import WebhookReplayed
from workflows.contracts.deployments.deliveries import DeliveredAction, DeliveryQuery, KeptDelivery
from workflows.contracts.errors import NotFound
from workflows.contracts.ids import is_uuid

providers = APIRouter(prefix="/api/webhooks", tags=["webhooks"])
"""What is set up; nothing of it is about one service."""
router = APIRouter(prefix="/api/webhooks/deliveries", tags=["webhooks"])
_AT_ONCE: Final = 8


@providers.get("/providers", response_model=ProvidersOut, summary="List the tools")
async def list_providers(webhooks: WebhooksDep) -> Response:
    """That can send webhooks here, with the address that each of them is given. No secret is told."""
    items = [
        ProviderOut(
            name=each.name,
            title=each.manifest.title,
            path=f"{providers.prefix}/{each.name}",
            configured=webhooks.is_configured(each.name),
            secret_variable=secret_variable(each.name),
            events=list(dict.fromkeys(event for rule in each.manifest.rules for event in rule.on)),
            actions=list(dict.fromkeys(rule.action.value for rule in each.manifest.rules)),
            docs=each.manifest.docs or "",
        )
        for each in sorted(webhooks.providers.values(), key=lambda each: each.name)
    ]
    return json_answer(ProvidersOut(items=items).model_dump_json().encode())


@router.get("", response_model=DeliveryListOut, summary="List what webhooks sent, newest first")
async def list_deliveries(
    listing: Annotated[DeliveryListQuery, Query()], ports: WebhookPortsDep, caller: Caller
) -> Response:
    """One page, without bodies. A page can be short while there are more: go on until ``next_cursor`` is null."""
    store = ports.webhook_deliveries
    page = await store.list(DeliveryQuery(**listing.model_dump()))
    seen = [each for each in page.items if _reached(caller, Operation.WEBHOOKS_READ, each.services)]
    everywhere = caller.unlimited(Operation.WEBHOOKS_READ)
    answer = DeliveryListOut(
        items=await _shown(ports, seen),
        next_cursor=page.next_cursor,
        stopped_early=page.stopped_early,
        looked_at=page.looked_at if everywhere else None,
        not_genuine=await store.refused(day_of(ports.clock())) if everywhere else None,
    )
    return json_answer(answer.model_dump_json().encode())


@router.get("/{delivery_id}", response_model=DeliveryOut, summary="Show what a webhook sent")
async def get_delivery(delivery_id: str, ports: WebhookPortsDep, caller: Caller) -> Response:
    """With its body, where that is kept; ``body_note`` says why it is not."""
    known = await _known(ports, caller, Operation.WEBHOOKS_READ, delivery_id)
    body = await ports.webhook_deliveries.body(delivery_id) if known.body_kept else None
    (shown,) = await _shown(ports, [known])
    text = None if body is None else body.decode("utf-8", "replace")
    return json_answer(shown.model_copy(update={"body": text}).model_dump_json().encode())


@router.post(
    "/{delivery_id}/replay",
    responses={
        200: {
            "description": "What a new delivery would be answered: `status`, `reason`, `message` and `actions`.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    },
    summary="Do once more what a webhook asked for",
)
async def replay_delivery(
    delivery_id: str,
    asked: Annotated[ReplayRequest, Depends(json_body(ReplayRequest, optional=True))],
    request: Request,
    ports: WebhookPortsDep,
    webhooks: WebhooksDep,
    origin: OriginDep,
) -> Response:
    """By the rules of now and with the rights of the tool that sent it. What it has started is not started twice,
    unless ``start_again`` asks for it and that has ended. What people decided elsewhere is not replayed. Who has it
    replayed counts as the starter of what it starts, and approves none of it.
    """
    caller, operation = origin.caller, Operation.WEBHOOKS_REPLAY
    known = await _known(ports, caller, operation, delivery_id)
    body = await ports.webhook_deliveries.body(delivery_id) if known.body_kept else None
    replay = await planned_again(webhooks, known, body, around(ports, request, caller.bearer)(known.provider))
    for service in replay.services:
        require(caller, operation, service=service)
    if replay.starts_jobs:
        require(caller, operation)
    # Told before it is done: whatever comes of it has events of its own.
    told = WebhookReplayed(
        provider=known.provider, told=known.event, delivery=known.delivery, kept_as=delivery_id, again=asked.start_again
    )
    why = f"Delivery {delivery_id} is replayed."
    await ports.audit.append(noted(told, origin.who(asked.reason), ports.clock(), why))
    answer = await replay.do(start_again=asked.start_again)
    return json_answer(answer.body)


async def _known(ports: WebhookPorts, caller: Principal, operation: Operation, delivery_id: str) -> KeptDelivery:
    """Raises NotFound, also for one out of reach: that it is there is nobody else's business."""
    known = await ports.webhook_deliveries.get(delivery_id) if is_uuid(delivery_id) else None
    if known is None or not _reached(caller, operation, known.services):
        raise NotFound(
            f"There is no delivery {delivery_id[:64]!r} for {caller.id}: `hybridci webhook deliveries` shows those that"
            " are kept."
        )
    return known


def _reached(caller: Principal, operation: Operation, services: Iterable[str]) -> bool:
    if caller.unlimited(operation):
        return True
    named = list(services)
    return bool(named) and all(caller.may(operation, service=service) for service in named)


async def _shown(ports: WebhookPorts, kept: Iterable[KeptDelivery]) -> list[DeliveryOut]:
    slots = asyncio.Semaphore(_AT_ONCE)

    async def now(action: DeliveredAction) -> DeliveredNow:
        status: str | None = None
        if action.deployment_id is not None:
            async with slots:
                try:
                    status = (await ports.deployments.get(action.deployment_id)).status.value
                except NotFound:
                    status = None
        return DeliveredNow(**action.model_dump(), now=status)

    async def one(delivery: KeptDelivery) -> DeliveryOut:
        actions = await asyncio.gather(*(now(action) for action in delivery.actions))
        return DeliveryOut.model_validate({**delivery.model_dump(), "actions": actions})

    return list(await asyncio.gather(*(one(delivery) for delivery in kept)))
