"""Whether an ID token is genuine: signed by a trusted issuer's key, meant for us, and of now.

Deliberately not here: where keys come from (``identity.issuer_keys``) and what the claims are good for
(``identity.policy``). No error says anything of a token's content but names of claims.

joserfc, like httpx and authlib in the modules beside this one, is loaded by the first token and not by the import: most
installations trust no issuer, and the three took a tenth of the API's start and of its memory.
"""

import hashlib
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import from_json

from activities.clock import Clock
from api.identity.claims import comparable
from api.identity.issuer_keys import Issuer
from api.identity.people import subject_of
from api.identity.policy import IssuerPolicy
from workflows.contracts.access import AdmittedBy
from workflows.contracts.fields import INCOMING, NotBlank, ShortLine

if TYPE_CHECKING:
    from joserfc.jws import JWSRegistry

LEEWAY_SECONDS: Final = 60
"""How far the issuer's clock and ours may be apart."""
MAX_TOKEN_BYTES: Final = 32 * 1024
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_LINE: Final = TypeAdapter[str](Annotated[ShortLine, NotBlank, StringConstraints(min_length=1, max_length=180)])


class RefusedToken(Exception):
    """The token is not taken; the message says why and what to do, and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a genuine token says. ``token_id`` tells uses of one token apart from uses of others in the audit trail.

    ``claims`` has no ``email`` that the issuer has not verified: at some issuers anybody can call themselves anything.
    """

    issuer: IssuerPolicy
    claims: Mapping[str, Any]
    token_id: str

    @property
    def subject(self) -> str:
        """``sub``, as far as it fits into a record."""
        return _line(self.claims.get("sub")) or ""

    @property
    def owner(self) -> str:
        """The issuer and ``sub``: who it is, whatever they are called. One that fits into no record is a digest."""
        said = self.subject or f"#{hashlib.sha256(repr(self.claims.get('sub')).encode()).hexdigest()}"
        return subject_of(self.issuer.name, said)

    @property
    def addresses(self) -> list[str]:
        """The address that the issuer has verified, if any."""
        email = _line(self.claims.get("email"))
        return [] if email is None else [email.casefold()]

    def admission(self, *, workload: str | None = None) -> AdmittedBy:
        """What is kept of it, so that the access policy can be asked again."""
        return AdmittedBy(issuer=self.issuer.name, claims=comparable(self.claims), workload=workload)

    @property
    def told(self) -> str:
        """For the audit trail: which token of whom."""
        return f"ID token {self.token_id} of {self.issuer.name}, sub {self.subject}"

    @property
    def person(self) -> str:
        """What the person is called in records: the verified address, or another claim below the issuer's name, so that
        nobody takes a name that means somebody else here. Raises RefusedToken.
        """
        claim = self.issuer.name_claim
        name = _line(self.claims.get(claim))
        if not name:
            verified = " that the issuer has verified (email_verified)" if claim == "email" else ""
            raise RefusedToken(
                f"The token has no claim {claim!r}{verified}, which names people of {self.issuer.name}. Ask for the "
                "scope that brings it, or set `name_claim` in the access policy."
            )
        if claim == "email" and re.fullmatch(r"[^@\s]+@[^@\s]+", name):
            return name
        return f"{self.issuer.name}:{name}"


class IdTokens:
    """Checks tokens of the trusted issuers."""

    def __init__(self, issuers: Mapping[str, Issuer], clock: Clock) -> None:
        self._by_name = issuers
        self._by_url = {issuer.policy.issuer: issuer for issuer in issuers.values()}
        self._clock = clock

    async def verified(self, token: str, *, issuer: str | None = None) -> Identity:
        """Who the token says it is; ``issuer``: of this one only, by name. Raises RefusedToken and Unavailable."""
        header, said = _read(token)
        trusted = self._issuer(said.get("iss"), issuer)
        if header.get("alg") not in ALGORITHMS:
            raise RefusedToken(f"The token's `alg` is not taken; it must be one of {', '.join(ALGORITHMS)}.")
        if str(header.get("typ", "JWT")).upper() != "JWT":
            raise RefusedToken("The token's `typ` says that it is no ID token.")
        kid = header.get("kid")
        key = await trusted.key(kid if isinstance(kid, str) else None)
        if key is None or key.alg not in (None, header["alg"]):
            raise RefusedToken(
                f"The token was signed with a key that {trusted.policy.name} does not publish. Get a new token; a key "
                "that is quite new is known here after a minute."
            )
        from joserfc import jwt
        from joserfc.errors import JoseError

        try:
            claims = jwt.decode(token, key, registry=_registry()).claims
        except (JoseError, ValueError, TypeError):
            raise RefusedToken(
                "The token's signature is wrong. Send the token whole and as the issuer made it."
            ) from None
        self._check(claims, trusted.policy)
        return Identity(trusted.policy, _trusted_claims(claims), hashlib.sha256(token.encode()).hexdigest()[:16])

    def _issuer(self, said: object, wanted: str | None) -> Issuer:
        if wanted is not None and wanted not in self._by_name:
            raise RefusedToken(
                f"There is no issuer {wanted[:64]!r} here; GET /auth/issuers lists those that are known."
            )
        found = self._by_url.get(said) if isinstance(said, str) else None
        if found is None or (wanted is not None and found is not self._by_name[wanted]):
            raise RefusedToken(
                "The token's issuer (`iss`) is not trusted here. An admin can add it to the access policy, exactly as "
                "the token writes it."
            )
        return found

    def _check(self, claims: dict[str, Any], policy: IssuerPolicy) -> None:
        from joserfc.errors import ExpiredTokenError, InvalidClaimError, MissingClaimError
        from joserfc.jwt import JWTClaimsRegistry

        now = self._clock() // 1000
        registry = JWTClaimsRegistry(
            now=now,
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": policy.issuer},
            aud={"essential": True, "values": sorted(policy.audiences)},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
        )
        try:
            registry.validate(claims)
        except ExpiredTokenError:
            raise RefusedToken("The token has expired. Get a new one from the issuer.") from None
        except MissingClaimError as error:
            raise RefusedToken(f"The token lacks what every ID token has: {error.claim}.") from None
        except InvalidClaimError as error:
            raise RefusedToken(_ADVICE.get(error.claim, f"The token's claim {error.claim!r} is not valid.")) from None
        if "events" in claims:
            raise RefusedToken("This is a logout token, not an ID token.")


_ADVICE: Final = {
    "aud": "The token is meant for another audience (`aud`). Ask the issuer for one with the audience of this server.",
    "nbf": "The token is not valid yet (`nbf`). Check the clocks of the issuer and of this server.",
    "iat": "The token was issued in the future (`iat`). Check the clocks of the issuer and of this server.",
}


@cache
def _registry() -> "JWSRegistry":
    from joserfc.jws import JWSRegistry

    class Registry(JWSRegistry):
        max_header_length = 8192  # some issuers send their certificates along

    return Registry(algorithms=ALGORITHMS, strict_check_header=False)  # ``crit`` is still refused


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, not yet to be believed. Read by a parser that bounds nesting."""
    if len(token) > MAX_TOKEN_BYTES or not _COMPACT.fullmatch(token):
        raise RefusedToken("This is no signed JSON Web Token. Send the ID token as the issuer made it.")
    try:
        header, claims = (from_json(_decoded(part)) for part in token.split(".")[:2])
    except ValueError:
        raise RefusedToken("The token cannot be read. Send the ID token as the issuer made it.") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise RefusedToken("The token cannot be read. Send the ID token as the issuer made it.")
    return cast(dict[str, Any], header), cast(dict[str, Any], claims)


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _trusted_claims(claims: dict[str, Any]) -> dict[str, Any]:
    said = claims.get("email_verified")
    verified = said is True or said == "true"
    return {name: value for name, value in claims.items() if name != "email" or verified}


def _line(value: object) -> str | None:
    try:
        return _LINE.validate_python(value, strict=True, context=INCOMING)
    except ValidationError:
        return None
