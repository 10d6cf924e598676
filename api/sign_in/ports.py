"""What signing in and out needs."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.auth.ports import AuthPorts
from api.ports import HasAudit, provided
from api.sign_in.tickets import Tickets
from api.temporal.ports import HasRunningVersions


class SignInPorts(AuthPorts, HasAudit, HasRunningVersions, Protocol):
    """Sessions, tokens and their trail; ``tickets`` are for the person at this machine."""

    @property
    def tickets(self) -> Tickets: ...


SignInPortsDep = Annotated[SignInPorts, Depends(provided)]
