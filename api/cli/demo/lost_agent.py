"""One chapter that spans the others: an agent is killed in the middle of a job, which ends on the other agent.

It begins early and is looked at late, because the other agent takes over when the lease of 30 s is over.
"""

import os
import signal
from pathlib import Path
from typing import Final

from api.cli.data_dir import read_json
from api.cli.demo.checks import DemoFailed, expect, wait_for
from api.cli.demo.control import Control
from api.cli.demo.demo_service import AUTHOR, FIRST, Shop
from api.cli.demo.narrate import Narrator
from api.cli.leftovers import AGENT_PREFIX
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

    def __init__(self, narrator: Narrator, control: Control, shop: Shop, folder: Path) -> None:
        self._narrator, self._control, self._shop = narrator, control, shop
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
        name, pid = self._agent(job.agent_id or "")
        tell.say(f"A job of six seconds runs on {name}; now {name} is killed in the middle of it.")
        tell.command(f"kill -9 {pid}    # {name}")
        os.kill(pid, signal.SIGKILL)
        wait_for(
            f"{name} after its death", lambda: self._pid(name), lambda seen: seen != pid,
            expected="another process in its place", seconds=10,
        )  # fmt: skip
        tell.checked(f"The stack has started {name} again; the lost job goes on elsewhere within {LEASE_SECONDS} s.")
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
        self._narrator.checked(f"Attempt 1 on {self._agent(first)[0]}: lost. {_second(job, self._agent(second)[0])}")
        self._narrator.link("the job", self._control.ui(job_workflow_id(job.job_id)))

    def _agent(self, agent_id: str) -> tuple[str, int]:
        """Name and process id of the agent that calls itself so."""
        for number in range(1, self._control.options.agents + 1):
            known = self._control.data.agent(number) / "agent-id"
            if known.exists() and known.read_text(encoding="utf-8").strip() == agent_id:
                name = f"{AGENT_PREFIX}-{number}"
                return name, self._pid(name)
        raise DemoFailed("The agent that runs the long job", expected="one of this stack's", seen=agent_id)

    def _pid(self, name: str) -> int:
        children: list[dict[str, object]] = read_json(self._control.data.processes).get("children", [])
        return next((int(str(child["pid"])) for child in children if child["name"] == name), 0)


def _second(job: Job, agent: str) -> str:
    lost, again = job.attempts
    waited = ((again.started_at or 0) - (lost.started_at or 0)) / 1000
    return f"Attempt 2 on {agent}: began {span(waited)} after the first and succeeded."
