"""A kept delivery once more, because a person asks: the same rules, and the rights of the tool that sent it.

What is started has the same key as before, so that a replay of what was done does nothing; with ``start_again`` a
deployment that has ended is started once more, under a key of its own. What other people said (approvals, rejections),
what an alarm set off and what was measured is not replayed: whoever means it says it again. Whoever asks for it is the
starter of what it starts, so that nobody lets in alone what had been turned down.
Deliberately not here: who may ask (``delivery_routes``).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from api.webhooks.actions import perform_all
from api.webhooks.answers import Received, log, received, words
from api.webhooks.decisions import Delivery, Planned, RuleDecision
from api.webhooks.keeping import kept
from api.webhooks.loading import Provider
from api.webhooks.manifest import ActionName
from api.webhooks.outcomes import ActionResult, Effects
from api.webhooks.payloads import UnreadableBody
from api.webhooks.receive import Around, Webhooks, again, read
from workflows.contracts.deployments.deliveries import KeptDelivery
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.errors import InvalidState

_MOST_AGAIN: Final = 100
_REPLAYED: Final = frozenset({ActionName.START_DEPLOYMENT, ActionName.START_JOB})


async def planned_again(webhooks: Webhooks, known: KeptDelivery, body: bytes | None, around: Around) -> "Replay":
    """What it would do now. Raises NotFound when its provider is gone, InvalidState when it cannot be read again,
    Unavailable.
    """
    provider = webhooks.configured(known.provider)
    if body is None:
        raise InvalidState(f"The body of this delivery is not kept: {known.body_note} Send it from the tool again.")
    try:
        delivery = read(provider, body, known.headers, {})
    except UnreadableBody as error:
        raise InvalidState(f"The delivery cannot be read again: {error}") from None
    delivery = replace(delivery, event=known.event, delivery=known.delivery)
    return Replay(provider, delivery, await webhooks.decision(provider, delivery, around), known, body, around)


class Replay:
    """One replay, decided and not yet done."""

    def __init__(
        self,
        provider: Provider,
        delivery: Delivery,
        decision: RuleDecision,
        known: KeptDelivery,
        body: bytes,
        around: Around,
    ) -> None:
        self._provider, self._delivery, self._known, self._around = provider, delivery, known, around
        self._body = body
        self.decision = decision

    @property
    def services(self) -> list[str]:
        """All that it would act on."""
        return [planned.service for planned in self.decision.actions if planned.service is not None]

    @property
    def starts_jobs(self) -> bool:
        """Whether something of it belongs to no service."""
        return any(planned.service is None for planned in self.decision.actions)

    async def do(self, *, start_again: bool) -> Received:
        """Do it, and keep what came of it. Raises Unavailable."""
        count = self._known.started_again + 1
        effects = self._around.effects
        actions = [await self._as_replay(effects, each, start_again) for each in self.decision.actions]
        results = await perform_all(effects, actions, again(self._known.delivery_id))
        log(self._provider, self._delivery, self.decision, results)
        await self._keep(results, count if start_again else self._known.started_again)
        return received(self._provider, self._delivery, self.decision, results, self._known.delivery_id)

    async def _as_replay(self, effects: Effects, planned: Planned, start_again: bool) -> Planned:
        if planned.action not in _REPLAYED:
            said = f"{planned.action} is not replayed: whoever means it says it again, with their own rights"
            return replace(planned, problem=said)
        if planned.action is not ActionName.START_DEPLOYMENT or planned.problem is not None:
            return planned
        number, last = await _last_start(effects, planned.key)
        if last is None:
            return planned
        if not start_again:
            return replace(planned, key=_again_key(planned.key, number))
        if last.status.final:
            return replace(planned, key=_again_key(planned.key, number + 1))
        said = (
            f"{last.service_name} {last.version} is {last.status} (deployment {last.deployment_id}): there is nothing"
            " to start again"
        )
        return replace(planned, problem=said)

    async def _keep(self, results: Sequence[ActionResult], count: int) -> None:
        known, keeper = self._known, self._around.keeper
        record = kept(
            self._provider,
            self._delivery,
            self.decision,
            results,
            delivery_id=known.delivery_id,
            message=words(self.decision, results),
            at=keeper.clock(),
        )
        same = {"received": 0, "size": known.size, "body_kept": known.body_kept, "body_note": known.body_note}
        await keeper.keep(record.model_copy(update={**same, "started_again": count}), None)


async def _last_start(effects: Effects, key: str) -> tuple[int, Deployment | None]:
    """What this event has started last, and how often a person had it started again. The event is one, however many
    deliveries told of it.
    """
    number, last = 0, await effects.started_with(key)
    while last is not None and number < _MOST_AGAIN:
        later = await effects.started_with(_again_key(key, number + 1))
        if later is None:
            break
        number, last = number + 1, later
    return number, last


def _again_key(key: str, number: int) -> str:
    return key if number == 0 else f"{key}\nagain:{number}"
