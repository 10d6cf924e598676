"""Signing in: what is sent to ``/auth`` and what comes back. Only ``TokenOut`` carries a secret, this once."""

from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr, StringConstraints

from workflows.contracts.access import CredentialKind, Grant
from workflows.contracts.base import Frozen
from workflows.contracts.fields import Millis, Name

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - the name of a kind
ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind
EncodedToken = Annotated[SecretStr, Field(min_length=1, max_length=32 * 1024)]
"""An ID token, never shown by mistake."""
ReturnTo = Annotated[str, StringConstraints(min_length=1, max_length=2048)]


class SessionRequest(Frozen):
    """``POST /auth/session``: an ID token, a ticket, or nothing and an API key in the ``Authorization`` header."""

    id_token: EncodedToken | None = None
    issuer: Name | None = Field(default=None, description="The token must be of this one.")
    ticket: EncodedToken | None = Field(default=None, description="Of POST /auth/ticket; it opens one session.")


class TicketOut(Frozen):
    """A ticket that was made; it is told this once."""

    ticket: str
    expires_in: int = Field(description="Seconds.")


class SessionOut(Frozen):
    """A session that was opened. Its secret is in the cookie alone."""

    subject: str
    kind: CredentialKind
    grants: list[Grant]
    expires_at: Millis
    csrf_token: str = Field(description="To be sent as X-CSRF-Token with everything that changes something.")


class ExchangeRequest(Frozen):
    """``POST /auth/token`` (RFC 8693): a workload's ID token for a short-lived one of this server."""

    grant_type: Literal["urn:ietf:params:oauth:grant-type:token-exchange"] = GRANT_TYPE
    subject_token: EncodedToken
    subject_token_type: Literal["urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt"] = (
        ID_TOKEN_TYPE
    )
    requested: list[Grant] | None = Field(
        default=None, min_length=1, max_length=20, description="Less than the policy allows. Default: all of it."
    )


class TokenOut(Frozen):
    """The token, to be sent as ``Authorization: Bearer``. ``expires_in`` seconds."""

    access_token: str
    issued_token_type: str = ACCESS_TOKEN_TYPE
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a kind
    expires_in: int
    subject: str
    grants: list[Grant]


class IssuerOut(Frozen):
    """An issuer by which people can sign in."""

    name: str
    login_url: str


class IssuersOut(Frozen):
    """All of them."""

    issuers: list[IssuerOut]


class LoginQuery(Frozen):
    """``GET /auth/login``."""

    issuer: Name | None = Field(default=None, description="Needed when there are several.")
    next: ReturnTo = Field(default="/", description="The page of this site to go to afterwards.")


class OwnSession(Frozen):
    """A browser in which whoever asks is signed in."""

    session_id: str
    created_at: Millis
    expires_at: Millis | None
    last_used_at: Millis | None = Field(description="To within a minute.")
    current: bool = Field(description="It is the one that asks.")


class OwnSessions(Frozen):
    """Those that are open, newest first."""

    items: list[OwnSession]


class EndSessionsQuery(Frozen):
    """Which of one's own."""

    others: bool = Field(default=False, description="All but the one that asks.")


class SessionsEnded(Frozen):
    """How many were ended."""

    ended: int
