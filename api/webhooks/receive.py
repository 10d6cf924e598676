"""One delivery from its first byte to the answer: known provider, genuine, read, decided, done.

Deliberately not here: HTTP itself (``api.webhooks.routes``).
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from api.http.errors import ApiError, ProblemCode
from api.webhooks.actions import perform_all
from api.webhooks.decisions import Delivery, RuleDecision
from api.webhooks.deliveries import Deliveries, ServiceCache
from api.webhooks.expressions import ExpressionFailed
from api.webhooks.loading import Provider, load_providers
from api.webhooks.outcomes import ActionResult, ActionStatus, Effects
from api.webhooks.payloads import UnreadableBody, parse_payload, parse_query
from api.webhooks.repositories import KnownService
from api.webhooks.rules import concerns, decide, read_delivery
from api.webhooks.secrets import WebhookSecrets, secret_variable
from api.webhooks.told import DeliveryTrail
from api.webhooks.verify import NotGenuine, RawRequest, require_credentials, require_genuine
from workflows.contracts.audit.details import WebhookTold
from workflows.contracts.audit.types import EventType
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

_KINDS: Final = {
    "accepted": EventType.WEBHOOK_RECEIVED,
    "ignored": EventType.WEBHOOK_IGNORED,
    "refused": EventType.WEBHOOK_REFUSED,
}
LoadServices = Callable[[], Awaitable[list[KnownService]]]


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body. Header names in lower case, several values of one joined by commas."""

    headers: Mapping[str, str]
    query_string: bytes = b""


@dataclass(frozen=True, slots=True)
class Received:
    """The answer. ``replayed``: an earlier delivery was answered so."""

    status: int
    body: bytes
    replayed: bool = False


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
        self._deliveries: Deliveries[Received] = Deliveries()
        self._ports = ServiceCache(monotonic)
        self._large = asyncio.Semaphore(_LARGE_BODIES)

    @classmethod
    def none(cls) -> Self:
        """No provider at all."""
        return cls({}, WebhookSecrets({}))

    async def receive(
        self,
        name: str,
        head: Head,
        read_body: Callable[[], Awaitable[bytes]],
        effects: Callable[[str], Effects],
        load_services: LoadServices,
        trail: DeliveryTrail | None = None,
    ) -> Received:
        """Answer one delivery, and tell the audit trail of it.

        Raises NotFound for a provider that is unknown or has no secret, ApiError (401, 400, 413), and Unavailable when
        the delivery must be sent again.
        """
        provider, secrets = self._provider(name)
        try:
            delivery = await self._genuine(provider, secrets, head, read_body)
        except ApiError as error:
            if trail is not None and error.code is ProblemCode.UNAUTHORIZED:
                await trail.not_genuine(name, error.detail)
            raise

        async def answer() -> tuple[Received, bool]:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    decision = await self._decision(provider, delivery, load_services)
                    results = await perform_all(effects(provider.name), decision.actions)
                    if trail is not None:
                        await trail.answered(_told(provider, delivery, decision, results), _words(decision, results))
            except TimeoutError as error:
                raise Unavailable("It takes too long to answer; send the delivery again, which is safe.") from error
            received = _received(provider, delivery, decision, results)
            _log(provider, delivery, decision, results)
            return received, bool(results)  # what was ignored has done nothing, and may find a service next time

        received, repeated = await self._deliveries.once(f"{provider.name}:{delivery.delivery}", answer)
        return Received(received.status, received.body, repeated or received.replayed)

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
    ) -> Delivery:
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
                content_type = head.headers.get("content-type", "")
                payload = parse_payload(body, content_type, provider.manifest.form_field)
                return read_delivery(provider, payload, head.headers, query, body)

            return check_and_read() if len(body) <= _INLINE else await asyncio.to_thread(check_and_read)
        except NotGenuine as error:
            logger.warning("webhook refused", extra={"provider": provider.name, "reason": str(error)})
            kinds = ", ".join(f'{scheme.scheme} realm="hybridci"' for scheme in schemes)
            raise ApiError(ProblemCode.UNAUTHORIZED, str(error), headers={"WWW-Authenticate": kinds}) from error
        except UnreadableBody as error:
            raise ApiError(ProblemCode.MALFORMED_BODY, str(error)) from error

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

    async def _decision(self, provider: Provider, delivery: Delivery, load: LoadServices) -> RuleDecision:
        if not concerns(provider, delivery.event):
            return decide(provider, delivery, [])
        decision = decide(provider, delivery, await self._ports.known(load))
        if decision.rule is None:
            fresh = await self._ports.fresh(load)
            decision = decision if fresh is None else decide(provider, delivery, fresh)
        return decision


def open_webhooks(manifests: Path | None, environ: Mapping[str, str]) -> Webhooks:
    """The shipped providers and those of a folder, with the environment's secrets. Raises BadManifests."""
    return Webhooks(load_providers(manifests), WebhookSecrets(environ))


def _received(
    provider: Provider, delivery: Delivery, decision: RuleDecision, results: Sequence[ActionResult]
) -> Received:
    answer: dict[str, Any] = {
        "status": _status(results),
        "reason": decision.reason,
        "message": _words(decision, results),
        "provider": provider.name,
        "event": delivery.event,
        "delivery": delivery.delivery,
        "rule": decision.rule,
        "actions": [result.model_dump(mode="json", exclude_none=True) for result in results],
    }
    further: dict[str, Any] = {}
    for name, expression in provider.answer.items():
        try:
            further[name] = expression.value({"answer": answer})
        except ExpressionFailed as error:
            logger.warning(
                "answer field failed", extra={"provider": provider.name, "field": name, "reason": str(error)}
            )
    replayed = bool(results) and all(result.replayed for result in results)
    # ASCII only: whatever strange text was delivered, the answer can be encoded.
    body = json.dumps({**further, **answer}).encode("ascii")
    return Received(provider.manifest.answer.status, body, replayed)


def _told(
    provider: Provider, delivery: Delivery, decision: RuleDecision, results: Sequence[ActionResult]
) -> WebhookTold:
    return WebhookTold(
        kind=_KINDS[_status(results)],
        provider=provider.name,
        told=delivery.event,
        delivery=delivery.delivery,
        rule=decision.rule,
        ids=[found for result in results if (found := result.deployment_id or result.job_id)],
    )


def _words(decision: RuleDecision, results: Sequence[ActionResult]) -> str:
    return " ".join(result.message for result in results) or decision.reason


def _status(results: Sequence[ActionResult]) -> str:
    if not results:
        return "ignored"
    return "accepted" if any(result.status is ActionStatus.DONE for result in results) else "refused"


def _log(provider: Provider, delivery: Delivery, decision: RuleDecision, results: Sequence[ActionResult]) -> None:
    """Nobody reads the answer that a tool gets: what was refused is told here, louder than what was done."""
    refused = [result.message for result in results if result.status is ActionStatus.REFUSED]
    fields = {
        "provider": provider.name,
        "event": delivery.event,
        "delivery": delivery.delivery,
        "rule": decision.rule,
        "outcome": _status(results),
        "ids": [result.deployment_id or result.job_id for result in results if result.deployment_id or result.job_id],
    }
    if refused:
        logger.warning("webhook action refused", extra={**fields, "reason": "; ".join(refused)[:1000]})
    else:
        logger.info("webhook", extra={**fields, "reason": decision.reason})
