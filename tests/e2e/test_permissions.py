"""The AWS policies of docs/processes.md against every call in the code, and against those that processes make."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activities.stores.dynamo import client as aws_client
from api.cli.stack.embedded import AWS_TRACE_FILE
from tests.e2e.separate import ADMIN_KEY, Processes, Surroundings, surrounded
from tests.e2e.stack import repository, run
from tests.servers import OWN_CODE, http, wait_until

ROOT = Path(__file__).parents[2]
S3 = {
    "abort_multipart_upload": "s3:AbortMultipartUpload",
    "complete_multipart_upload": "s3:PutObject",
    "create_bucket": "s3:CreateBucket",
    "create_multipart_upload": "s3:PutObject",
    "delete_object": "s3:DeleteObject",
    "delete_objects": "s3:DeleteObject",
    "get_object": "s3:GetObject",
    "head_bucket": "s3:ListBucket",
    "head_object": "s3:GetObject",
    "list_objects_v2": "s3:ListBucket",
    "put_bucket_lifecycle_configuration": "s3:PutLifecycleConfiguration",
    "put_object": "s3:PutObject",
    "upload_part": "s3:PutObject",
}
"""What AWS asks for a call, by its service authorization reference."""
TRANSACTED = {f"dynamodb:{each}" for each in ("ConditionCheckItem", "DeleteItem", "PutItem", "UpdateItem")}


def _policies() -> tuple[set[str], set[str]]:
    """The actions of the API, and those that a worker has besides."""
    text = (ROOT / "docs" / "processes.md").read_text("utf-8")
    found = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    api, worker = ({action for each in policy["Statement"] for action in each["Action"]} for policy in found)
    return api, worker


def _actions(service: str, call: str) -> set[str]:
    if service == "s3":
        return {S3[call]}
    if call == "transact_write_items":
        return TRANSACTED
    return {f"dynamodb:{''.join(word.capitalize() for word in call.split('_'))}"}


def test_the_policies_name_what_the_code_calls_and_nothing_else() -> None:
    wanted = {"s3:AbortMultipartUpload", "s3:PutObject"}  # upload_fileobj, in parts
    for file in (ROOT / "activities" / "stores").rglob("*.py"):
        for service, call in re.findall(r"\.(?:patient_)?(dynamodb|s3)\.([a-z_0-9]+)\b", file.read_text("utf-8")):
            client: Any = getattr(aws_client, f"_{service}_client")(_settings())
            if call not in {"close", "meta", "upload_fileobj"} and hasattr(client, call):
                wanted |= _actions(service, call)
    api, worker = _policies()
    assert api | worker == wanted
    assert not api & worker


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    folder = tmp_path_factory.mktemp("permissions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(AWS_TRACE_FILE, str(folder / "trace.jsonl"))
        with surrounded(folder) as found:
            yield found


def test_processes_call_nothing_else(surroundings: Surroundings) -> None:
    """An operator creates; a worker finds all there; then an API works alone."""
    processes, trace = Processes(surroundings), surroundings.folder / "trace.jsonl"
    own, created = dict(processes.environment("worker")), _policies()
    done = run(["storage", "create"], env={"PATH": "/usr/bin:/bin", **OWN_CODE, **own})
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "are there" in done.stdout
    assert _traced(trace) >= {"dynamodb:CreateTable", "s3:CreateBucket"}
    repo = surroundings.folder / "repo"
    job = {
        "job_type": "test", "git_repo": repo.as_uri(), "git_commit_sha": repository(repo),
        "git_author": "a@example.com", "steps": [{"name": "greet", "run": "echo hello | tee out.txt"}],
        "artifacts": ["out.txt"],
    }  # fmt: skip
    try:
        began = trace.stat().st_size
        for name in ("worker", "api", "agent"):
            processes.start(name)
        for name in ("worker", "api", "agent"):
            processes.wait_ready(name)
        with http(surroundings.url, ADMIN_KEY) as client:
            path = f"/api/dashboard/jobs/{client.post('/api/dashboard/jobs', json=job).json()['job_id']}"
            wait_until(lambda: client.get(path).json()["status"] == "success", seconds=60, what="the job's end")
            assert client.get("/api/storage").status_code == 200
            assert processes.stop(signal.SIGTERM, "worker", "agent") == {"worker": 0, "agent": 0}
            assert _traced(trace, began) <= created[0] | {"dynamodb:DescribeTimeToLive"}
            began = trace.stat().st_size
            for read in (path, f"{path}/logs", "/api/dashboard/jobs", "/api/events", "/health/system", "/api/agents"):
                assert client.get(read).status_code < 500
        assert _traced(trace, began) <= created[0]
    finally:
        processes.kill()


def _traced(trace: Path, began: int = 0) -> set[str]:
    found: set[str] = set()
    for line in trace.read_bytes()[began:].decode().splitlines(keepends=True):
        if not line.endswith("\n"):
            break  # it is being written
        each = json.loads(line)
        call = re.sub(r"(?<!^)(?=[A-Z])", "_", each["operation"]).lower().replace("_v2", "")
        call = {"list_objects": "list_objects_v2", "list_objects_v": "list_objects_v2"}.get(call, call)
        found |= _actions(each["service"], call)
    return found


def _settings() -> Any:
    from activities.stores.settings import StoreSettings

    return StoreSettings(dynamodb_endpoint_url="http://127.0.0.1:9", s3_endpoint_url="http://127.0.0.1:9")
