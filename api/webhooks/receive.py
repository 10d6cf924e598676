"""One delivery from its first byte to the answer: known provider, genuine, read, decided, done, kept.

Deliberately not here: HTTP itself (``routes``), running a kept one again (``replaying``).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from api.http.errors import ApiError, ProblemCode
from api.webhooks.actions import perform_all, retold
from api.webhooks.answers import Received, log, received, told, words
from api.webhooks.asking.evidence import Evidence, settle
from api.webhooks.decisions import Delivery, RuleDecision
from api.webhooks.deliveries import Deliveries, ServiceCache
from api.webhooks.keeping import DeliveryKeeper, RefusedCounter, keepable, kept, kept_id
from api.webhooks.loading import Provider, load_providers
from api.webhooks.outcomes import ActionResult, Effects
from api.webhooks.payloads import UnreadableBody, parse_payload, parse_query
from api.webhooks.repositories import KnownService
from api.webhooks.rules import concerns, decide, read_delivery
from api.webhooks.secrets import WebhookSecrets, secret_variable
from api.webhooks.told import DeliveryTrail
from api.webhooks.verify import NotGenuine, RawRequest, require_credentials, require_genuine
from workflows.contracts.errors import NotFound, Unavailable

logger = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 8.0
"""Most tools give up after 10 s. What was begun goes on, and the delivery that is sent again finds it."""
_BODY_SECONDS: Final = 30.0
_LARGE_BODY: Final = 1 << 20
_LARGE_BODIES: Final = 4
"""At once: nobody has shown a secret before their body is read."""
_INLINE: Final = 128 * 1024
"""Longer bodies are digested and parsed in a thread, so that other requests are answered meanwhile."""


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body. Header names in lower case, several values of one joined by commas."""

    headers: Mapping[str, str]
    query_string: bytes = b""


@dataclass(frozen=True, slots=True)
class Around:
    """What a delivery meets: what its provider may do, what triggers may ask for, services, the trail, the store."""

    effects: Effects
    evidence: Evidence
    services: Callable[[], Awaitable[list[KnownService]]]
    trail: DeliveryTrail
    keeper: DeliveryKeeper


@dataclass(frozen=True, slots=True)
class _Done:
    """What a delivery asked for and what came of it."""

    decision: RuleDecision
    results: Sequence[ActionResult]


class Webhooks:
    """All providers of one process."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        secrets: WebhookSecrets,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.providers = providers
        self._secrets, self._now = secrets, now
        self._deliveries: Deliveries[_Done] = Deliveries()
        self._ports = ServiceCache(monotonic)
        self._large = asyncio.Semaphore(_LARGE_BODIES)
        self._refused = RefusedCounter()

    @classmethod
    def none(cls) -> Self:
        """No provider at all."""
        return cls({}, WebhookSecrets({}))

    def is_configured(self, name: str) -> bool:
        """Whether a provider's secret is known here. May read a file."""
        return bool(self._secrets.of(name))

    async def receive(
        self, name: str, head: Head, read_body: Callable[[], Awaitable[bytes]], around: Callable[[str], Around]
    ) -> Received:
        """Answer one delivery, keep it, and tell the audit trail of it.

        Raises NotFound for a provider that is unknown or has no secret, ApiError (401, 400, 413), and Unavailable when
        the delivery must be sent again.
        """
        provider, secrets = self._provider(name)
        place = around(provider.name)
        try:
            delivery, body = await self._genuine(provider, secrets, head, read_body)
        except ApiError as error:
            if error.code is ProblemCode.UNAUTHORIZED:
                self._refused.count(place.keeper.store, name, place.keeper.clock())
                await place.trail.not_genuine(name, error.detail)
            raise
        kept_as = kept_id(provider.name, delivery.event, delivery.delivery, body)

        async def act() -> tuple[_Done, bool]:
            decision = await self.decision(provider, delivery, place)
            results = await perform_all(place.effects, decision.actions, again(kept_as))
            await place.trail.answered(told(provider, delivery, decision, results), words(decision, results))
            log(provider, delivery, decision, results)
            return _Done(decision, results), bool(results)  # what was ignored may find a service next time

        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                done, repeated = await self._deliveries.once(f"{provider.name}:{delivery.delivery}", act)
                results = done.results
                if repeated:
                    results = [await retold(place.effects, each, again(kept_as)) for each in results]
        except TimeoutError as error:
            raise Unavailable("It takes too long to answer; send the delivery again, which is safe.") from error
        await self.keep(provider, delivery, body, _Done(done.decision, results), place)
        return received(provider, delivery, done.decision, results, kept_as)

    async def decision(self, provider: Provider, delivery: Delivery, place: Around) -> RuleDecision:
        """What it asks for, once all that its services' triggers want to know is found out. Raises Unavailable."""
        if not concerns(provider, delivery.event):
            return decide(provider, delivery, [])
        services = await self._ports.known(place.services)
        decision = decide(provider, delivery, services)
        if decision.rule is None:
            fresh = await self._ports.fresh(place.services)
            if fresh is not None:
                services, decision = fresh, decide(provider, delivery, fresh)
        return await settle(decision, services, place.evidence)

    async def keep(self, provider: Provider, delivery: Delivery, body: bytes, done: "_Done", place: Around) -> None:
        """Keep it with what came of it."""
        why_not = keepable(body, self._secrets.all())
        record = kept(
            provider,
            delivery,
            done.decision,
            done.results,
            delivery_id=kept_id(provider.name, delivery.event, delivery.delivery, body),
            message=words(done.decision, done.results),
            at=place.keeper.clock(),
        )
        record = record.model_copy(update={"size": len(body), "body_kept": not why_not, "body_note": why_not})
        await place.keeper.keep(record, None if why_not else body)

    def configured(self, name: str) -> Provider:
        """A provider that is known and has a secret. Raises NotFound."""
        return self._provider(name)[0]

    def _provider(self, name: str) -> tuple[Provider, Sequence[str]]:
        provider = self.providers.get(name)
        if provider is None:
            raise NotFound(f"There is no webhook provider {name[:64]!r}; `hybridci webhook list` shows all.")
        secrets = self._secrets.of(name)
        if not secrets:
            variable = secret_variable(name)
            raise NotFound(
                f"Webhooks of {provider.manifest.title} are not set up here: set {variable} (or {variable}_FILE) to the"
                " secret that the tool signs with, and restart the API."
            )
        return provider, secrets

    async def _genuine(
        self, provider: Provider, secrets: Sequence[str], head: Head, read_body: Callable[[], Awaitable[bytes]]
    ) -> tuple[Delivery, bytes]:
        """The delivery, once it is verified. Nothing is parsed, and little is read, before that."""
        schemes = provider.manifest.verify
        try:
            query = parse_query(head.query_string)
        except UnreadableBody as error:
            raise ApiError(ProblemCode.BAD_REQUEST, f"The address: {error}") from error
        try:
            require_credentials(schemes, RawRequest(b"", head.headers, query))
            body = await self._body(head, read_body)
            request = RawRequest(body, head.headers, query)

            def check_and_read() -> Delivery:
                require_genuine(schemes, secrets, request, self._now())
                return read(provider, body, head.headers, query)

            delivery = check_and_read() if len(body) <= _INLINE else await asyncio.to_thread(check_and_read)
        except NotGenuine as error:
            logger.warning("webhook refused", extra={"provider": provider.name, "reason": str(error)})
            kinds = ", ".join(f'{scheme.scheme} realm="hybridci"' for scheme in schemes)
            raise ApiError(ProblemCode.UNAUTHORIZED, str(error), headers={"WWW-Authenticate": kinds}) from error
        except UnreadableBody as error:
            raise ApiError(ProblemCode.MALFORMED_BODY, str(error)) from error
        return delivery, body

    async def _body(self, head: Head, read_body: Callable[[], Awaitable[bytes]]) -> bytes:
        length = head.headers.get("content-length", "")
        small = length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= _LARGE_BODY
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                if small:
                    return await read_body()
                async with self._large:
                    return await read_body()
        except TimeoutError as error:
            raise Unavailable(f"The body was not here after {_BODY_SECONDS:.0f} s; send it again.") from error


def read(provider: Provider, body: bytes, headers: Mapping[str, str], query: Mapping[str, str]) -> Delivery:
    """A body that is believed. Raises UnreadableBody."""
    payload = parse_payload(body, headers.get("content-type", ""), provider.manifest.form_field)
    return read_delivery(provider, payload, headers, query, body)


def again(kept_as: str) -> str:
    """The command that starts once more what a delivery has started."""
    return f"hybridci webhook replay {kept_as} --start-again"


def open_webhooks(manifests: Path | None, environ: Mapping[str, str]) -> Webhooks:
    """The shipped providers and those of a folder, with the environment's secrets. Raises BadManifests."""
    return Webhooks(load_providers(manifests), WebhookSecrets(environ))
