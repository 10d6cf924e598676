"""What a queued job waits for, when that is the agent that has what it has done."""

from typing import Any

import pytest

from api.agents.waiting import waits_for_its_agent
from workflows.contracts.jobs import Attempt, Job
from workflows.contracts.statuses import JobStatus, Outcome
from workflows.contracts.workspace.resume import ResumeAt

NOW = 1_800_000_000_000


def a_job(**fields: Any) -> Job:
    lost = Attempt(number=1, queued_at=NOW - 9000, agent_id="build-1", outcome=Outcome.AGENT_LOST)
    base: dict[str, Any] = {
        "job_id": "j", "job_type": "t", "git_repo": "file:///s", "git_commit_sha": "a" * 40, "git_author": "a",
        "created_at": 1, "status": JobStatus.QUEUED, "queued_at": NOW - 20_000, "attempts": [lost],
        "resume": ResumeAt.STEP,
    }  # fmt: skip
    return Job(**{**base, **fields})


def test_it_says_for_whom_and_how_long() -> None:
    said = waits_for_its_agent(a_job(), NOW)
    assert said == "waits for agent build-1, which has its finished steps; in 40 s any agent may begin it anew"


@pytest.mark.parametrize("fields", [{"queued_at": NOW - 61_000}, {"resume": None}, {"attempts": []}])
def test_else_it_waits_as_all_do(fields: dict[str, Any]) -> None:
    assert waits_for_its_agent(a_job(**fields), NOW) is None
