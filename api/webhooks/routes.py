"""``POST /api/webhooks/{provider}``: other tools tell what happened. Their signature is the key, not an API key."""

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.auth.idempotency import REPLAY_HEADER
from api.http.answers import json_answer
from api.http.errors import PROBLEM_MEDIA_TYPE
from api.webhooks.payloads import FORM
from api.webhooks.ports import WebhookPortsDep
from api.webhooks.receive import Head
from api.webhooks.surroundings import WebhooksDep, around

router = APIRouter(prefix="/api/webhooks", tags=["webhooks"])


_PROBLEM: Final = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_ANSWER: Final = {"application/json": {"schema": {"type": "object"}}}


@router.post(
    "/{provider}",
    status_code=202,
    response_class=Response,
    responses={
        202: {
            "description": "`status` is accepted, ignored or refused; `reason` and `message` say why, `actions` what "
            "was done, with ids and addresses. Idempotent-Replay: true when the delivery was answered before.",
            "content": _ANSWER,
        },
        200: {"description": "The same, for tools that take any other status for a failure.", "content": _ANSWER},
        401: {"description": "The signature is missing, wrong or too old.", "content": _PROBLEM},
        404: {"description": "There is no such provider, or it has no secret.", "content": _PROBLEM},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"type": "object"},
                    "example": {"ref": "refs/heads/main", "after": "9f1c2d3e"},
                },
                FORM: {"schema": {"type": "object"}, "example": {"payload": "{}"}},
            },
        }
    },
    summary="Receive a webhook",
)
async def receive_webhook(provider: str, request: Request, ports: WebhookPortsDep, webhooks: WebhooksDep) -> Response:
    """Verified over the raw bytes by the provider's manifest, before anything is read.

    Repeating a delivery is safe: it gets the same answer, and nothing is started twice.
    """
    received = await webhooks.receive(provider, _head(request), request.body, around(ports, request))
    headers = {REPLAY_HEADER: "true"} if received.replayed else None
    return json_answer(received.body, received.status, headers)


def _head(request: Request) -> Head:
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return Head(headers, request.scope["query_string"])
