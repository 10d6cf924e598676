"""Agents without Temporal as processes of their own, the program of docs/http-agent.md: run, cancelled, killed."""

import os
import sys
import time
from pathlib import Path

from api.cli.stack.launching import launch
from tests.e2e.test_http_agent import program
from tests.faults.plant import JOBS, Plant
from tests.servers import wait_until
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus


class ScriptAgent:
    """The script as a process of its own, with a key and an address and nothing else of ours."""

    def __init__(self, plant: Plant, name: str, pool: str) -> None:
        self.name, self.log = name, plant.folder / f"{name}.out"
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(plant.folder), "HYBRIDCI_URL": plant.stack.url,
            "HYBRIDCI_API_KEY": (plant.stack.data / "agent.key").read_text().strip(),
        }  # fmt: skip
        self.process = launch([sys.executable, "-c", program(), name, pool], self.log, env=environment)

    def kill(self) -> None:
        """kill -9 of the agent alone: what it ran goes on until its own end."""
        self.process.kill()
        self.process.wait(10)


def test_the_program_runs_jobs_and_honours_cancellation(plant: Plant) -> None:
    agent = ScriptAgent(plant, "script-1", "scripts")
    try:
        good = plant.submit(
            'cat hello.txt; echo "$GREETING"; exit 0', pool="scripts", env={"GREETING": "it's “fine”"},
        )  # fmt: skip
        (job,) = plant.wait_ended([good], seconds=30)
        assert (job.status, job.exit_code, job.agent_id) == (JobStatus.SUCCESS, 0, "script-1"), agent.log.read_text()
        assert plant.whole_log(good).decode().endswith("hello\nit's “fine”\n")
        shown = plant.http.get("/api/agents/script-1").json()
        assert (shown["status"], shown["via"]) == ("HEALTHY", "http")

        once = {"max_attempts": 1}
        bad, secret = plant.submit("exit 7", pool="scripts", retry=once), plant.submit("true", pool="scripts-2")
        lost = plant.submit("true", pool="scripts", git_commit_sha="0" * 40, retry={"checkout_attempts": 1})
        slow = plant.submit("sleep 30", pool="scripts", timeout_seconds=1)
        failed, unknown, late = plant.wait_ended([bad, lost, slow], seconds=60)
        assert [job.attempts[0].outcome for job in (failed, unknown, late)] == [
            Outcome.FAILED,
            Outcome.CHECKOUT_FAILED,
            Outcome.TIMED_OUT,
        ]
        assert failed.exit_code == 7
        assert plant.job(secret).queue_status is QueueStatus.QUEUED, "another pool's"

        long = plant.submit("sleep 60", pool="scripts")
        plant.wait_running(long)
        asked = time.time()
        plant.http.post(f"{JOBS}/{long}/cancel", json={"reason": "wrong branch"}).raise_for_status()
        (cancelled,) = plant.wait_ended([long], seconds=30)
        assert cancelled.status is JobStatus.CANCELLED
        assert (cancelled.attempts[0].finished_at or 0) / 1000 - asked < 8
    finally:
        agent.kill()


def test_every_job_ends_when_claimers_are_killed_at_random(plant: Plant, tmp_path: Path) -> None:
    """Four agents; two are killed in the middle of a job, and a new one takes their place."""
    agents = [ScriptAgent(plant, f"mortal-{number}", "mortals") for number in range(4)]
    killed = tmp_path / "killed"
    try:
        command = f"until [ -e {killed} ]; do sleep 0.1; done; sleep 1"
        job_ids = [plant.submit(command, pool="mortals") for _ in range(12)]
        for victim in agents[:2]:
            wait_until(lambda name=victim.name: _runs(plant, name), seconds=60, what=f"a job on {victim.name}")
            victim.kill()
        killed.touch()
        agents.append(ScriptAgent(plant, "mortal-4", "mortals"))
        jobs = plant.wait_ended(job_ids, seconds=90)
        assert {job.status for job in jobs} == {JobStatus.SUCCESS}
        ended = [[attempt.outcome for attempt in job.attempts] for job in jobs]
        assert sum(Outcome.AGENT_LOST in outcomes for outcomes in ended) == 2, "each of the dead had one job"
        assert all(outcomes.count(Outcome.SUCCEEDED) == 1 for outcomes in ended)
    finally:
        for agent in agents:
            agent.kill()


def _runs(plant: Plant, agent_id: str) -> bool:
    running = plant.http.get(f"{JOBS}/running").json()["items"]
    return any(job["agent_id"] == agent_id for job in running)
