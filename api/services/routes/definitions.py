"""A service's definitions: what a document would change before it is applied, and those that there were.

Deliberately not here: applying one (``services``).
"""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from api.http.answers import json_answer
from api.http.bodies import BODY, JSON_MEDIA, YAML_MEDIA, Body
from api.http.errors import ApiError, ProblemCode
from api.http.ids import KnownService
from api.services.checking import checked
from api.services.ports import ServicePorts, ServicePortsDep
from api.services.schemas import DefinitionCheck, ServiceVersion, ServiceVersions
from workflows.contracts.base import Frozen
from workflows.contracts.deployments.services import Service, ServiceName, ServiceSpec
from workflows.contracts.errors import NotFound
from workflows.yaml_text import MAX_YAML_BYTES

router = APIRouter(prefix="/api/dashboard/services/{name}", tags=["services"])
_MEDIA: Final = (JSON_MEDIA, *YAML_MEDIA)


class VersionsQuery(Frozen):
    """Which of them."""

    before: Annotated[int, Field(ge=1, le=10**9)] | None = Field(default=None, description="Older than this version.")
    limit: Annotated[int, Field(ge=1, le=50)] = 20


async def _document(request: Request) -> bytes:
    """As it was sent: what cannot be read is an answer here, and no refusal."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in _MEDIA:
        raise ApiError(ProblemCode.UNSUPPORTED_MEDIA_TYPE, f"Send the document as {JSON_MEDIA} or {YAML_MEDIA[0]}.")
    raw = await request.body()
    if len(raw) > MAX_YAML_BYTES:
        raise ApiError(ProblemCode.TOO_LARGE, f"At most {MAX_YAML_BYTES} bytes of YAML are taken here.")
    return raw


setattr(_document, BODY, Body(ServiceSpec, media=(JSON_MEDIA, YAML_MEDIA[0])))


@router.post("/check", response_model=DefinitionCheck, summary="Check a service's definition and change nothing")
async def check_definition(
    name: Annotated[ServiceName, Path()], raw: Annotated[bytes, Depends(_document)], ports: ServicePortsDep
) -> Response:
    """Every error with the line where it stands; without any, the difference to the present definition. Besides the
    fields of a service the document may say its `name`.
    """
    try:
        present = await ports.deployments.service(name)
    except NotFound:
        present = None
    found = await checked(raw, name, present, ports.pool_rules)
    return json_answer(found.model_dump_json().encode())


@router.get("/versions", response_model=ServiceVersions, summary="List a service's definitions, newest first")
async def list_versions(
    name: KnownService, which: Annotated[VersionsQuery, Query()], ports: ServicePortsDep
) -> Response:
    """When each was applied and by whom. ``GET …/services/{name}?version=N`` has what it says."""
    present = await ports.deployments.service(name)
    first = present.version if which.before is None else min(present.version, which.before - 1)
    last = max(first - which.limit, 0)
    found = await asyncio.gather(*(_version(ports, name, n) for n in range(first, last, -1)))
    items = [
        ServiceVersion(version=each.version, updated_at=each.updated_at, updated_by=each.updated_by)
        for each in found
        if each is not None
    ]
    page = ServiceVersions(items=items, next_before=last + 1 if last else None)
    return json_answer(page.model_dump_json().encode())


async def _version(ports: ServicePorts, name: str, version: int) -> Service | None:
    """None: it is not kept any more."""
    try:
        return await ports.deployments.service(name, version)
    except NotFound:
        return None
