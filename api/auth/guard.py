"""The one dependency that guards every route: who is asking, and may they do what the route is for?

In this order: a known caller (401), whose grants allow the route's operation somewhere (403), who is a registered agent
where one speaks for itself (403), and for what the request is about when these grants are limited to services or pools
(403). What a body names its route checks: ``require``.
Deliberately not here: what each route asks for (``permissions``), how a caller is known (``authenticator``).
"""

from collections.abc import Iterable
from typing import Annotated, Any, Final

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from api.auth.cookies import presented as session_of
from api.auth.csrf import require_csrf
from api.auth.permissions import CHANGES_NOTHING, CHECKED_INSIDE, REGISTERING, ROUTES, Open
from api.auth.ports import AuthPorts
from api.auth.principal import Principal
from api.auth.resources import Resource, resource_of
from api.http.errors import ApiError, ProblemCode
from api.ports import services_of
from workflows.contracts.access import ROLE_OPERATIONS, Grant, Operation
from workflows.contracts.errors import Unavailable

_KEY_HINT: Final = (
    "Send the header 'Authorization: Bearer <key>'. `hybridci up` writes the local admin key to admin.key in its data"
    " directory; elsewhere an admin makes you one with `hybridci key create`."
)
_bearer = HTTPBearer(auto_error=False, description="An API key, or a token that was handed out for a short time.")


class Guard:
    """Lets in who may. Raises ApiError unauthorized (401), forbidden (403) or too_many_requests (429)."""

    async def __call__(
        self, request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Principal | None:
        """The caller; None on a route that is open."""
        route = route_name(request)
        need = ROUTES[route]
        if need in {Open.PUBLIC, Open.SIGNED}:
            return None
        ports = services_of(request)
        principal = await _known(request, ports, credentials)
        if request.scope.get("inside", 1) == 1:  # of what a page asks, the first counts
            ports.authenticator.limits.count(principal, request.method)
        request.scope["principal"] = principal
        if isinstance(need, Operation):
            await _authorize(request, ports, route, need, principal)
        return principal


async def caller(request: Request) -> Principal:
    """Who is asking, on a guarded route."""
    principal = request.scope["principal"]
    if not isinstance(principal, Principal):
        raise TypeError("this route is not guarded")
    return principal


Caller = Annotated[Principal, Depends(caller)]
_GUARD: Final = Guard()
GUARD: Final[Any] = Depends(_GUARD)


async def admit(request: Request) -> Principal | None:
    """The same for a route that reads its request without the framework's dependencies. Raises as the guard does."""
    return await _GUARD(request, await _bearer(request))


async def still_known(request: Request, ports: AuthPorts) -> bool:
    """Whether what a long answer was asked with is still good. Costs no read most of the time.

    True also when nobody can tell: it is asked again with the next sign of life.
    """
    credentials = await _bearer(request)
    presented = session_of(request) if credentials is None else credentials.credentials
    address = request.client.host if request.client is not None else None
    try:
        return presented is not None and await ports.authenticator.principal(presented, address=address) is not None
    except (Unavailable, ApiError):
        return True


def require(principal: Principal, operation: Operation, *, service: str | None = None, pool: str | None = None) -> None:
    """Let the caller do this for what has this service and this pool (None: it has none).

    Raises ApiError forbidden, saying what the caller's grants reach.
    """
    if principal.unlimited(operation):
        return
    if (service is None and pool is None) or not principal.may(operation, service=service, pool=pool):
        raise _out_of_reach(principal, operation, Resource(service=service, pool=pool))


def route_name(request: Request) -> str:
    """How ``permissions.ROUTES`` names the route of this request."""
    return f"{request.scope['method']} {request.scope['route'].path}"


async def _known(request: Request, ports: AuthPorts, credentials: HTTPAuthorizationCredentials | None) -> Principal:
    address = request.client.host if request.client is not None else None
    presented = session_of(request) if credentials is None else credentials.credentials
    if presented is None:
        raise _unauthorized(f"No key was sent. {_KEY_HINT}")
    principal = await ports.authenticator.principal(presented, address=address)
    if principal is None:
        raise _unauthorized(f"This key is not known here, has expired or was revoked. {_KEY_HINT}")
    if credentials is None and route_name(request) not in CHANGES_NOTHING:
        require_csrf(request, principal.csrf_digest, public_url=ports.sign_in.public_url)
    return principal


async def _authorize(
    request: Request, ports: AuthPorts, route: str, operation: Operation, principal: Principal
) -> None:
    if not principal.may(operation):
        raise _not_allowed(principal, operation)
    if operation is Operation.AGENT_WORK and principal.agent_id is None and route not in REGISTERING:
        raise _only_registered(principal)
    if route not in CHECKED_INSIDE:
        await require_what_is_asked(request, ports, operation, principal)


async def require_what_is_asked(request: Request, ports: AuthPorts, operation: Operation, principal: Principal) -> None:
    """Let the caller do this for what the request is about. Raises ApiError forbidden, NotFound, Unavailable."""
    if principal.unlimited(operation):
        return
    resource = await resource_of(request, ports, principal)
    if resource is None:
        raise _only_everywhere(principal, operation)
    if not principal.may(operation, service=resource.service, pool=resource.pool) or resource == Resource():
        raise _out_of_reach(principal, operation, resource)


def require_everywhere(principal: Principal, operation: Operation) -> None:
    """Let the caller do what concerns all services and pools. Raises ApiError forbidden."""
    if not principal.may(operation):
        raise _not_allowed(principal, operation)
    if not principal.unlimited(operation):
        raise _only_everywhere(principal, operation)


def _not_allowed(principal: Principal, operation: Operation) -> ApiError:
    roles = " or ".join(role for role, operations in ROLE_OPERATIONS.items() if operation in operations)
    has = ", ".join(dict.fromkeys(_words(grant) for grant in principal.grants)) or "no role"
    return ApiError(
        ProblemCode.FORBIDDEN, f"This needs {operation}, which the role {roles} has; {principal.id} has {has}."
    )


def _only_registered(principal: Principal) -> ApiError:
    return ApiError(
        ProblemCode.FORBIDDEN,
        f"{principal.id} may register agents, and speaks for none of them. Register with POST /api/agents/register and"
        " send the token that it answers.",
    )


def _only_everywhere(principal: Principal, operation: Operation) -> ApiError:
    return ApiError(
        ProblemCode.FORBIDDEN,
        f"This concerns all services and pools, and {principal.id} may do {operation} only for"
        f" {_reach(principal, operation)}. Ask for one of these (by `service_name` or `pool`, where the address takes"
        " it), or use a key without limits.",
    )


def _out_of_reach(principal: Principal, operation: Operation, resource: Resource) -> ApiError:
    return ApiError(
        ProblemCode.FORBIDDEN,
        f"{principal.id} may do {operation} only for {_reach(principal, operation)}; this is {resource}.",
    )


def _reach(principal: Principal, operation: Operation) -> str:
    grants = [grant for grant in principal.grants if grant.allows(operation)]
    return " or ".join(dict.fromkeys(_limits(grant) for grant in grants)) or "nothing"


def _words(grant: Grant) -> str:
    narrowed = "" if grant.operations is None else f" for {_some(grant.operations)} only"
    return f"{grant.role}{narrowed}"


def _limits(grant: Grant) -> str:
    parts = [f"{what} {_some(names)}" for what, names in (("service", grant.services), ("pool", grant.pools)) if names]
    return " in ".join(parts) or "everything"


def _some(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:10]) + (", …" if len(found) > 10 else "")


def _unauthorized(detail: str) -> ApiError:
    return ApiError(ProblemCode.UNAUTHORIZED, detail, headers={"WWW-Authenticate": 'Bearer realm="hybridci"'})
