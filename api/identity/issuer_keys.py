"""What an issuer publishes: its discovery document and the keys it signs with, fetched and kept for a while.

Keys come from the issuer alone, never from a token. Deliberately not here: what a token must say
(``identity.id_tokens``).
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from api.identity.policy import IssuerPolicy, UnusablePolicy, is_loopback, trusted_url
from workflows.contracts.errors import Unavailable, field_errors

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    PublicKey: TypeAlias = RSAKey | ECKey | OKPKey

logger = logging.getLogger(__name__)

_KEY_TYPES: Final = ("RSA", "EC", "OKP")  # never a shared secret, with which whoever can check can also sign
_MIN_RSA_BITS: Final = 2048
_FRESH_SECONDS: Final = 3600.0
_USABLE_SECONDS: Final = 86_400.0
"""Keys go on being used for so long while the issuer does not answer."""
_UNKNOWN_SECONDS: Final = 60.0
_FAILED_SECONDS: Final = 5.0
_TIMEOUT_SECONDS: Final = 5.0
_MAX_BYTES: Final = 1 << 20


class Metadata(BaseModel):
    """What is used of a discovery document (OpenID Connect Discovery 1.0, RFC 9207)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    issuer: str
    jwks_uri: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]
    authorization_response_iss_parameter_supported: bool = False


class _JwkSet(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    keys: list[dict[str, Any]]


class Issuer:
    """One trusted issuer. ``elapsed`` is a monotonic clock in seconds. Raises UnusablePolicy for files of no use."""

    def __init__(
        self, policy: IssuerPolicy, *, development: bool, elapsed: Callable[[], float] = time.monotonic
    ) -> None:
        self.policy = policy
        self._development, self._elapsed = development, elapsed
        self._verify = _trust(policy)
        self._lock = asyncio.Lock()
        self._metadata: Metadata | None = None
        self._keys: Sequence[PublicKey] = ()
        self._fetched_at = self._tried_at = -_USABLE_SECONDS * 2
        if policy.jwks_file is not None:
            self._keys = _keys_of_file(policy.jwks_file)

    async def key(self, kid: str | None) -> "PublicKey | None":
        """The key of this id, or None; without an id the issuer's only key.

        Fetches when what is known is an hour old, and for an unknown id at most once a minute, so that made-up tokens
        cannot make us ask the issuer all the time. Raises Unavailable.
        """
        if self._elapsed() - self._fetched_at > _FRESH_SECONDS:
            await self._refresh(_FAILED_SECONDS)
        found = self._find(kid)
        if found is None:
            await self._refresh(_UNKNOWN_SECONDS)
            found = self._find(kid)
        return found

    async def metadata(self) -> Metadata:
        """The discovery document. Raises Unavailable."""
        if self._metadata is None or self._elapsed() - self._fetched_at > _FRESH_SECONDS:
            self._metadata = await self._discover()
        return self._metadata

    async def ask(self, method: str, url: str, *, headers: Mapping[str, str], body: str = "") -> tuple[int, bytes]:
        """Status and body of an answer of the issuer. Raises Unavailable.

        No redirects, so that only what it named itself is asked, and nobody else is shown a client's secret.
        """
        import httpx

        local = is_loopback(self.policy.issuer)
        options: dict[str, Any] = {"timeout": _TIMEOUT_SECONDS, "follow_redirects": False, "trust_env": not local}
        try:
            async with (
                httpx.AsyncClient(verify=self._verify, **options) as client,
                client.stream(method, url, headers=dict(headers), content=body.encode() or None) as answer,
            ):
                received = bytearray()
                async for piece in answer.aiter_bytes():
                    received += piece
                    if len(received) > _MAX_BYTES:
                        raise Unavailable(f"{url} answered with more than {_MAX_BYTES} bytes.")
                return answer.status_code, bytes(received)
        except httpx.HTTPError as error:
            raise Unavailable(f"{url} does not answer: {str(error) or type(error).__name__}.") from error

    def usable(self, url: str | None) -> str:
        """An address that the issuer named, if it may be used. Raises Unavailable."""
        if url is None or not trusted_url(url, development=self._development):
            raise Unavailable(
                f"The issuer {self.policy.name} names no usable https address for what is needed; its discovery "
                "document at …/.well-known/openid-configuration must be corrected."
            )
        return url

    async def _refresh(self, at_least: float) -> None:
        """Fetch the keys, unless that was tried less than ``at_least`` seconds ago."""
        async with self._lock:
            now = self._elapsed()
            if now - self._tried_at < at_least:
                self._require_keys(now)
                return
            self._tried_at = now
            try:
                self._keys = await self._fetch_keys()
            except Unavailable as error:
                logger.warning("issuer's keys not fetched", extra={"issuer": self.policy.name, "reason": error.message})
                self._require_keys(now)
            else:
                self._fetched_at = now

    def _require_keys(self, now: float) -> None:
        if now - self._fetched_at > _USABLE_SECONDS:
            raise Unavailable(
                f"The keys of the issuer {self.policy.name} cannot be fetched, so its tokens cannot be checked now; "
                "the API's log says why. Try again in a moment."
            )

    async def _fetch_keys(self) -> Sequence["PublicKey"]:
        if self.policy.jwks_file is not None:
            return await asyncio.to_thread(self._keys_of_file, self.policy.jwks_file)
        self._metadata = await self._discover()
        keys = _keys_of(await self._get(self.usable(self._metadata.jwks_uri)))
        if not keys:
            raise Unavailable(f"The issuer {self.policy.name} publishes no key that can be used.")
        return keys

    @staticmethod
    def _keys_of_file(path: Path) -> Sequence["PublicKey"]:
        try:
            return _keys_of_file(path)
        except UnusablePolicy as error:
            raise Unavailable(str(error)) from error

    async def _discover(self) -> Metadata:
        body = await self._get(self.policy.issuer.rstrip("/") + "/.well-known/openid-configuration")
        try:
            found = Metadata.model_validate_json(body)
        except ValidationError as error:
            fields = ", ".join(found.field for found in field_errors(error))
            raise Unavailable(f"The issuer {self.policy.name} has no usable discovery document ({fields}).") from None
        if found.issuer != self.policy.issuer:
            raise Unavailable(
                f"The discovery document of the issuer {self.policy.name} is of {found.issuer[:200]!r}; correct "
                "`issuer` in the access policy."
            )
        return found

    async def _get(self, url: str) -> bytes:
        status, body = await self.ask("GET", url, headers={"Accept": "application/json"})
        if status != 200:
            raise Unavailable(f"{url} answered {status}.")
        return body

    def _find(self, kid: str | None) -> "PublicKey | None":
        if kid is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.kid == kid), None)


def _trust(policy: IssuerPolicy) -> ssl.SSLContext | bool:
    if is_loopback(policy.issuer) and policy.issuer.startswith("http://"):
        return False  # loading the certificate store takes longer than the request
    try:
        return ssl.create_default_context(cafile=policy.ca_file)
    except (OSError, ValueError) as error:
        raise UnusablePolicy(
            f"The ca_file {policy.ca_file} of the issuer {policy.name} cannot be used: {error}."
        ) from error


def _keys_of_file(path: Path) -> Sequence["PublicKey"]:
    try:
        keys = _keys_of(path.read_bytes())
    except (OSError, Unavailable) as error:
        raise UnusablePolicy(f"The jwks_file {path} cannot be used: {error}") from error
    if not keys:
        raise UnusablePolicy(f"The jwks_file {path} holds no RSA, EC or OKP key for signatures.")
    return keys


def _keys_of(body: bytes) -> list["PublicKey"]:
    """The keys for signatures; others, and those that are not understood, are left out as RFC 7517 says."""
    try:
        published = _JwkSet.model_validate(from_json(body)).keys
    except ValueError:
        raise Unavailable("It is no JSON Web Key Set.") from None
    return [key for jwk in published if (key := _signing_key(jwk)) is not None]


def _signing_key(jwk: dict[str, Any]) -> "PublicKey | None":
    if jwk.get("use", "sig") != "sig" or jwk.get("kty") not in _KEY_TYPES:
        return None
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

    try:
        key = JWKRegistry.import_key({name: value for name, value in jwk.items() if name not in {"d", "p", "q"}})
    except (JoseError, ValueError, TypeError):
        return None
    if not isinstance(key, RSAKey | ECKey | OKPKey):
        return None
    return None if isinstance(key, RSAKey) and key.public_key.key_size < _MIN_RSA_BITS else key
