"""Finding out how a deployment's commit stands to what is live or ahead, and whether it is banned, before it goes on.

An agent of the last environment's pool is asked, for a bounded time; what it answers is kept in the record, for a
relation of two commits never changes. Where none answers, a forge's word of its pushes counts, and else nothing is
known. Deliberately not here: what follows (``relations``), answering (``agent.git.ancestry``).
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

from pydantic import ValidationError
from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from workflows.bans import banned_words
    from workflows.contracts.activities import find_pushes, order_facts
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.environments import Ahead, Order
    from workflows.contracts.deployments.order import ASK_SECONDS, MAX_ASKED, OrderFacts, OrderQuestion, PushQuestion
    from workflows.contracts.deployments.relations import HowFound, Relation
    from workflows.contracts.fields import shortened
    from workflows.contracts.ids import CONTROL_QUEUE, task_workflow_id
    from workflows.contracts.tasks import AncestryAnswer, AncestryQuestion, TaskOutcome, TaskResult, TaskStart
    from workflows.deployment import record
    from workflows.deployment.context import Context
    from workflows.deployment.progress import Failed, Interrupted
    from workflows.deployment.rules.relations import CommitStanding, by_pushes, warning
    from workflows.job.recorded import now_ms

_LOOKS: Final = "the-order-of-commits-counts"  # 2026-11: before, the order of arrival did
_MARGIN: Final = timedelta(seconds=5)
_MAX_WHY_CHARACTERS: Final = 300
_NOT_ASKED: Final = "more wait than are asked about at once"


def looks(context: Context, place: str) -> bool:
    """False where a history was written before that.

    A name for each ``place`` on the way: once asked, the SDK gives the same answer for one name for the rest of the
    run, and what waited in line when it was upgraded is to look when its turn comes.
    """
    return workflow.patched(f"{_LOOKS}-{place}-{context.state.environment.name}")


async def look(context: Context, others: Sequence[Ahead] | None = None) -> CommitStanding:
    """How it stands now to those of the environment's record, or to these. The record has it then.

    Raises Failed when it is banned; Interrupted, which does not wait for an agent.
    """
    facts = await _facts(context)
    _require_no_ban(context, facts)
    found = await _relations(context, facts, facts.others if others is None else others)
    _note_doubts(context, found)
    context.journal.change(record.related, found)
    return CommitStanding(tuple(found))


async def _facts(context: Context) -> OrderFacts:
    """Also keeps which versions to go back to are banned."""
    state = context.state
    deployment, grant = state.deployment, state.progress.granted
    versions = state.former
    question = OrderQuestion(
        service_name=deployment.service_name,
        environment=state.environment.name,
        deployment_id=deployment.deployment_id,
        version=deployment.version,
        git_commit_sha=deployment.git_commit_sha,
        pool=_pool(context),
        versions=versions,
    )
    facts = await context.calls.call(order_facts, question, summary=f"{state.environment.name}: what is ahead, banned")
    if grant is not None:
        context.journal.state = context.state.noting(bans=facts.bans)
    return facts


def _require_no_ban(context: Context, facts: OrderFacts) -> None:
    deployment = context.state.deployment
    ban = next((ban for ban in facts.bans if ban.covers(deployment.version, deployment.git_commit_sha)), None)
    if ban is not None:
        raise Failed(EventType.DEPLOYMENT_BANNED, banned_words(deployment.service_name, ban))


async def _relations(context: Context, facts: OrderFacts, others: Sequence[Ahead]) -> list[Relation]:
    """Each other's commit is asked about once, all at once; those of before are known."""
    deployment, environment = context.state.deployment, context.state.environment.name
    known = {
        each.git_commit_sha: (each.order, each.found, each.why)
        for each in deployment.relations
        if each.order is not Order.UNKNOWN
    }
    known[deployment.git_commit_sha] = (Order.SAME, HowFound.SAME, "")
    asked = list(dict.fromkeys(each.git_commit_sha for each in others if each.git_commit_sha not in known))[:MAX_ASKED]
    if asked:
        answers = await _asked(context, facts, asked)
        known |= dict(zip(asked, answers, strict=True))
        unknown = [each for each in others if known.get(each.git_commit_sha, (Order.UNKNOWN,))[0] is Order.UNKNOWN]
        if unknown:
            known |= await _by_pushes(context, unknown)
    now = now_ms()
    return [
        Relation(
            environment=environment,
            deployment_id=each.deployment_id,
            version=each.version,
            git_commit_sha=each.git_commit_sha,
            place=each.place,
            order=order,
            found=found,
            at=now,
            why=why,
        )
        for each in others
        for order, found, why in [known.get(each.git_commit_sha, (Order.UNKNOWN, HowFound.NOT, _NOT_ASKED))]
    ]


async def _asked(context: Context, facts: OrderFacts, commits: Sequence[str]) -> list[tuple[Order, HowFound, str]]:
    if facts.agents == 0:
        why = f"no agent of pool {_pool(context)} answers"
        return [(Order.UNKNOWN, HowFound.NOT, why) for _ in commits]
    asking = asyncio.gather(*(_order(context, each) for each in commits))
    await workflow.wait_condition(lambda: asking.done() or context.state.interrupt is not None)
    if not asking.done():
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        raise Interrupted
    return asking.result()


async def _order(context: Context, theirs: str) -> tuple[Order, HowFound, str]:
    """First whether ours is their successor, as it mostly is."""
    ours, began = context.state.deployment.git_commit_sha, workflow.now()
    newer = await _ask(context, ancestor=theirs, descendant=ours, seconds=ASK_SECONDS)
    answer = newer.answer
    if not isinstance(answer, AncestryAnswer):
        return Order.UNKNOWN, HowFound.NOT, _why(newer)
    if answer.is_ancestor:
        return Order.NEWER, HowFound.AGENT, ""
    left = ASK_SECONDS - int((workflow.now() - began).total_seconds())
    older = await _ask(context, ancestor=ours, descendant=theirs, seconds=max(left, 1))
    back = older.answer
    if not isinstance(back, AncestryAnswer):
        return Order.UNKNOWN, HowFound.NOT, _why(older)
    if back.is_ancestor:
        return Order.OLDER, HowFound.AGENT, ""
    if answer.complete and back.complete:
        return Order.DIVERGED, HowFound.AGENT, ""
    return Order.UNKNOWN, HowFound.NOT, "the agent's copy of the repository does not go back far enough"


async def _ask(context: Context, *, ancestor: str, descendant: str, seconds: int) -> TaskResult:
    """One question. Whatever happens is a result."""
    deployment, pool, task_id = context.state.deployment, _pool(context), str(workflow.uuid4())
    try:
        question = AncestryQuestion(
            git_repo=deployment.git_repo, git_ref=deployment.git_ref, ancestor=ancestor, descendant=descendant
        )
        start = TaskStart(
            task_id=task_id,
            pool=pool,
            question=question,
            seconds=seconds,
            service=deployment.service_name,
            by=f"deployment:{deployment.deployment_id}",
            via="workflow",
        )
        return await workflow.execute_child_workflow(
            "AgentTaskWorkflow",
            start,
            id=task_workflow_id(pool, task_id),
            task_queue=CONTROL_QUEUE,
            result_type=TaskResult,
            execution_timeout=timedelta(seconds=seconds) + _MARGIN,
            parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
            cancellation_type=workflow.ChildWorkflowCancellationType.TRY_CANCEL,
            static_summary=f"Ask pool {pool}: {question.kind}",
        )
    except ValidationError:  # what another version, or another hand, has put in line
        message = "one of the commits has no whole id"
    except FailureError as error:
        message = f"the question was lost: {type(error).__name__}"
    return TaskResult(task_id=task_id, pool=pool, outcome=TaskOutcome.FAILED, message=message)


async def _by_pushes(context: Context, others: Sequence[Ahead]) -> dict[str, tuple[Order, HowFound, str]]:
    """What forges' words prove of those that no agent knows of."""
    deployment = context.state.deployment
    asked = dict.fromkeys([deployment.deployment_id, *(each.deployment_id for each in others)])
    pushes = await context.calls.call(
        find_pushes, PushQuestion(deployment_ids=list(asked)[: MAX_ASKED + 1]), summary="what forges said of pushes"
    )
    found = {
        each.git_commit_sha: by_pushes(pushes.items, deployment.git_commit_sha, each.git_commit_sha) for each in others
    }
    return {commit: (order, HowFound.PUSH, "") for commit, order in found.items() if order is not Order.UNKNOWN}


def _note_doubts(context: Context, found: Sequence[Relation]) -> None:
    """What was not in the record before, in the trail."""
    before = {(each.environment, each.git_commit_sha, each.order) for each in context.state.deployment.relations}
    news = [each for each in found if (each.environment, each.git_commit_sha, each.order) not in before]
    if said := warning(news):
        context.journal.note(EventType.DEPLOYMENT_ORDER_DOUBTED, message=said)


def _why(result: TaskResult) -> str:
    return shortened(result.message or result.outcome, _MAX_WHY_CHARACTERS)


def _pool(context: Context) -> str:
    """That of the last environment, whose agents are trusted most."""
    environments = context.state.deployment.definition.environments
    return environments[-1].pool if environments else context.state.environment.pool
