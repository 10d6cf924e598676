"""What ``api.openapi``, ``api.commands.answers`` and ``api.http.metrics`` read of FastAPI's routes.

All three ask with a default, so that an upgrade which moves these would lose bodies from the documentation, refuse good
parameters, or count all requests as ``unmatched``. When one fails: find where FastAPI keeps it now.
"""

from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Depends, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.requests import Request


def reader() -> str:
    return "read"


def app_and_seen() -> tuple[FastAPI, list[Any]]:
    seen: list[Any] = []
    router = APIRouter(prefix="/api")

    @router.get("/things/{name}")
    async def thing(request: Request, name: str, body: Annotated[str, Depends(reader)], limit: int = 1) -> str:  # pyright: ignore[reportUnusedFunction]
        seen.append(request.scope["route"])
        return name

    app = FastAPI()
    app.include_router(router)
    return app, seen


async def test_a_request_has_its_route_with_path_and_dependencies() -> None:
    app, seen = app_and_seen()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        assert (await client.get("/api/things/a")).json() == "a"
    (route,) = seen
    assert route.path == "/api/things/{name}"
    assert isinstance(route.dependant, Dependant)
    assert [field.name for field in route.dependant.query_params] == ["limit"]
    assert [inner.call for inner in route.dependant.dependencies] == [reader]


def test_all_routes_can_be_walked_with_their_dependencies() -> None:
    app, _ = app_and_seen()
    found: list[Any] = [each for each in iter_route_contexts(app.routes) if each.path_format == "/api/things/{name}"]
    (context,) = found
    assert context.methods == {"GET"}
    assert [inner.call for inner in context.dependant.dependencies] == [reader]
