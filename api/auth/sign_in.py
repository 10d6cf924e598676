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
from workflows.followed import Followed

ATTEMPTS_A_MINUTE: Final = 60
"""Logins that one address may begin or finish."""
DEVELOPMENT: Final = "development"


SETTING: Final = "HYBRIDCI_ACCESS_POLICY"


@dataclass(frozen=True, slots=True)
class WaysIn:
    """A policy, and what it takes to ask its issuers."""

    policy: AccessPolicy
    issuers: Mapping[str, Issuer]
    tokens: IdTokens

    @classmethod
    def of(
        cls,
        policy: AccessPolicy,
        *,
        development: bool,
        clock: Clock = epoch_millis,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> "WaysIn":
        """Raises UnusablePolicy for a file of the policy that is of no use."""
        issuers = {each.name: Issuer(each, development=development, elapsed=elapsed) for each in policy.issuers}
        return cls(policy, issuers, IdTokens(issuers, clock))


@dataclass(frozen=True, slots=True)
class SignIn:
    """One process's ways in, as the policy says now. ``public_url`` is its address as browsers see it, without a '/' at
    the end.
    """

    ways: Callable[[], WaysIn]
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
        ways = WaysIn.of(policy, development=environment == DEVELOPMENT, clock=clock, elapsed=elapsed)
        return cls(
            ways=lambda: ways,
            public_url=public_url,
            secure_cookies=secure_cookies,
            session_seconds=session_seconds,
            attempts=Minutes(ATTEMPTS_A_MINUTE, elapsed),
        )

    @property
    def policy(self) -> AccessPolicy:
        """As it is now."""
        return self.ways().policy

    @property
    def issuers(self) -> Mapping[str, Issuer]:
        """By name. Look a name up in one answer: the next one may be of another policy."""
        return self.ways().issuers

    @property
    def tokens(self) -> IdTokens:
        """Of these issuers."""
        return self.ways().tokens

    @classmethod
    def by_key_only(cls) -> "SignIn":
        """No issuer is trusted."""
        return cls.of(AccessPolicy())


def open_sign_in(
    policy_file: Path | None, *, environment: str, host: str, public_url: str | None, session_seconds: int
) -> SignIn:
    """As the settings say; the policy is read again when its file changes. Raises UnusablePolicy."""
    development = environment == DEVELOPMENT
    ways = Followed(
        SETTING,
        [] if policy_file is None else [policy_file],
        lambda: WaysIn.of(load_policy(policy_file, development=development), development=development),
        kept="the policy of before holds",
    )
    url = None if public_url is None else public_url.rstrip("/")
    if url is not None and not trusted_url(url, development=development):
        raise UnusablePolicy(
            f"HYBRIDCI_PUBLIC_URL is {url!r}; it must be the https:// URL by which browsers come here."
        )
    # A browser keeps no Secure cookie of a plain http site; on one's own machine nobody listens on the way.
    local = host in LOOPBACK if url is None else is_loopback(url) and url.startswith("http:")
    return SignIn(
        ways=ways.now,
        public_url=url,
        secure_cookies=not (development and local),
        session_seconds=session_seconds,
        attempts=Minutes(ATTEMPTS_A_MINUTE, time.monotonic),
    )
