"""What signing in and out needs."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.auth.ports import AuthPorts
from api.ports import HasAudit, provided


class SignInPorts(AuthPorts, HasAudit, Protocol):
    """Sessions, tokens and their trail."""


SignInPortsDep = Annotated[SignInPorts, Depends(provided)]
