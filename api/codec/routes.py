"""The codec's endpoint for the Temporal UI and CLI: payloads in, payloads out, readable for those who may.

The protocol is Temporal's (docs.temporal.io, "codec server"). Deliberately not here: the codec
(``workflows.payloads.codec``).
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from pydantic import Field
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from temporalio.api.common.v1 import Payloads
from temporalio.converter import PayloadCodec

from api.codec.ports import CodecPorts, CodecPortsDep
from api.http.answers import json_answer
from workflows.contracts.base import Frozen
from workflows.contracts.errors import FieldError, NotFound, ValidationFailed
from workflows.payloads.errors import UnreadablePayload

PREFIX: Final = "/api/codec"


class AskedByUi(Frozen):
    """What the Temporal UI sends with every question. Without effect: no payload is kept outside Temporal."""

    preserve_storage_refs: bool = Field(default=False, alias="preserveStorageRefs")


async def asked_by_ui(_: Annotated[AskedByUi, Query()]) -> None:
    """Takes it, and refuses what the UI does not send."""


router = APIRouter(prefix=PREFIX, tags=["codec"], dependencies=[Depends(asked_by_ui)])
_PAYLOADS: Final[dict[str, Any]] = {
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {"payloads": {"type": "array", "items": {"type": "object"}}},
            "required": ["payloads"],
        },
        "example": {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "e30="}]},
    }
}
_BODY: Final[dict[str, Any]] = {"requestBody": {"required": True, "content": _PAYLOADS}}
_ANSWER: Final[dict[int | str, dict[str, Any]]] = {200: {"description": "The payloads.", "content": _PAYLOADS}}


@router.post("/decode", openapi_extra=_BODY, responses=_ANSWER, summary="Payloads in clear")
async def decode_payloads(request: Request, ports: CodecPortsDep) -> Response:
    """What the Temporal UI asks to show sealed payloads."""
    codec, payloads = _codec(ports), _read(await request.body())
    try:
        return _answer(await codec.decode(payloads.payloads))
    except UnreadablePayload as error:
        raise _invalid(str(error)) from error


@router.post("/encode", openapi_extra=_BODY, responses=_ANSWER, summary="Payloads sealed")
async def encode_payloads(request: Request, ports: CodecPortsDep) -> Response:
    """What the Temporal UI and CLI ask before they send something to a workflow."""
    codec, payloads = _codec(ports), _read(await request.body())
    return _answer(await codec.encode(payloads.payloads))


class CodecCors:
    """Lets pages of the Temporal UI's origin, and no others, ask these routes, with the signed-in person's cookie."""

    def __init__(self, app: ASGIApp, *, origin: str) -> None:
        self._app = app
        self._cors = CORSMiddleware(
            app,
            allow_origins=[origin],
            allow_methods=["POST"],
            allow_headers=["authorization", "content-type", "x-namespace", "x-csrf-token"],
            allow_credentials=True,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As any ASGI application."""
        ours = scope["type"] == "http" and scope["path"].startswith(f"{PREFIX}/")
        await (self._cors if ours else self._app)(scope, receive, send)


def _codec(ports: CodecPorts) -> PayloadCodec:
    if ports.codec is None:
        raise NotFound("No payload codec is in use here: HYBRIDCI_CODEC_KEYS_FILE is not set, payloads are readable.")
    return ports.codec


def _read(body: bytes) -> Payloads:
    try:
        return Parse(body, Payloads())
    except (ParseError, ValueError, RecursionError) as error:
        raise _invalid(f"is not Temporal's Payloads message as JSON ({type(error).__name__})") from None


def _answer(payloads: list[Any]) -> Response:
    return json_answer(MessageToJson(Payloads(payloads=payloads), indent=None).encode())


def _invalid(message: str) -> ValidationFailed:
    return ValidationFailed("The payloads cannot be used.", [FieldError(field="payloads", message=message)])
