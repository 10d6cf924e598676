"""What ``api.agents.lean`` relies on in FastAPI, and whether it is still needed.

When one fails after an upgrade: the first, that FastAPI builds routes without ``get_route_handler`` or runs the
dependencies all the same; the second, that a route in FastAPI's own way costs about as much: then ``LeanRoute`` may go,
and the heartbeat becomes a route like any other. ``hybridci bench`` says what that is worth.
"""

import cProfile
import pstats
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.agents import lean
from api.agents.lean import LeanRoute

Dependency = Callable[[Request], Awaitable[object]]


async def nothing(_: Request) -> None: ...


def app_with(route: type[APIRoute], endpoint: Callable[..., Awaitable[Response]], guards: list[Dependency]) -> FastAPI:
    router = APIRouter(route_class=route)
    dependencies = [Depends(guard) for guard in guards]
    router.add_api_route("/agents/{agent_id}", endpoint, methods=["POST"], dependencies=dependencies)
    app = FastAPI()
    app.include_router(router)
    return app


async def posted(app: FastAPI) -> str:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        return (await client.post("/agents/a1")).text


async def test_ours_is_asked_for_the_handler_and_no_dependency_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def noted(name: str) -> Dependency:
        async def note(_: Request) -> None:
            calls.append(name)

        return note

    async def endpoint(request: Request, agent_id: str) -> Response:
        calls.append("endpoint")
        return Response(agent_id)

    monkeypatch.setattr(lean, "admit", noted("admit"))
    monkeypatch.setattr(lean, "refuse_parameters", noted("parameters"))
    assert await posted(app_with(LeanRoute, endpoint, [noted("dependency")])) == "a1"
    assert calls == ["admit", "parameters", "endpoint"]


async def test_fastapis_own_way_still_costs_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in calls of Python functions, which are the same in every run."""

    async def plain(request: Request, agent_id: str, body: Annotated[object, Depends(nothing)]) -> Response:
        return Response(agent_id)

    async def endpoint(request: Request, agent_id: str) -> Response:
        return Response(agent_id)

    monkeypatch.setattr(lean, "admit", nothing)
    monkeypatch.setattr(lean, "refuse_parameters", nothing)
    usual = await calls_of(app_with(APIRoute, plain, [nothing, nothing]))
    ours = await calls_of(app_with(LeanRoute, endpoint, []))
    assert usual > 1.5 * ours, (usual, ours)


async def calls_of(app: FastAPI) -> int:
    """Below the HTTP client: what is called between the application's first line and its answer."""
    scope: dict[str, Any] = {
        "type": "http", "method": "POST", "path": "/agents/a1", "raw_path": b"/agents/a1", "query_string": b"",
        "headers": [], "http_version": "1.1", "scheme": "http", "server": ("api", 80), "client": ("a", 1),
        "root_path": "", "asgi": {"version": "3.0"},
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(dict(scope), receive, send)  # the first request builds what all share
    profile = cProfile.Profile()
    with profile:
        await app(dict(scope), receive, send)
    assert [message.get("status") for message in sent] == [200, None] * 2
    calls: Any = vars(pstats.Stats(profile))["total_calls"]
    return int(calls)
