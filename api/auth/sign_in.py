"""What one API process needs to let people and workloads in: the policy, its issuers, the rules of its cookies."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from activities.clock import Clock, epoch_millis
from api.auth.limits import Minutes
from api.identity.id_tokens import IdTokens
from api.identity.issuer_keys import Issuer
from api.identity.policy import LOOPBACK, AccessPolicy, UnusablePolicy, is_loopback, load_policy, trusted_url
from workflows.contracts.access import SESSION_TTL_SECONDS

ATTEMPTS_A_MINUTE: Final = 60
"""Logins that one address may begin or finish."""
DEVELOPMENT: Final = "development"


@dataclass(frozen=True, slots=True)
class SignIn:
    """One process's ways in. ``public_url`` is its address as browsers see it, without a '/' at the end."""

    policy: AccessPolicy
    issuers: Mapping[str, Issuer]
    tokens: IdTokens
    public_url: str | None
    secure_cookies: bool
    session_seconds: int
    attempts: Minutes

    @classmethod
    def of(
        cls,
        policy: AccessPolicy,
        *,
        environment: str = DEVELOPMENT,
        public_url: str | None = None,
        secure_cookies: bool = True,
        session_seconds: int = SESSION_TTL_SECONDS,
        clock: Clock = epoch_millis,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> "SignIn":
        """Raises UnusablePolicy for a file of the policy that is of no use."""
        development = environment == DEVELOPMENT
        issuers = {each.name: Issuer(each, development=development, elapsed=elapsed) for each in policy.issuers}
        return cls(
            policy=policy,
            issuers=issuers,
            tokens=IdTokens(issuers, clock),
            public_url=public_url,
            secure_cookies=secure_cookies,
            session_seconds=session_seconds,
            attempts=Minutes(ATTEMPTS_A_MINUTE, elapsed),
        )

    @classmethod
    def by_key_only(cls) -> "SignIn":
        """No issuer is trusted."""
        return cls.of(AccessPolicy())


def open_sign_in(
    policy_file: Path | None, *, environment: str, host: str, public_url: str | None, session_seconds: int
) -> SignIn:
    """As the settings say. Raises UnusablePolicy."""
    development = environment == DEVELOPMENT
    policy = load_policy(policy_file, development=development)
    url = None if public_url is None else public_url.rstrip("/")
    if url is not None and not trusted_url(url, development=development):
        raise UnusablePolicy(
            f"HYBRIDCI_PUBLIC_URL is {url!r}; it must be the https:// URL by which browsers come here."
        )
    # A browser keeps no Secure cookie of a plain http site; on one's own machine nobody listens on the way.
    local = host in LOOPBACK if url is None else is_loopback(url) and url.startswith("http:")
    return SignIn.of(
        policy,
        environment=environment,
        public_url=url,
        secure_cookies=not (development and local),
        session_seconds=session_seconds,
    )
