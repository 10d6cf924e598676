"""A real agent tells a real deployment whom its commit names; they do not approve it, whomever its starter named."""

from pathlib import Path

import pytest
from temporalio.client import Client

from tests.agent.agent_process import AgentProcess
from tests.unit.repositories import Repository
from tests.workflows.deployment_harness import CAT, deploys
from workflows.contracts.deployments.commands import CancelDeployment
from workflows.contracts.errors import InvalidState


@pytest.mark.parametrize("checked_by", ["build", "commit_on_ref"])
async def test_the_agent_of_the_first_job_finds_who_wrote_it(
    lone: AgentProcess, starter: Client, tmp_path: Path, checked_by: str
) -> None:
    lone.start()
    repository = Repository(tmp_path / "shop")
    sha = repository.commit(a="1")
    async with deploys(starter) as harness:
        asks = harness.environment(pool=lone.pool, approval={"required": 1})
        build = {"pool": lone.pool, "steps": [{"name": "make", "run": "true"}]}
        looks = {"build": build} if checked_by == "build" else {"commit_on_ref": True, "git_ref": "main"}
        service = harness.service(asks, git_repo=repository.url, **looks)
        waiting = await harness.until_waits(await harness.start("1.0", service, sha=sha), "for approval")
        (found,) = waiting.git_people
        assert str(found.author) == str(found.committer) == "a <a@example.com>"
        with pytest.raises(InvalidState, match=r"is the author of 1\.0, as its commit says"):
            await harness.approve(waiting, "a@example.com")
        assert (await harness.approve(waiting, CAT)).approvals[0].counts
        await harness.releases.command(waiting, CancelDeployment(by=CAT))
        assert (await harness.until(waiting, lambda each: each.closed)).git_people == [found]
