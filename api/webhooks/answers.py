"""What a tool is answered, what the audit trail is told and what the log says of one delivery."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.webhooks.decisions import Delivery, RuleDecision
from api.webhooks.expressions import ExpressionFailed
from api.webhooks.keeping import outcome_of
from api.webhooks.loading import Provider
from api.webhooks.outcomes import ActionResult, ActionStatus
from workflows.contracts.audit.details import WebhookTold
from workflows.contracts.audit.types import EventType

logger = logging.getLogger(__name__)
_KINDS: Final = {
    "accepted": EventType.WEBHOOK_RECEIVED,
    "ignored": EventType.WEBHOOK_IGNORED,
    "refused": EventType.WEBHOOK_REFUSED,
}


@dataclass(frozen=True, slots=True)
class Received:
    """The answer. ``replayed``: an earlier delivery has done it."""

    status: int
    body: bytes
    replayed: bool = False


def received(
    provider: Provider, delivery: Delivery, decision: RuleDecision, results: Sequence[ActionResult], kept_as: str
) -> Received:
    """The answer; ``kept_as``: under which id the delivery is kept."""
    replayed = bool(results) and all(result.replayed for result in results)
    answer: dict[str, Any] = {
        "status": outcome_of(results).value,
        "reason": decision.reason,
        "message": words(decision, results),
        "provider": provider.name,
        "event": delivery.event,
        "delivery": delivery.delivery,
        "kept_as": kept_as,
        "repeated": replayed,
        "rule": decision.rule,
        "actions": [result.model_dump(mode="json", exclude_none=True) for result in results],
        "passed_over": [{"service_name": each.service, "why": each.why} for each in decision.passed_over],
    }
    further: dict[str, Any] = {}
    for name, expression in provider.answer.items():
        try:
            further[name] = expression.value({"answer": answer})
        except ExpressionFailed as error:
            logger.warning(
                "answer field failed", extra={"provider": provider.name, "field": name, "reason": str(error)}
            )
    # ASCII only: whatever strange text was delivered, the answer can be encoded.
    body = json.dumps({**further, **answer}).encode("ascii")
    return Received(provider.manifest.answer.status, body, replayed)


def told(
    provider: Provider, delivery: Delivery, decision: RuleDecision, results: Sequence[ActionResult]
) -> WebhookTold:
    """For the audit trail."""
    return WebhookTold(
        kind=_KINDS[outcome_of(results).value],
        provider=provider.name,
        told=delivery.event,
        delivery=delivery.delivery,
        rule=decision.rule,
        ids=[found for result in results if (found := result.deployment_id or result.job_id)],
    )


def words(decision: RuleDecision, results: Sequence[ActionResult]) -> str:
    """What came of it, in a sentence or more."""
    return " ".join(result.message for result in results) or decision.reason


def log(provider: Provider, delivery: Delivery, decision: RuleDecision, results: Sequence[ActionResult]) -> None:
    """Nobody reads the answer that a tool gets: what was refused is told here, louder than what was done."""
    refused = [result.message for result in results if result.status is ActionStatus.REFUSED]
    fields = {
        "provider": provider.name,
        "event": delivery.event,
        "delivery": delivery.delivery,
        "rule": decision.rule,
        "outcome": outcome_of(results).value,
        "ids": [result.deployment_id or result.job_id for result in results if result.deployment_id or result.job_id],
    }
    if refused:
        logger.warning("webhook action refused", extra={**fields, "reason": "; ".join(refused)[:1000]})
    else:
        logger.info("webhook", extra={**fields, "reason": decision.reason})
