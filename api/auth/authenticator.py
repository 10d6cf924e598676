"""Whom a presented secret stands for: the keys of the configuration, then the credentials that were handed out.

What was read is believed for 30 s; entries in use are read again before that, many in one request, so that a request
waits for no read. What this process issues and revokes it knows at once. A secret is never kept here, only its digest.
Deliberately not here: what somebody may do (``guard``).
"""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from activities.clock import Clock, epoch_millis
from activities.events.trail import noted
from activities.stores.interfaces.credentials import CredentialStore
from activities.stores.interfaces.events import EventStore
from api.auth.keys import KnownKeys
from api.auth.limits import RequestLimits
from api.auth.principal import Principal
from api.auth.standing import grants_now
from api.auth.tokens import Token, read_token
from api.http.addresses import network_of
from api.http.errors import ApiError
from api.identity.policy import AccessPolicy
from workflows.contracts.access import Credential, CredentialKind
from workflows.contracts.audit.details import AddressAdded
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.errors import HybridCIError
from workflows.contracts.who import WhoAndWhy
from workflows.newest import Newest

logger = logging.getLogger(__name__)
TRUST_SECONDS: Final = 30
REFRESH_AFTER_SECONDS: Final = 10
"""Below an agent's pause between two heartbeats, so that one that is used at all is refreshed in time."""
TOUCH_EVERY_SECONDS: Final = 60
_GATHER_SECONDS: Final = 0.5
"""So long reads and touches in the background wait for others to go with them."""
_MAX_KNOWN: Final = 50_000
_MAX_UNKNOWN: Final = 2_000


@dataclass(slots=True)
class _Known:
    """A credential as it was read. Times are monotonic seconds."""

    credential: Credential
    principal: Principal
    read_at: float
    touched_at: float


class Authenticator:
    """Knows who presents what. Safe for concurrent use in one event loop.

    ``policy``: the access policy of now; by default an empty one, which lets nobody in by an ID token.
    """

    def __init__(
        self,
        keys: KnownKeys,
        store: CredentialStore,
        limits: RequestLimits,
        *,
        policy: Callable[[], AccessPolicy] = AccessPolicy,
        events: EventStore | None = None,
        clock: Clock = epoch_millis,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``events``: where it is told that a key is used from a new address; None: nowhere."""
        self._events = events
        self._places: Newest[tuple[str, str], None] = Newest(_MAX_KNOWN)
        self._new_places: dict[tuple[str, str], AuditEvent] = {}
        self._keys, self._store, self._clock, self._monotonic = keys, store, clock, monotonic
        self.limits = limits
        self._policy = policy
        self._known: Newest[str, _Known] = Newest(_MAX_KNOWN)
        self._unknown: Newest[str, float] = Newest(_MAX_UNKNOWN)
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._stale: set[str] = set()
        self._used: set[str] = set()
        self._upkeep: asyncio.Task[None] | None = None

    async def principal(self, presented: str, *, address: str | None) -> Principal | None:
        """Whom it stands for; None when it is not known, has expired or was revoked, or may do nothing by the policy.

        Raises ApiError too_many_requests when the address was wrong too often (one that is known here is let in all the
        same), Unavailable when it had to be looked up and the store does not answer.
        """
        configured = self._keys.principal(presented)
        if configured is not None:
            return configured
        token = read_token(presented)
        known = None if token is None else await self._find(token, address)
        if token is None or known is None or not self._fits(known, token) or not await self._parent_lives(known):
            self.limits.failed(address)
            return None
        self._locate(known.credential, address)
        self._maintain(known)
        return known.principal

    def hopeless(self, presented: str, *, address: str | None) -> ApiError | None:
        """What ``principal`` would raise for an address that was wrong too often; None when it may yet know.

        The same decision without anything that waits.
        """
        if self._keys.principal(presented) is not None:
            return None
        token = read_token(presented)
        if token is not None:
            known, now = self._known.get(token.credential_id), self._monotonic()
            if known is not None and (now - known.read_at >= TRUST_SECONDS or self._fits(known, token)):
                return None
            asked = self._unknown.get(token.digest, now) > now or self.limits.has_looked_up_too_often(address)
            if known is None and not asked:
                return None
        return self.limits.refusal()

    def known(self, credential_id: str) -> Credential | None:
        """What was last read of a credential that has just been presented."""
        found = self._known.get(credential_id)
        return None if found is None else found.credential

    def learn(self, credential: Credential) -> None:
        """Take note of what this process has just stored, or read. An older revision than what is known is ignored."""
        present = self._known.pop(credential.credential_id, None)
        now = self._monotonic()
        if present is not None and present.credential.revision > credential.revision:
            self._known[credential.credential_id] = present
            return
        touched_at = -float(TOUCH_EVERY_SECONDS) if present is None else present.touched_at
        principal = Principal.of(credential, grants_now(credential, self._policy()))
        self._known[credential.credential_id] = _Known(credential, principal, now, touched_at)

    async def settle(self) -> None:
        """Wait until what is to be refreshed and noted now has been."""
        if self._upkeep is not None:
            await self._upkeep

    async def close(self) -> None:
        """End the work in the background."""
        if self._upkeep is not None:
            self._upkeep.cancel()
            with suppress(asyncio.CancelledError):
                await self._upkeep

    async def _find(self, token: Token, address: str | None) -> _Known | None:
        known = self._known.get(token.credential_id)
        now = self._monotonic()
        if known is not None and now - known.read_at < TRUST_SECONDS:
            return known
        if self._unknown.get(token.digest, now) > now:
            return None
        if known is None:
            self.limits.may_look_up(address)
        await self._read(token.credential_id)
        known = self._known.get(token.credential_id)
        if known is None or not self._fits(known, token):
            self.limits.looked_up_in_vain(address)
            self._unknown[token.digest] = now + TRUST_SECONDS
        return known

    async def _parent_lives(self, known: _Known) -> bool:
        """False for what was opened with a key that has ended."""
        parent_id = known.credential.parent_id
        if parent_id is None:
            return True
        parent = self._known.get(parent_id)
        if parent is None or self._monotonic() - parent.read_at >= TRUST_SECONDS:
            await self._read(parent_id)
            parent = self._known.get(parent_id)
        return parent is not None and bool(parent.principal.grants) and not self._ended(parent.credential)

    async def _read(self, credential_id: str) -> None:
        """Once for all who ask for it at this moment."""
        reading = self._reading.get(credential_id)
        if reading is None:
            reading = self._reading[credential_id] = asyncio.create_task(self._load(credential_id))
        await asyncio.shield(reading)

    async def _load(self, credential_id: str) -> None:
        try:
            found = await self._store.get(credential_id)
        finally:
            del self._reading[credential_id]
        if found is None:
            self._known.pop(credential_id, None)
        else:
            self.learn(found)

    def _fits(self, known: _Known, token: Token) -> bool:
        credential, stands = known.credential, bool(known.principal.grants)
        return hmac.compare_digest(credential.digest, token.digest) and stands and not self._ended(credential)

    def _ended(self, credential: Credential) -> bool:
        now = self._clock()
        return any(each is not None and each <= now for each in (credential.expires_at, credential.revoked_at))

    def _maintain(self, known: _Known) -> None:
        now = self._monotonic()
        if now - known.read_at >= REFRESH_AFTER_SECONDS:
            self._stale.add(known.credential.credential_id)
        # An agent's heartbeats tell when it was last there.
        if known.credential.kind is not CredentialKind.AGENT and now - known.touched_at >= TOUCH_EVERY_SECONDS:
            known.touched_at = now
            self._used.add(known.credential.credential_id)
        if (self._stale or self._used or self._new_places) and (self._upkeep is None or self._upkeep.done()):
            self._upkeep = asyncio.create_task(self._keep_up())

    async def _keep_up(self) -> None:
        while self._stale or self._used or self._new_places:
            await asyncio.sleep(_GATHER_SECONDS)
            stale, used = list(self._stale), list(self._used)
            self._stale.clear()
            self._used.clear()
            try:
                await self._refresh(stale)
                for credential_id in used:
                    await self._store.touch(credential_id, self._clock())
            except HybridCIError as error:  # what is not refreshed is looked up when it is next presented
                logger.warning("credentials were not refreshed: %s", error.message)
            await self._tell_places()

    def _locate(self, credential: Credential, address: str | None) -> None:
        """The first use of a key from a network is told once for ever: the event has an id of its own."""
        place = (credential.credential_id, network_of(address))
        if self._events is None or credential.kind is not CredentialKind.KEY or place in self._places:
            return
        self._places[place] = None
        said = AddressAdded(credential_id=place[0], subject=credential.subject, network=place[1])
        who = WhoAndWhy(by=credential.subject, via="api", address=address, key_id=place[0])
        words = f"{credential.subject} is used from {address or 'an unknown address'} for the first time"
        identity = hashlib.sha256("\n".join(place).encode()).hexdigest()[:32]
        self._new_places[place] = noted(said, who, self._clock(), words, event_id=f"address-{identity}")

    async def _tell_places(self) -> None:
        places, self._new_places = self._new_places, {}
        for place, event in places.items():
            try:
                if self._events is not None:
                    await self._events.append(event)
            except HybridCIError as error:
                self._places.pop(place, None)  # the next use tells it
                logger.warning("the use of a key from a new address was not told: %s", error.message)

    async def _refresh(self, credential_ids: list[str]) -> None:
        if not credential_ids:
            return
        found = {each.credential_id: each for each in await self._store.get_many(credential_ids)}
        for credential_id in credential_ids:
            if credential_id in found:
                self.learn(found[credential_id])
            else:
                self._known.pop(credential_id, None)
