"""Agents on another host: nothing but a key, the API's and the gateway's address; and what an attacker gets there."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.other_host import HYBRIDCI, OtherHost, why_not
from tests.e2e.stack import Stack, repository
from tests.servers import free_port, http, wait_until

POOL = "far"
REACHES = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


class Place:
    """A stack here, a host there, and what an operator does."""

    def __init__(self, folder: Path, host: OtherHost) -> None:
        self.folder, self.host = folder, host
        self.stack = Stack(folder)
        self.stack.ports["--gateway-port"] = free_port()
        self.stack.url = f"http://{host.near}:{self.stack.ports['--api-port']}"
        self.admin = http(self.stack.url)
        self.sha = repository(folder / "shop")
        for path in (folder / "shop").rglob("*"):
            os.chown(path, host.user, host.user)
        os.chown(folder / "shop", host.user, host.user)

    def start(self) -> None:
        self.stack.start("--host", self.host.near, "--agents", "0")
        self.stack.wait_ready()
        self.admin.headers["Authorization"] = f"Bearer {(self.stack.data / 'admin.key').read_text().strip()}"
        made = self.admin.post("/api/access/keys", json={"name": POOL, "grants": [{"role": "agent", "pools": [POOL]}]})
        assert made.status_code == 201, made.text
        self.key = str(made.json()["key"])

    def stop(self) -> None:
        self.admin.close()
        self.stack.kill_everything()

    def json(self, *arguments: str) -> Any:
        done = self.stack.cli(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def agent(self, name: str) -> subprocess.Popen[bytes]:
        """An ordinary agent there: a key and the API's address; the gateway's comes with the registration."""
        process = self.host.start(
            name, [*HYBRIDCI, "agent"], HYBRIDCI_URL=self.stack.url, HYBRIDCI_API_KEY=self.key,
            HYBRIDCI_AGENT_POOL=POOL, HYBRIDCI_AGENT_ID=name, HYBRIDCI_AGENT_CAPACITY="2",
            HYBRIDCI_AGENT_DIR=str(self.host.folder / name / "state"),
        )  # fmt: skip
        try:
            wait_until(lambda: self.status(name) == "HEALTHY", seconds=60, what=f"{name} being well")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.host.log(name)[-1500:]}") from None
        return process

    def status(self, agent: str) -> str | None:
        answer = self.admin.get(f"/api/agents/{agent}")
        return str(answer.json()["status"]) if answer.status_code == 200 else None

    def submit(self, command: str) -> str:
        body = {
            "job_type": "test", "git_repo": f"file://{self.folder}/shop", "git_commit_sha": self.sha, "pool": POOL,
            "git_author": "ann@example.com", "steps": [{"name": "step", "run": command}],
        }  # fmt: skip
        answer = self.admin.post("/api/dashboard/jobs", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["job_id"])

    def job(self, job_id: str) -> Any:
        return self.admin.get(f"/api/dashboard/jobs/{job_id}").json()

    def succeeded(self, job_id: str, seconds: float) -> Any:
        wait_until(lambda: self.job(job_id)["status"] == "success", seconds=seconds, what=f"{job_id} succeeding")
        return self.job(job_id)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("here")
    there = tmp_path_factory.mktemp("there")
    for path in (folder, there, *folder.parents, *there.parents):
        if path.owner() == "root" and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)  # the far user passes through, as on a shared disk
    (folder / "data").mkdir(0o700)
    with OtherHost(there, hidden=folder / "data") as host:
        place = Place(folder, host)
        try:
            place.start()
            yield place
        finally:
            place.stop()


def test_the_other_host_reaches_the_api_and_the_gateway_only(place: Place) -> None:
    ports = place.stack.ports
    reached = {
        option: place.host.run([sys.executable, "-c", REACHES, place.host.near, str(port)]).returncode == 0
        for option, port in ports.items()
    }
    assert reached == {option: option in {"--api-port", "--gateway-port"} for option in ports}
    assert place.host.run(["cat", str(place.stack.data / "admin.key")]).returncode != 0


def test_agents_join_die_drain_and_a_script_takes_over(place: Place) -> None:
    first = place.agent("one")
    second = place.agent("two")
    begun, killed = place.folder / "begun", place.folder / "killed"
    both = [place.submit(f"hostname; until [ -e {begun} ]; do sleep 0.1; done") for _ in range(4)]
    wait_until(
        lambda: all(place.job(job_id)["agent_id"] for job_id in both), seconds=30, what="as many jobs as both can run"
    )
    begun.touch()
    ran = {place.succeeded(job_id, 30)["agent_id"] for job_id in both}
    assert ran == {"one", "two"}

    held = place.submit(f"until [ -e {killed} ]; do sleep 0.1; done")
    wait_until(lambda: place.job(held)["agent_id"] is not None, seconds=60, what="the job's start")
    victim = place.job(held)["agent_id"]
    other = "two" if victim == "one" else "one"
    os.killpg(first.pid if victim == "one" else second.pid, signal.SIGKILL)
    killed.touch()
    done = place.succeeded(held, 60)
    assert [(attempt["agent_id"], attempt["outcome"]) for attempt in done["attempts"]] == [
        (victim, "agent_lost"),
        (other, "succeeded"),
    ]

    script = Path(__file__).with_name("http_agent.py")
    place.host.start(
        "script", [sys.executable, str(script), "script", POOL],
        HYBRIDCI_URL=place.stack.url, HYBRIDCI_API_KEY=place.key,
    )  # fmt: skip
    wait_until(lambda: place.status("script") == "HEALTHY", seconds=60, what="the script's registration")
    drained = place.admin.post(f"/api/agents/{other}/drain", json={"reason": "new kernel"})
    assert drained.status_code == 200, drained.text
    assert (first if other == "one" else second).wait(40) == 0, "drained, it ends by itself"
    wait_until(lambda: place.status(victim) == "OFFLINE", seconds=60, what="the dead agent seen as dead")
    last = place.succeeded(place.submit("echo by hand"), 60)
    assert last["agent_id"] == "script"


def test_an_attacker_with_an_agents_token_gets_nothing_else(place: Place) -> None:
    near = place.stack.url
    registered = httpx.post(
        f"{near}/api/agents/register", headers={"Authorization": f"Bearer {place.key}"},
        json={"agent_id": "mallory", "instance": "mallory-1234", "pool": POOL},
    )  # fmt: skip
    assert registered.status_code in {200, 201}, registered.text
    token = registered.json()["token"]
    mallory = http(near, token)
    job_id = place.submit("sleep 1")
    tried = {
        "read a job": mallory.get(f"/api/dashboard/jobs/{job_id}"),
        "list jobs": mallory.get("/api/dashboard/jobs"),
        "submit": mallory.post("/api/dashboard/jobs", json={}),
        "cancel": mallory.post(f"/api/dashboard/jobs/{job_id}/cancel", json={}),
        "list keys": mallory.get("/api/access/keys"),
        "make a key": mallory.post("/api/access/keys", json={"name": "x", "grants": [{"role": "admin"}]}),
        "approve": mallory.post(f"/api/dashboard/deployments/{job_id}/approve", json={}),
        "drain another": mallory.post("/api/agents/two/drain", json={}),
        "beat for another": mallory.post("/api/agents/two/heartbeat", json={"sequence": 1}),
        "another pool": mallory.post("/api/queue/claim", json={"pool": "default", "agent_id": "mallory"}),
        "another's name": mallory.post("/api/queue/claim", json={"pool": POOL, "agent_id": "two"}),
        "join another pool": mallory.post(
            "/api/agents/register", json={"agent_id": "mallory", "instance": "mallory-1234", "pool": "default"}
        ),
        "read the trail": mallory.get("/api/events"),
    }
    assert {what: answer.status_code for what, answer in tried.items()} == dict.fromkeys(tried, 403)
    assert all(token not in answer.text for answer in tried.values())
    mallory.close()
    assert place.job(job_id)["status"] in {"queued", "running", "success"}
