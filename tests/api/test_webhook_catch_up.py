"""What no webhook told is found by an agent; which files changed is asked of one. With fakes of our own interfaces."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from api.webhooks.asking.catch_up import catch_up, polled_branches
from api.webhooks.repositories import KnownService
from tests.api.fake_tasks import FakeTasks, result
from tests.webhooks.bench import WebhookBench, webhook_bench
from tests.webhooks.captured import SHA, captured
from workflows.contracts.deployments.deliveries import DeliveryQuery, KeptDelivery
from workflows.contracts.deployments.deployment import DeploymentQuery, DeploymentSummary
from workflows.contracts.deployments.triggers import Triggers
from workflows.contracts.errors import Unavailable
from workflows.contracts.tasks import (
    HeadAnswer,
    HeadQuestion,
    PathsAnswer,
    PathsQuestion,
    TaskOutcome,
    TaskResult,
    TaskStart,
)

MINUTE = 60_000


class Clock:
    now = 1_795_275_612_000

    def __call__(self) -> int:
        return self.now


class Heads(FakeTasks):
    """Agents that see this head, and these changed files."""

    def __init__(self) -> None:
        super().__init__()
        self.head: str | None = SHA
        self.paths: list[str] | None = ["docs/a.md"]
        self.answer = self.told

    def told(self, start: TaskStart) -> TaskResult:
        if isinstance(start.question, HeadQuestion):
            found = HeadAnswer(head=self.head, is_head=False)
            return result(start, TaskOutcome.ANSWERED, agent_id="agent-1", answer=found)
        if self.paths is None:
            return result(start, TaskOutcome.NOT_OFFERED, message="nobody is there")
        assert isinstance(start.question, PathsQuestion)
        answer = PathsAnswer(paths=self.paths, truncated=False)
        return result(start, TaskOutcome.ANSWERED, agent_id="agent-1", answer=answer)


@pytest.fixture
async def hooks() -> AsyncIterator[WebhookBench]:
    async with webhook_bench() as bench:
        await bench.register(triggers={"poll_seconds": 60})
        heads = Heads()
        bench.app.state.services = replace(bench.app.state.services, asking=lambda: heads, clock=Clock())
        yield bench


def heads_of(hooks: WebhookBench) -> Heads:
    heads = hooks.app.state.services.task_client
    assert isinstance(heads, Heads)
    return heads


async def look(hooks: WebhookBench, minutes: int = 1) -> None:
    for _ in range(minutes):
        hooks.app.state.services.clock.now += MINUTE
        await catch_up(hooks.app.state.services)


async def started(hooks: WebhookBench) -> list[DeploymentSummary]:
    return (await hooks.stores.deployments.list(DeploymentQuery())).items


async def kept(hooks: WebhookBench) -> list[KeptDelivery]:
    return (await hooks.stores.deliveries.list(DeliveryQuery(provider="catch-up"))).items


async def test_a_head_that_no_webhook_told_of_is_started_when_it_is_seen_again(hooks: WebhookBench) -> None:
    await look(hooks)
    assert await started(hooks) == []
    (seen,) = await kept(hooks)
    assert (seen.outcome.value, seen.commit, seen.ref) == ("ignored", SHA, "main")
    await look(hooks, 3)
    (found,) = await started(hooks)
    assert (found.git_commit_sha, found.git_ref, found.version) == (SHA, "main", SHA[:12])
    (start,) = hooks.releases.started
    assert (start.via, start.created_by) == ("webhook:catch-up", "webhook:catch-up")
    (seen,) = await kept(hooks)
    assert (seen.outcome.value, seen.actions[0].deployment_id) == ("accepted", found.deployment_id)


async def test_a_late_webhook_finds_what_was_started(hooks: WebhookBench) -> None:
    await look(hooks, 2)
    answer = (await hooks.send("github-push")).json()
    (found,) = await started(hooks)
    assert (answer["repeated"], answer["actions"][0]["deployment_id"]) == (True, found.deployment_id)


async def test_of_what_a_webhook_told_nothing_is_started(hooks: WebhookBench) -> None:
    """Also when the delivery started nothing: somebody meant that."""
    skipped = captured("github-push").body.replace(b"Round totals", b"[skip ci] Round totals")
    headers = {"content-type": "application/json", "x-github-event": "push", "x-github-delivery": "7"}
    answer = (await hooks.post("github", skipped, headers)).json()
    assert "the commit's message says [skip ci]" in answer["reason"]
    await look(hooks, 3)
    assert (await started(hooks), await kept(hooks)) == ([], [])


async def test_nobody_is_asked_where_no_service_wants_it_and_not_more_often_than_it_says() -> None:
    async with webhook_bench() as hooks:
        await hooks.register()
        await hooks.register("cart", triggers={"poll_seconds": 180})
        heads = Heads()
        hooks.app.state.services = replace(hooks.app.state.services, asking=lambda: heads, clock=Clock())
        await look(hooks, 6)
        assert [start.service for start in heads.asked] == ["cart", "cart"]


async def test_a_branch_that_is_gone_or_an_agent_that_is_away_starts_nothing(hooks: WebhookBench) -> None:
    heads_of(hooks).head = None
    await look(hooks, 2)
    heads_of(hooks).failure = Unavailable("Temporal does not answer.")
    await look(hooks, 2)
    assert (await started(hooks), await kept(hooks)) == ([], [])


async def test_what_waits_for_a_workflow_is_not_started_by_a_head() -> None:
    async with webhook_bench() as hooks:
        await hooks.register(triggers={"poll_seconds": 60, "workflows": ["Build"]})
        heads = Heads()
        hooks.app.state.services = replace(hooks.app.state.services, asking=lambda: heads, clock=Clock())
        await look(hooks, 3)
        assert await started(hooks) == []
        (seen,) = await kept(hooks)
        assert "it waits for Build" in seen.message


def test_only_branches_with_a_name_are_looked_at() -> None:
    known = KnownService("shop", "x", "main", triggers=Triggers(branches=["main", "release/*", "hotfix"]))
    assert polled_branches(known) == ["main", "hotfix"]
    assert polled_branches(replace(known, triggers=Triggers())) == ["main"]
    assert polled_branches(replace(known, triggers=None, branch=None)) == []


@pytest.mark.parametrize(
    ("paths", "status", "words"),
    [
        (["docs/a.md"], "accepted", "is started."),
        (["src/a.py"], "ignored", "none of the 1 changed files is one of its own"),
        (None, "accepted", "Nobody could say which files changed, so triggers.paths was not asked."),
    ],
)
async def test_of_a_force_push_an_agent_says_which_files_changed(
    paths: list[str] | None, status: str, words: str
) -> None:
    async with webhook_bench() as hooks:
        await hooks.register(triggers={"paths": ["docs/**"]})
        heads = Heads()
        heads.paths = paths
        hooks.app.state.services = replace(hooks.app.state.services, asking=lambda: heads)
        payload: dict[str, Any] = json.loads(captured("github-push").body)
        body = json.dumps({**payload, "forced": True}).encode()
        headers = {"content-type": "application/json", "x-github-event": "push", "x-github-delivery": "7"}
        answer = (await hooks.post("github", body, headers)).json()
        assert answer["status"] == status
        assert words in answer["message"]
        (start,) = heads.asked
        assert isinstance(start.question, PathsQuestion)
        assert (start.question.older, start.question.newer) == (payload["before"], SHA)
