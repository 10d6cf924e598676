"""The one dependency that guards every route: no key, no entry.

Routers are included with ``ADMIN`` or ``AGENT`` in ``api.app``; a test walks all routes for one that has neither.
"""

from typing import Annotated, Any, Final

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from api.auth.keys import Principal, Role
from api.deps import services_of
from api.errors import ApiError, ProblemCode

_KEY_HINT: Final = (
    "Send the header 'Authorization: Bearer <key>'. `hybridci up` writes the local admin key to admin.key in its data"
    " directory; elsewhere it is what HYBRIDCI_ADMIN_KEY of the API says."
)
_bearer = HTTPBearer(auto_error=False, description="The admin key, or an agent's key for what its attempts deliver.")


class Guard:
    """Lets in the keys of the given roles. Raises ApiError unauthorized (401) or forbidden (403)."""

    def __init__(self, *roles: Role) -> None:
        self.roles = frozenset(roles)

    async def __call__(
        self, request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Principal:
        """The caller."""
        if credentials is None:
            raise _unauthorized(f"No key was sent. {_KEY_HINT}")
        principal = services_of(request).keys.principal(credentials.credentials)
        if principal is None:
            raise _unauthorized(f"This key is not known here. {_KEY_HINT}")
        if principal.role not in self.roles:
            needed = " or ".join(sorted(self.roles))
            raise ApiError(
                ProblemCode.FORBIDDEN, f"A key of role {principal.role} may not do this; use one of role {needed}."
            )
        request.scope["principal"] = principal
        return principal


async def caller(request: Request) -> Principal:
    """Who is asking, on a guarded route."""
    principal = request.scope["principal"]
    if not isinstance(principal, Principal):
        raise TypeError("this route is not guarded")
    return principal


Caller = Annotated[Principal, Depends(caller)]
ADMIN: Final[Any] = Depends(Guard(Role.ADMIN))
AGENT: Final[Any] = Depends(Guard(Role.ADMIN, Role.AGENT))


def _unauthorized(detail: str) -> ApiError:
    return ApiError(ProblemCode.UNAUTHORIZED, detail, headers={"WWW-Authenticate": 'Bearer realm="hybridci"'})
