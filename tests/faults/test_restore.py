"""A restore in which Temporal and the stores are of different moments: every record agrees with its workflow again.

`up` is stopped, its data folder copied, more is done, stopped and copied again; then Temporal's file of one moment is
put beside the stores of the other. Deliberately not here: backups of AWS and PostgreSQL (docs/operations.md).
"""

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from tests.e2e.stack import Stack, repository
from tests.servers import HOST, wait_until
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.ids import deployment_workflow_id, environment_workflow_id, job_workflow_id
from workflows.contracts.jobs import Job

NOWHERE = "nowhere"
SERVICE = {
    "environments": [
        {"name": "staging", "pool": "default", "steps": [{"name": "ship", "run": "true"}]},
        {
            "name": "production", "pool": "default", "steps": [{"name": "ship", "run": "true"}],
            "approval": {"required": 1, "allow_author": True},
        },
    ]
}  # fmt: skip
OPEN_DEPLOYMENTS = ("pending", "staging", "staged", "production", "live")


class Story:
    """What is done with one stack, in two parts; ``folder`` holds its copies."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.stack = folder, Stack(folder)
        self.repo = folder / "repo"
        self.sha = repository(self.repo)
        self.ids: dict[str, str] = {}

    def first(self) -> None:
        self.submit("done")
        self.submit("cancelled later", pool=NOWHERE)
        self.submit("moved later", pool=NOWHERE)
        self.submit("fails later", pool=NOWHERE, run="exit 3")
        service = {**SERVICE, "git_repo": self.repo.as_uri()}
        self.call("PUT", "/api/dashboard/services/shop", service)
        self.deploy("1.0")
        self.approve("1.0")
        self.deployed("1.0", "live")
        self.deploy("2.0")
        self.deployed("2.0", "staged")
        self.ended("done")

    def second(self) -> None:
        self.call("POST", f"/api/dashboard/jobs/{self.ids['cancelled later']}/cancel", {"reason": "not needed"})
        for name in ("moved later", "fails later"):
            self.call("PATCH", f"/api/dashboard/jobs/{self.ids[name]}", {"pool": "default"})
        self.submit("done later")
        self.submit("new and waiting", pool=NOWHERE)
        self.approve("2.0")
        self.deployed("2.0", "live")
        self.deploy("3.0")
        self.deployed("3.0", "staged")
        for name in ("moved later", "done later", "cancelled later", "fails later"):
            self.ended(name)

    def submit(self, name: str, *, pool: str = "default", run: str = "true") -> None:
        job = {
            "job_type": "test", "git_repo": self.repo.as_uri(), "git_commit_sha": self.sha, "pool": pool,
            "git_author": "a@example.com", "steps": [{"name": "run", "run": run}], "retry": {"max_attempts": 1},
        }  # fmt: skip
        self.ids[name] = self.call("POST", "/api/dashboard/jobs", job)["job_id"]

    def ended(self, name: str) -> None:
        final = ("success", "cancelled", "failed", "dead_lettered")
        path = f"/api/dashboard/jobs/{self.ids[name]}"
        wait_until(lambda: self.call("GET", path)["status"] in final, seconds=60, what=f"{name} being over")

    def deploy(self, version: str) -> None:
        wanted = {
            "service_name": "shop", "version": version, "git_commit_sha": self.sha, "git_author": "a@example.com",
        }  # fmt: skip
        self.ids[version] = self.call("POST", "/api/dashboard/deployments", wanted)["deployment_id"]

    def approve(self, version: str) -> None:
        path = f"/api/dashboard/deployments/{self.ids[version]}/approve"

        def approved() -> bool:
            """It waits for it some moments after it is staged."""
            with self.stack.http() as client:
                return client.post(path, json={"comment": "go"}).status_code < 300

        wait_until(approved, seconds=60, what=f"{version} being approved")

    def deployed(self, version: str, status: str) -> None:
        path = f"/api/dashboard/deployments/{self.ids[version]}"
        wait_until(lambda: self.call("GET", path)["status"] == status, seconds=60, what=f"{version} being {status}")

    def deployment(self, version: str) -> Any:
        return self.call("GET", f"/api/dashboard/deployments/{self.ids[version]}")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        with self.stack.http() as client:
            answer = client.request(method, path, json=body)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def warnings(self) -> str:
        """Of the control worker, the last ones."""
        lines = (self.stack.data / "logs" / "worker.log").read_text().splitlines()
        return "\n".join([line for line in lines if '"INFO"' not in line][-20:])

    def run(self, part: Callable[[], None]) -> None:
        self.stack.start()
        self.stack.wait_ready()
        part()
        assert self.stack.stop() == 0

    def copy(self, name: str) -> None:
        shutil.copytree(self.stack.data, self.folder / name, symlinks=True)

    def restore(self, *, temporal: str, stores: str) -> None:
        """Temporal's file of one copy, all the rest of the other."""
        shutil.rmtree(self.stack.data)
        shutil.copytree(self.folder / stores, self.stack.data, symlinks=True)
        for file in self.stack.data.glob("temporal.db*"):
            file.unlink()
        for file in (self.folder / temporal).glob("temporal.db*"):
            shutil.copy2(file, self.stack.data / file.name)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Any:
    story = Story(tmp_path_factory.mktemp("restore"))
    try:
        story.run(story.first)
        story.copy("early")
        story.run(story.second)
        story.copy("late")
        yield story
    finally:
        story.stack.kill_everything()


LATE = {"1.0": "superseded", "2.0": "live", "3.0": "staged"}


@pytest.mark.parametrize(
    ("temporal", "stores", "becomes"),
    [("late", "early", LATE), ("early", "late", LATE | {"3.0": "failed"})],
    ids=["older stores", "older Temporal"],
)
async def test_every_record_agrees_with_its_workflow(
    story: Story, temporal: str, stores: str, becomes: dict[str, str]
) -> None:
    """Of an older Temporal: what is live goes on where it is live, and nothing is rolled out a second time."""
    story.restore(temporal=temporal, stores=stores)
    story.stack.start()
    try:
        story.stack.wait_ready()
        client = await Client.connect(
            f"{HOST}:{story.stack.ports['--temporal-port']}", data_converter=pydantic_data_converter
        )
        until = time.monotonic() + 300
        while (wrong := await _disagreeing(story, client)) and time.monotonic() < until:
            with story.stack.http() as api:  # 503: it takes longer than somebody waits; then it goes on by itself
                assert api.post("/api/queue/maintenance/requeue-expired").status_code in {200, 503}
            await asyncio.sleep(3)
        assert wrong == {}, story.warnings()
        found = {version: story.deployment(version) for version in becomes}
        assert {version: each["status"] for version, each in found.items()} == becomes
        assert [len(stage["job_ids"]) for stage in found["2.0"]["stages"]] == [1, 1]
        if found["3.0"]["status"] == "failed":
            assert found["3.0"]["cause"] == "workflow_terminated"
            assert "Temporal was restored from an older backup" in found["3.0"]["error_message"]
        story.submit("after the restore")
        story.ended("after the restore")
        await _goes_on(story, client, f"4.0-{temporal}", over="2.0")
    finally:
        story.stack.stop()


async def _goes_on(story: Story, client: Client, version: str, *, over: str) -> None:
    """The locks work: the next version takes the place of what is live."""
    story.deploy(version)
    story.approve(version)
    story.deployed(version, "live")
    story.deployed(over, "superseded")
    assert await _environments(story, client) == {}


async def _disagreeing(story: Story, client: Client) -> dict[str, str]:
    """What a record says that its workflow does not, or the other way round."""
    names: dict[str, str] = {identity: name for name, identity in story.ids.items()}
    wrong: dict[str, str] = {}
    jobs: dict[str, str] = {
        job["job_id"]: job["status"] for job in story.call("GET", "/api/dashboard/jobs?limit=100")["items"]
    }
    shown: Any = story.call("GET", "/api/dashboard/deployments?limit=100")["items"]
    for job_id, status in jobs.items():
        told = await _workflow(client, job_workflow_id(job_id), Job)
        if told != status and not (told is None and status in {"error", "success", "cancelled", "failed"}):
            wrong[names.get(job_id, job_id)] = f"record {status}, workflow {told}"
    for each in shown:
        workflow_id = deployment_workflow_id("shop", str(each["version"]), str(each["deployment_id"]))
        told = await _workflow(client, workflow_id, Deployment)
        if told != each["status"] and not (told is None and each["status"] not in OPEN_DEPLOYMENTS):
            wrong[str(each["version"])] = f"record {each['status']}, workflow {told}"
    known = set(jobs) | {each["deployment_id"] for each in shown}
    query = "ExecutionStatus = 'Running' AND WorkflowType IN ('JobWorkflow', 'DeploymentWorkflow')"
    async for each in client.list_workflows(query):
        if not any(one in each.id for one in known):
            wrong[each.id] = "an open workflow without a record"
    return wrong | await _environments(story, client)


async def _environments(story: Story, client: Client) -> dict[str, str]:
    """Environments of which the record says something else than the workflow: what is live, who holds it or waits."""
    wrong: dict[str, str] = {}
    for record in story.call("GET", "/api/dashboard/services/shop/environments")["items"]:
        handle = client.get_workflow_handle(environment_workflow_id("shop", record["environment"]))
        state: Any = await handle.query("state")
        told, said = ({name: _ids(each[name]) for name in ("live", "holder", "queue")} for each in (state, record))
        if told != said:
            wrong[record["environment"]] = f"record {said}, workflow {told}"
    return wrong


def _ids(of: Any) -> list[Any]:
    """Of one, of many, of none."""
    entries: Any = [of] if hasattr(of, "keys") else of or []
    return [each["deployment_id"] for each in entries]


async def _workflow(client: Client, workflow_id: str, kind: type[Any]) -> str | None:
    """The status that the workflow has, open or closed; None: there is none, or it was ended by force."""
    handle = client.get_workflow_handle(workflow_id, result_type=kind)
    try:
        status = (await handle.describe()).status
        if status is WorkflowExecutionStatus.RUNNING:
            return (await handle.query("state", result_type=kind)).status.value
        ended: Any = await handle.result() if status is WorkflowExecutionStatus.COMPLETED else None
        return None if ended is None else ended.status.value
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None
