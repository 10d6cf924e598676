"""``POST /api/webhooks/{provider}``: other tools tell what happened. Their signature is the key, not an API key."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from api.deps import ServicesDep
from api.idempotency import REPLAY_HEADER
from api.routes.common import json_answer
from api.webhooks.actions import Effects
from api.webhooks.effects import ApiEffects, registered_services
from api.webhooks.receive import Head, Webhooks

router = APIRouter(prefix="/api/webhooks", tags=["webhooks"])


async def provide_webhooks(request: Request) -> Webhooks:
    """The providers of the process that handles this request."""
    webhooks = request.app.state.webhooks
    if not isinstance(webhooks, Webhooks):
        raise TypeError("the application was started without webhooks")
    return webhooks


WebhooksDep = Annotated[Webhooks, Depends(provide_webhooks)]


@router.post(
    "/{provider}",
    status_code=202,
    response_class=Response,
    responses={
        202: {
            "description": "`status` is accepted, ignored or refused; `reason` and `message` say why, `actions` what "
            "was done, with ids and addresses. Idempotent-Replay: true when the delivery was answered before.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        401: {"description": "The signature is missing, wrong or too old."},
        404: {"description": "There is no such provider, or it has no secret."},
    },
    summary="Receive a webhook",
)
async def receive_webhook(provider: str, request: Request, services: ServicesDep, webhooks: WebhooksDep) -> Response:
    """Verified over the raw bytes by the provider's manifest, before anything is read.

    Repeating a delivery is safe: it gets the same answer, and nothing is started twice.
    """
    address = request.client.host if request.client else None

    def effects(name: str) -> Effects:
        return ApiEffects(services, name, address)

    received = await webhooks.receive(
        provider, _head(request), request.body, effects, lambda: registered_services(services)
    )
    headers = {REPLAY_HEADER: "true"} if received.replayed else None
    return json_answer(received.body, received.status, headers)


def _head(request: Request) -> Head:
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return Head(headers, request.scope["query_string"])
