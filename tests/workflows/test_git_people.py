"""Whom a deployment's commit names, as the agents of its jobs found it: they do not approve it, whoever started it."""

from typing import Any

import pytest

from tests.workflows.deployment_harness import BOB, CAT, Deploys
from tests.workflows.harness import Agent, Script, fail, one_after_another
from workflows.contracts.attempts import NOT_ON_REF, AttemptInput, AttemptResult
from workflows.contracts.deployments.commands import Resume
from workflows.contracts.deployments.services import Service
from workflows.contracts.errors import InvalidState
from workflows.contracts.identity.people import GitPeople, GitPerson
from workflows.contracts.statuses import Outcome

FORGE = GitPerson(name="GitHub", address="noreply@github.com")


def finds(author: str, committer: GitPerson = FORGE, **fields: object) -> Script:
    """An agent that succeeds, or ends as ``fields`` say, and tells whom the commit names."""
    people = GitPeople(author=GitPerson(name="Somebody", address=author), committer=committer)

    async def script(attempt: AttemptInput, agent: Agent) -> AttemptResult:
        ended: dict[str, Any] = {"outcome": Outcome.SUCCEEDED, "exit_code": 0, **fields}
        return agent.result(attempt, ended.pop("outcome"), git_people=people, **ended)

    return script


def built(deploys: Deploys, **fields: Any) -> Service:
    """One that is built before it asks for an approval of its one environment."""
    build = {"pool": deploys.pool, "steps": [{"name": "make", "run": "make"}]}
    return deploys.service(deploys.environment(approval={"required": 1}), build=build, **fields)


async def test_whoever_git_names_does_not_approve_what_somebody_else_was_named_for(deploys: Deploys) -> None:
    deploys.script("build", finds(BOB))
    waiting = await deploys.until_waits(await deploys.start("1.0", built(deploys)), "waits for approval")
    assert [(str(each.author), str(each.committer)) for each in waiting.git_people] == [
        (f"Somebody <{BOB}>", "GitHub <noreply@github.com>")
    ]
    await deploys.crash()
    with pytest.raises(InvalidState, match=rf"is the author of 1\.0, as its commit says \(Somebody <{BOB}>\)"):
        await deploys.approve(waiting, BOB)
    with pytest.raises(InvalidState, match=r"is the author of 1\.0: somebody else"):
        await deploys.approve(waiting, "ann@example.com")
    await deploys.approve(waiting, CAT)
    assert [each.by for each in (await deploys.until_status(waiting, "live")).approvals] == [CAT]


async def test_no_word_of_an_agent_takes_anybody_away(deploys: Deploys) -> None:
    """Two tries on two agents, of which one lies; and another job, whose agent is of an earlier version."""
    failed = finds(BOB, outcome=Outcome.CHECKOUT_FAILED, exit_code=None)
    deploys.script("build", one_after_another(failed, finds("zoe@example.com")))
    test = {"pool": deploys.pool, "steps": [{"name": "unit", "run": "pytest"}]}
    waiting = await deploys.until_waits(await deploys.start("1.0", built(deploys, test=test)), "waits for approval")
    assert deploys.kinds() == ["build 1.0", "build 1.0", "test 1.0"]
    assert [each.author.address for each in waiting.git_people] == [BOB, "zoe@example.com"]
    for who in (BOB, "zoe@example.com", "ann@example.com"):
        with pytest.raises(InvalidState, match="is the author"):
            await deploys.approve(waiting, who)
    await deploys.approve(waiting, CAT)
    await deploys.until_status(waiting, "live")


async def test_a_commit_that_is_not_on_its_branch_is_read_all_the_same(deploys: Deploys) -> None:
    missing = finds(BOB, outcome=Outcome.CHECKOUT_FAILED, exit_code=None, retryable=False, cause=NOT_ON_REF)
    deploys.script("source", missing)
    service = built(deploys, commit_on_ref=True, git_ref="main")
    waits = await deploys.until_waits(await deploys.start("1.0", service), "waits for its commit")
    assert [each.author.address for each in waits.git_people] == [BOB]
    deploys.script("source", fail(1, Outcome.SUCCEEDED))
    await deploys.releases.command(waits, Resume(by=CAT, reason="merged"))
    waiting = await deploys.until_waits(waits, "waits for approval")
    with pytest.raises(InvalidState, match="as its commit says"):
        await deploys.approve(waiting, BOB)


async def test_another_commit_that_a_rollback_brings_back_makes_nobody_a_party(deploys: Deploys) -> None:
    production = deploys.environment(rollback={"steps": [{"name": "back", "run": "./back.sh"}]})
    service = deploys.service(production)
    await deploys.live("1.0", service)
    deploys.script("deploy production 1.1", finds("zoe@example.com", outcome=Outcome.FAILED, exit_code=1))
    deploys.script("rollback", finds(BOB))
    back = await deploys.until_status(await deploys.start("1.1", service), "rolled_back")
    assert [each.author.address for each in back.git_people] == ["zoe@example.com"]


async def test_a_job_that_comes_after_the_first_approval_counts_for_the_next(deploys: Deploys) -> None:
    deploys.script("deploy staging", finds(BOB))
    asks: dict[str, Any] = {"approval": {"required": 1}}
    service = deploys.service(deploys.environment("staging", **asks), deploys.environment(**asks))
    waiting = await deploys.until_waits(await deploys.start("1.0", service), "waits for approval of staging")
    assert waiting.git_people == []
    await deploys.approve(waiting, BOB)
    waiting = await deploys.until_waits(waiting, "waits for approval of production")
    with pytest.raises(InvalidState, match="as its commit says"):
        await deploys.approve(waiting, BOB)
    await deploys.approve(waiting, CAT)
    await deploys.until_status(waiting, "live")
