"""One chapter that spans the others: an agent is killed in the middle of a job, which ends on the other agent.

It begins early and is looked at late, because the other agent takes over when the lease of 30 s is over.
"""

from pathlib import Path
from typing import Final

from api.cli.demo.agents import Agents
from api.cli.demo.checks import DemoFailed, expect, wait_for
from api.cli.demo.control import Control
from api.cli.demo.demo_service import AUTHOR, FIRST, Shop
from api.cli.demo.narrate import Narrator
from api.cli.output import span
from workflows.contracts.ids import LEASE_SECONDS, job_workflow_id
from workflows.contracts.jobs import Job
from workflows.contracts.statuses import JobStatus, Outcome

_STEP: Final = """
: > "$MARK.$HYBRIDCI_ATTEMPT_NUMBER"
for number in 1 2 3 4 5 6; do echo "part $number of 6 on $HYBRIDCI_AGENT_ID"; sleep 1; done
"""


class LostAgent:
    """``begin`` it, do something else, ``end`` it."""

    def __init__(self, narrator: Narrator, control: Control, agents: Agents, shop: Shop, folder: Path) -> None:
        self._narrator, self._control, self._agents, self._shop = narrator, control, agents, shop
        self._mark = folder / "long-test"
        self._job_id = ""

    def begin(self) -> None:
        """Start a long job and kill its agent."""
        tell, control = self._narrator, self._control
        job = control.submit(
            {
                "job_type": "long-test", "git_repo": f"file://{self._shop.folder}", "git_author": AUTHOR,
                "git_commit_sha": self._shop.commits[FIRST], "env": {"MARK": str(self._mark)},
                "steps": [{"name": "six seconds of tests", "run": _STEP}],
            }
        )  # fmt: skip
        self._job_id = job.job_id
        first = self._mark.with_name(f"{self._mark.name}.1")
        wait_for("The long job's command", first.exists, bool, expected="that it runs", seconds=20)
        job = wait_for(
            "The long job", lambda: control.job(job.job_id), lambda seen: seen.agent_id is not None,
            expected="the agent that runs it", seconds=10,
        )  # fmt: skip
        name = self._agents.name_of(job.agent_id or "")
        tell.say(f"A job of six seconds runs on {name}; now {name} is killed in the middle of it.")
        tell.command(f"kill -9 {self._agents.pid(name)}    # {name}")
        self._agents.kill(name)
        tell.say(f"Its lease is over in {LEASE_SECONDS} s at most; meanwhile the story goes on.")
        tell.link("the job", control.ui(job_workflow_id(job.job_id)))

    def end(self) -> None:
        """See that the job has ended on the other agent."""
        job = wait_for(
            "The job of the killed agent", lambda: self._control.job(self._job_id), lambda seen: seen.status.ended,
            expected=f"its end by a second attempt, once the lease of {LEASE_SECONDS} s was over",
            seconds=LEASE_SECONDS + 30,
        )  # fmt: skip
        expect("The job's end", expected=JobStatus.SUCCESS, seen=job.status)
        outcomes = [attempt.outcome for attempt in job.attempts]
        expect("Its attempts", expected=[Outcome.AGENT_LOST, Outcome.SUCCEEDED], seen=outcomes)
        first, second = (attempt.agent_id or "" for attempt in job.attempts)
        if first == second:
            raise DemoFailed("The second attempt", expected=f"an agent other than {first}", seen=second)
        expect("Its command on the other agent", expected=True, seen=Path(f"{self._mark}.2").exists())
        lost, other = self._agents.name_of(first), self._agents.name_of(second)
        self._narrator.checked(f"Attempt 1 on {lost}: lost. {_second(job, other)}")
        self._narrator.link("the job", self._control.ui(job_workflow_id(job.job_id)))


def _second(job: Job, agent: str) -> str:
    lost, again = job.attempts
    waited = ((again.started_at or 0) - (lost.started_at or 0)) / 1000
    return f"Attempt 2 on {agent}: began {span(waited)} after the first and succeeded."
