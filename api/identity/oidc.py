"""Signing people in: OpenID Connect's code flow with PKCE, state and nonce.

What the browser carries between the two halves is a cookie of its own; nothing is remembered here, so any API process
can finish what another began. Deliberately not here: the session that comes of it (``sessions``), HTTP
(``sign_in.routes``).
"""

import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from api.identity.id_tokens import Identity, IdTokens, RefusedToken
from api.identity.issuer_keys import Issuer, Metadata
from workflows.contracts.base import Frozen
from workflows.contracts.errors import Unavailable

LOGIN_SECONDS: Final = 600
"""How long a person may take at the issuer."""
_START_AGAIN: Final = "Start again at GET /auth/login."
_ERROR_CODE: Final = re.compile(r"[a-z_]{1,40}")


class PendingLogin(Frozen):
    """A login under way, as its browser carries it. ``verifier`` is PKCE's (RFC 7636)."""

    issuer: str
    state: str
    nonce: str
    verifier: str
    next: str

    def cookie(self) -> str:
        """For a cookie's value."""
        return urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")

    @classmethod
    def of_cookie(cls, value: str) -> "PendingLogin | None":
        """What the browser carries, or None."""
        try:
            return cls.model_validate_json(urlsafe_b64decode(value + "=" * (-len(value) % 4)))
        except ValueError:
            return None


class _Tokens(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    id_token: str


async def begin_login(issuer: Issuer, *, back_to: str, callback: str) -> tuple[str, PendingLogin]:
    """The issuer's address to send the browser to, and what the browser has to keep. Raises Unavailable."""
    from authlib.oauth2.client import OAuth2Client

    metadata = await issuer.metadata()
    pending = PendingLogin(
        issuer=issuer.policy.name,
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        next=back_to,
    )
    client: Any = OAuth2Client(  # only its way of writing requests is used, so it needs no session
        None,
        client_id=issuer.policy.client_id,
        redirect_uri=callback,
        scope=" ".join(issuer.policy.scopes),
        code_challenge_method="S256",
    )
    url, _ = client.create_authorization_url(
        issuer.usable(metadata.authorization_endpoint),
        state=pending.state,
        code_verifier=pending.verifier,
        nonce=pending.nonce,
    )
    return str(url), pending


async def finish_login(
    issuer: Issuer, tokens: IdTokens, pending: PendingLogin, answer: Mapping[str, str], *, callback: str
) -> Identity:
    """Who came back from the issuer with this ``answer`` (the query). Raises RefusedToken and Unavailable."""
    if not hmac.compare_digest(pending.state.encode(), answer.get("state", "").encode("utf-8", "surrogatepass")):
        raise RefusedToken(f"This answer belongs to another login (`state`). {_START_AGAIN}")
    metadata = await issuer.metadata()
    came_from = answer.get("iss")
    missing = came_from is None and metadata.authorization_response_iss_parameter_supported
    if missing or came_from not in (None, metadata.issuer):
        raise RefusedToken(f"This answer is not of the issuer that was asked (`iss`). {_START_AGAIN}")
    if "error" in answer or not answer.get("code"):
        said = answer.get("error", "")
        code = f" ({said})" if _ERROR_CODE.fullmatch(said) else ""
        raise RefusedToken(f"{issuer.policy.name} did not sign you in{code}. {_START_AGAIN}")
    id_token = await _redeem(issuer, metadata, answer["code"], pending.verifier, callback)
    identity = await tokens.verified(id_token, issuer=issuer.policy.name)
    _require_this_login(identity, pending)
    return identity


def back_to_this_site(address: str) -> str | None:
    """The address if it is a path of this site, else None: a login must not lead anybody elsewhere."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    # Browsers read '\' as '/', and leave out tabs and line ends: '/\host' and '/<tab>/host' lead away.
    plain = address.isascii() and address.isprintable() and "\\" not in address and " " not in address
    return address if plain and re.match(r"/(?!/)", address) and not parts.scheme and not parts.netloc else None


async def _redeem(issuer: Issuer, metadata: Metadata, code: str, verifier: str, callback: str) -> str:
    """The ID token for the code. Raises RefusedToken when the issuer says no."""
    from authlib.oauth2.auth import ClientAuth
    from authlib.oauth2.rfc6749 import parameters

    url = issuer.usable(metadata.token_endpoint)
    secret = _client_secret(issuer)
    method = "none"
    if secret is not None:
        methods = metadata.token_endpoint_auth_methods_supported
        basic = "client_secret_basic" in methods or "client_secret_post" not in methods
        method = "client_secret_basic" if basic else "client_secret_post"
    untyped: Any = parameters
    form: str = untyped.prepare_token_request(
        "authorization_code", "", redirect_uri=callback, code=code, code_verifier=verifier
    )
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    client: Any = ClientAuth(issuer.policy.client_id, secret, method)
    url, headers, form = client.prepare("POST", url, headers, form)
    status, body = await issuer.ask("POST", url, headers=headers, body=form)
    if status >= 500:
        raise Unavailable(f"The issuer {issuer.policy.name} answered {status} at its token endpoint. {_START_AGAIN}")
    try:
        if status != 200:
            raise RefusedToken(
                f"{issuer.policy.name} refused the code with status {status}: it was used or is too old, or the "
                f"client's secret is wrong. {_START_AGAIN}"
            )
        return _Tokens.model_validate_json(body).id_token
    except ValidationError:
        raise RefusedToken(f"{issuer.policy.name} sent no ID token; its client needs the scope 'openid'.") from None


def _client_secret(issuer: Issuer) -> str | None:
    """Read anew for each login, so that a rotated secret needs no restart."""
    file = issuer.policy.client_secret_file
    if file is None:
        return None
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(
            f"The client_secret_file of {issuer.policy.name} cannot be read: {type(error).__name__}."
        ) from error


def _require_this_login(identity: Identity, pending: PendingLogin) -> None:
    nonce, client_id = identity.claims.get("nonce"), identity.issuer.client_id
    if not isinstance(nonce, str) or not hmac.compare_digest(
        nonce.encode("utf-8", "surrogatepass"), pending.nonce.encode()
    ):
        raise RefusedToken(f"The ID token belongs to another login (`nonce`). {_START_AGAIN}")
    audience = identity.claims["aud"]
    if client_id not in ([audience] if isinstance(audience, str) else audience):
        raise RefusedToken(f"The ID token is meant for another client (`aud`). {_START_AGAIN}")
    if identity.claims.get("azp", client_id) != client_id:
        raise RefusedToken(f"The ID token was made for another client (`azp`). {_START_AGAIN}")
