"""A route without the framework's dependencies, for the one request that comes hundreds of times a second.

Resolving them costs twice what a heartbeat's own work does. Such a route calls the guard and reads its body itself, in
the order in which all others do; the documentation and the table of permissions know it like any other.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.auth.guard import admit
from api.http.answers import refuse_parameters
from api.http.bodies import BODY

F = TypeVar("F", bound=Callable[..., Awaitable[Response]])


class LeanRoute(APIRoute):
    """Its endpoint takes the request and what the path names, as text, and nothing else."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's own hook for this."""
        endpoint: Callable[..., Awaitable[Response]] = self.endpoint

        async def handle(request: Request) -> Response:
            await admit(request)
            await refuse_parameters(request)
            return await endpoint(request, **request.path_params)

        return handle


def reads(reader: Callable[[Request], Awaitable[Any]]) -> Callable[[F], F]:
    """Tell the documentation what body an endpoint reads, by the ``json_body`` that it reads it with."""

    def mark(endpoint: F) -> F:
        setattr(endpoint, BODY, getattr(reader, BODY))
        return endpoint

    return mark
