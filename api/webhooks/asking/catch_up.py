"""What no webhook told: where a service asks for it, an agent looks at the heads of its branches now and then, and a
head that nobody knows is started as its push would have been.

A head is started when it is seen for the second time, an interval later, so that its webhook has time to come; not when
a delivery told of the commit, whatever came of that, nor when it was deployed before. Each API process looks every
minute; whose turn a branch is, the store says, so that one agent is asked once. All that is seen is a delivery of the
provider ``catch-up``. Nobody tells a commit's message or author here: skip words are not seen, and who wrote it is what
the first job's agent finds.
Deliberately not here: a schedule in Temporal, since only an API proves who starts a deployment (docs/decisions.md).
"""

import asyncio
import logging
from typing import Final

from api.webhooks.asking.findings import StoredEvidence, asked_pool
from api.webhooks.effects import ApiEffects, caught_up_key, registered_services
from api.webhooks.keeping import DeliveryKeeper, kept_id
from api.webhooks.ports import WebhookPorts
from api.webhooks.repositories import KnownService
from api.webhooks.triggering.facts import Facts, TriggerType
from api.webhooks.triggering.triggers import Found, Lacking, branches_of, judge
from workflows.contracts.accepted import Accepted
from workflows.contracts.deployments.deliveries import (
    CATCH_UP,
    DeliveredAction,
    DeliveryOutcome,
    DeliveryQuery,
    KeptDelivery,
    NotStarted,
)
from workflows.contracts.deployments.deployment import DeploymentQuery, DeploymentRequest
from workflows.contracts.errors import HybridCIError
from workflows.contracts.ids import new_job_id
from workflows.contracts.tasks import HeadAnswer, HeadQuestion, TaskStart

logger = logging.getLogger(__name__)
EVERY_SECONDS: Final = 60.0
_MOST_BRANCHES: Final = 5
"""Of one service; patterns with wildcards name none."""
_MOST_SERVICES: Final = 100
"""At one tick; the others have their turn at the next."""
_ANSWER_SECONDS: Final = 20
_NEWEST: Final = 100
_SHORT: Final = 12
_NO_COMMIT: Final = "0" * 40
_AUTHOR: Final = "unknown (catch-up)"


async def keep_catching_up(ports: WebhookPorts) -> None:
    """Until it is cancelled. Whatever goes wrong is logged, and tried again a minute later."""
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        try:
            await catch_up(ports)
        except HybridCIError as error:
            logger.warning("catching up waits: %s", error.message)
        except Exception:  # nobody waits for it: whatever is wrong must be seen
            logger.exception("catching up failed")


async def catch_up(ports: WebhookPorts) -> None:
    """Look at all branches whose turn it is. Raises Unavailable."""
    looked = 0
    for service in await registered_services(ports):
        if service.triggers is None or service.triggers.poll_seconds is None:
            continue
        for branch in polled_branches(service):
            now = ports.clock()
            until = now + service.triggers.poll_seconds * 1000
            if looked >= _MOST_SERVICES:
                return
            if not await ports.webhook_deliveries.take_turn(f"catch-up/{service.name}/{branch}", now, until):
                continue
            looked += 1
            head = await _head(ports, service, branch)
            if head is not None:
                await _found(ports, service, branch, head)


def polled_branches(service: KnownService) -> list[str]:
    """The branches that have a name: of a pattern with wildcards nobody knows which there are."""
    patterns = branches_of(Facts(TriggerType.PUSH), service)
    return [pattern for pattern in patterns if not set("*?") & set(pattern)][:_MOST_BRANCHES]


async def _head(ports: WebhookPorts, service: KnownService, branch: str) -> str | None:
    try:
        spec = (await ports.deployments.service(service.name)).spec
        pool, task_id = asked_pool(spec), new_job_id()
        question = HeadQuestion(git_repo=spec.git_repo, git_ref=branch, git_commit_sha=_NO_COMMIT)
        start = TaskStart(
            task_id=task_id, pool=pool, question=question, seconds=_ANSWER_SECONDS, service=service.name,
            by=CATCH_UP, via=CATCH_UP,
        )  # fmt: skip
        await ports.task_client.ask(start)
        result = await ports.task_client.result(pool, task_id, within=_ANSWER_SECONDS)
    except (HybridCIError, ValueError) as error:
        logger.warning("nobody could be asked for a head", extra={"service": service.name, "why": str(error)})
        return None
    answer = None if result is None else result.answer
    return answer.head if isinstance(answer, HeadAnswer) else None


async def _found(ports: WebhookPorts, service: KnownService, branch: str, head: str) -> None:
    """Start it, unless it is known; keep what came of it."""
    delivery_id = kept_id(CATCH_UP, "head", f"{service.name}/{branch}", head.encode())
    known = await ports.webhook_deliveries.get(delivery_id)
    if known is not None and known.outcome is DeliveryOutcome.ACCEPTED:
        return
    if await _told_or_deployed(ports, service.name, branch, head):
        return
    outcome, message, action = DeliveryOutcome.IGNORED, "", None
    if known is None:
        message = f"{head[:_SHORT]} is the head of {branch}, and no webhook told of it yet: it waits for one."
    else:
        outcome, message, action = await _start(ports, service, branch, head)
    now = ports.clock()
    record = KeptDelivery(
        delivery_id=delivery_id,
        provider=CATCH_UP,
        delivery=f"{service.name}/{branch}",
        event="head",
        at=now,
        last_at=now,
        repository=service.repository,
        ref=branch,
        commit=head,
        outcome=outcome,
        message=message,
        actions=[] if action is None else [action],
        passed_over=[NotStarted(service_name=service.name, why=message)] if action is None else [],
        body_note="An agent looked; nobody sent a body.",
    )
    await DeliveryKeeper(ports.webhook_deliveries, ports.clock).keep(record, None)


async def _told_or_deployed(ports: WebhookPorts, service: str, branch: str, head: str) -> bool:
    page = await ports.deployments.list(DeploymentQuery(service_name=service, commit=head, limit=1))
    if page.items or page.stopped_early:
        return True
    told = await ports.webhook_deliveries.list(DeliveryQuery(service_name=service, limit=_NEWEST))
    return any((each.commit, each.ref) == (head, branch) and each.provider != CATCH_UP for each in told.items)


async def _start(
    ports: WebhookPorts, service: KnownService, branch: str, head: str
) -> tuple[DeliveryOutcome, str, DeliveredAction | None]:
    effects = ApiEffects(ports, CATCH_UP, None)
    facts, found = Facts(TriggerType.PUSH, commit=head, branch=branch), Found(asked_paths=True)
    verdict = judge(facts, service, found)
    if verdict.lacking is Lacking.CHECKS:
        checks = await StoredEvidence(ports, effects.by).checks(service.repository, head)
        verdict = judge(facts, service, Found(checks=checks, asked_paths=True))
    if not verdict.starts:
        return DeliveryOutcome.IGNORED, verdict.why, None
    request = DeploymentRequest(
        service_name=service.name,
        version=head[:_SHORT],
        git_commit_sha=head,
        git_author=_AUTHOR,
        git_ref=branch,
    )
    try:
        started, _ = await effects.start_deployment(request, caught_up_key(service.name, branch, head))
        deployment_id = started.deployment_id
    except Accepted as accepted:
        deployment_id = accepted.taken.deployment_id
    except HybridCIError as error:
        action = DeliveredAction(
            action="start_deployment", status="refused", message=error.message, service_name=service.name
        )
        return DeliveryOutcome.REFUSED, error.message, action
    message = f"{head[:_SHORT]}, the head of {branch}, is started: no webhook told of it.{verdict.remark}"
    action = DeliveredAction(
        action="start_deployment", status="done", message=message, service_name=service.name,
        version=request.version, deployment_id=deployment_id,
    )  # fmt: skip
    return DeliveryOutcome.ACCEPTED, message, action
