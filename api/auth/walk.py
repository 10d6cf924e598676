"""Walks all routes of an application, for the check at start and for the test of the table in docs/access.md."""

from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.auth.permissions import ROUTES


def route_names(app: FastAPI) -> Iterator[str]:
    """Each route as ``permissions.ROUTES`` names it."""
    for route in iter_route_contexts(app.routes):
        for method in sorted(route.methods or {"MOUNT"}):
            if method != "HEAD":
                yield f"{method} {route.path}"


def require_complete(app: FastAPI) -> None:
    """Raises RuntimeError for a route of which ``permissions.ROUTES`` does not say who may call it."""
    missing = sorted(set(route_names(app)) - ROUTES.keys())
    if missing:
        raise RuntimeError(f"api/auth/permissions.py does not say who may call {', '.join(missing)}: add it there.")
