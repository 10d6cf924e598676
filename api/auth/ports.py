"""What it takes to know a caller, what they reach, and to hand out credentials."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.auth.authenticator import Authenticator
from api.auth.remembered import Remembered
from api.auth.sign_in import SignIn
from api.auth.vouching import Voucher
from api.ports import HasAccess, HasClock, HasCredentials, provided
from api.temporal.ports import RecordPorts


class HasAuthenticator(Protocol):
    """Whom a key, session or token stands for."""

    @property
    def authenticator(self) -> Authenticator: ...


class HasSignIn(Protocol):
    """How people and workloads sign in."""

    @property
    def sign_in(self) -> SignIn: ...


class HasVoucher(Protocol):
    """Who is who, and what the API vouches for."""

    @property
    def voucher(self) -> Voucher: ...


class IssuingPorts(HasAuthenticator, HasAccess, HasClock, HasVoucher, Protocol):
    """Handing out credentials and ending them."""


class AuthPorts(IssuingPorts, RecordPorts, HasSignIn, HasCredentials, Protocol):
    """Knowing callers, and what their grants reach. ``deliveries``: who may deliver for which attempt, remembered."""

    @property
    def deliveries(self) -> Remembered: ...


AuthPortsDep = Annotated[AuthPorts, Depends(provided)]
