"""Questions to a pool's agents over HTTP and from the command line: what is taken, who may ask, what is answered."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.cli.commands.fleet import ask
from tests.api.cli_bench import ADMIN_KEY, Served, environment, served
from tests.api.conftest import Bench
from tests.api.fake_tasks import FakeTasks, result, yes
from tests.api.gate import Gate
from workflows.contracts.errors import Unavailable
from workflows.contracts.tasks import (
    Answer,
    CommitsAnswer,
    CommitTime,
    FileAnswer,
    HeadAnswer,
    MetricAnswer,
    PathsAnswer,
    ReadyAnswer,
    TaskOutcome,
    TaskResult,
    TaskStart,
)

TASKS = "/api/agents/pools/linux/tasks"
A, B = "a" * 40, "b" * 40
REPO = "https://example.com/shop.git"
QUESTION = {"kind": "ancestry", "git_repo": REPO, "ancestor": A, "descendant": B}


def tasks_of(services: Any) -> FakeTasks:
    found = services.task_client
    assert isinstance(found, FakeTasks)
    return found


@pytest.fixture
def tasks(bench: Bench) -> FakeTasks:
    return tasks_of(bench.app.state.services)


async def test_a_question_is_asked_in_its_callers_name_and_answered(bench: Bench, tasks: FakeTasks) -> None:
    answer = await bench.admin.post(TASKS, json={"question": QUESTION, "timeout_seconds": 5})
    assert answer.status_code == 201, answer.text
    (start,) = tasks.asked
    assert (start.pool, start.seconds, start.by, start.via, start.role) == ("linux", 5, "admin", "api", "admin")
    assert start.service is None
    view = answer.json()
    assert (view["outcome"], view["agent_id"]) == ("answered", "agent-1")
    assert view["answer"] == {"kind": "ancestry", "is_ancestor": True, "complete": True}
    own = answer.headers["Location"]
    assert own == f"{TASKS}/{start.task_id}"
    assert (await bench.admin.get(own)).json() == view


async def test_where_there_is_nobody_to_ask_the_answer_says_so(bench: Bench, tasks: FakeTasks) -> None:
    tasks.answer = lambda start: result(start, TaskOutcome.NOT_OFFERED, message="No agent of pool linux …")
    view = (await bench.admin.post(TASKS, json={"question": QUESTION})).json()
    assert (view["outcome"], view["answer"]) == ("not_offered", None)


async def test_a_slow_question_is_looked_at_again_and_can_be_withdrawn(bench: Bench, tasks: FakeTasks) -> None:
    tasks.answer = None
    view = (await bench.admin.post(TASKS, json={"question": QUESTION})).json()
    assert view["outcome"] is None
    own = f"{TASKS}/{view['task_id']}"
    assert (await bench.admin.get(own)).json()["outcome"] is None
    assert (await bench.admin.post(f"{own}/cancel")).json()["outcome"] == "cancelled"
    assert (await bench.admin.get(own)).json()["outcome"] == "cancelled"


async def test_one_key_asks_once_and_no_other_question(bench: Bench, tasks: FakeTasks) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await bench.admin.post(TASKS, json={"question": QUESTION}, headers=headers)
    again = await bench.admin.post(TASKS, json={"question": QUESTION}, headers=headers)
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replay"] == "true"
    assert len(tasks.asked) == 1
    other = await bench.admin.post(TASKS, json={"question": {**QUESTION, "ancestor": B}}, headers=headers)
    assert other.status_code == 409


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "question"),
    ({"question": {}}, "question"),
    ({"question": {"kind": "run", "command": "id"}}, "question"),
    ({"question": {**QUESTION, "command": "id"}}, "question.command"),
    ({"question": {**QUESTION, "ancestor": "main"}}, "question.ancestor"),
    ({"question": {**QUESTION, "git_repo": "ext::sh -c id"}}, "question.git_repo"),
    ({"question": {**QUESTION, "git_repo": "https://u:p@example.com/x"}}, "question.git_repo"),
    ({"question": {**QUESTION, "git_ref": "--upload-pack=id"}}, "question.git_ref"),
    ({"question": QUESTION, "timeout_seconds": 0}, "timeout_seconds"),
    ({"question": QUESTION, "timeout_seconds": 100_000}, "timeout_seconds"),
    ({"question": QUESTION, "service": "checkout"}, "service"),
    (
        {"question": {"kind": "file", "git_repo": REPO, "git_commit_sha": A, "path": "../../etc/passwd"}},
        "question.path",
    ),
    (
        {"question": {"kind": "file", "git_repo": REPO, "git_commit_sha": A, "path": "/etc/passwd"}},
        "question.path",
    ),
    (
        {"question": {"kind": "commits", "git_repo": REPO, "older": A, "newer": B, "limit": 501}},
        "question.limit",
    ),
    ({"question": {"kind": "metric", "name": "$(id)"}}, "question.name"),
    (
        {"question": {"kind": "ready", "git_repo": REPO, "git_commit_sha": A, "artifact": "x\u202e"}},
        "question.artifact",
    ),
]


@pytest.mark.parametrize(("body", "field"), BAD)
async def test_what_is_no_question_is_refused_by_field(
    bench: Bench, tasks: FakeTasks, body: dict[str, Any], field: str
) -> None:
    answer = await bench.admin.post(TASKS, json=body)
    assert answer.status_code == 422, answer.text
    assert field in {each["field"] for each in answer.json()["errors"]}, answer.json()
    assert tasks.asked == []


async def test_only_who_may_operate_a_pool_asks_its_agents(bench: Bench) -> None:
    gate = Gate(bench)
    body = {"question": QUESTION}
    for role, status in {"viewer": 403, "developer": 403, "approver": 403, "agent": 403, "operator": 201}.items():
        key = (await gate.make({"role": role}))["key"]
        assert await gate.status(key, "POST", TASKS, json=body) == status, role
    key = (await gate.make({"role": "operator", "pools": ["linux"]}))["key"]
    assert await gate.status(key, "POST", TASKS, json=body) == 201
    assert await gate.status(key, "POST", TASKS.replace("linux", "mac"), json=body) == 403
    task_id = tasks_of(bench.app.state.services).asked[-1].task_id
    assert await gate.status(key, "GET", f"{TASKS}/{task_id}") == 200
    for method, path in (("GET", task_id), ("POST", f"{task_id}/cancel")):
        assert await gate.status(key, method, f"{TASKS.replace('linux', 'mac')}/{path}") == 403
    narrow = (await gate.make({"role": "operator", "operations": ["read", "agents:operate"]}))["key"]
    assert await gate.status(narrow, "POST", TASKS, json=body) == 403
    of_a_service = (await gate.make({"role": "operator", "services": ["checkout"]}))["key"]
    assert await gate.status(of_a_service, "POST", TASKS, json=body) == 403


async def test_a_task_is_found_with_its_pool_only(bench: Bench, tasks: FakeTasks) -> None:
    task_id = (await bench.admin.post(TASKS, json={"question": QUESTION})).json()["task_id"]
    for path in (
        f"/api/agents/pools/mac/tasks/{task_id}",
        f"{TASKS}/00000000-0000-4000-8000-000000000000",
        f"{TASKS}/x",
    ):
        assert (await bench.admin.get(path)).status_code == 404
        assert (await bench.admin.post(f"{path}/cancel")).status_code == 404


async def test_without_temporal_it_says_so(bench: Bench, tasks: FakeTasks) -> None:
    tasks.failure = Unavailable("Temporal does not answer.")
    assert (await bench.admin.post(TASKS, json={"question": QUESTION})).status_code == 503


@pytest.fixture
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def call(api: Served, *arguments: str) -> Result:
    env: dict[str, str | None] = {**environment(api.url, ADMIN_KEY), "HYBRIDCI_DATA_DIR": None}
    return CliRunner().invoke(ask.app, list(arguments), env=env)


def answered(answer: Answer) -> Any:
    def script(start: TaskStart) -> TaskResult:
        return result(start, TaskOutcome.ANSWERED, agent_id="agent-1", answer=answer)

    return script


ANSWERS: dict[str, tuple[list[str], Answer, int, str]] = {
    "commits": (
        ["commits", A, B, "--limit", "1"],
        CommitsAnswer(commits=[CommitTime(sha=B, committed_at=0)], truncated=True, complete=True),
        0,
        f"{B}  1970-01-01 00:00:00 UTC",
    ),
    "paths": (["paths", A, B], PathsAnswer(paths=["a b", "c"], truncated=False), 0, "a b\nc\n"),
    "head": (["head", "main", A], HeadAnswer(head=A, is_head=True), 0, "yes\n"),
    "another head": (["head", "main", A], HeadAnswer(head=B, is_head=False), 1, f"no: {B}\n"),
    "no head": (["head", "main", A], HeadAnswer(head=None, is_head=False), 1, "no: there is no such ref\n"),
    "file": (
        ["file", A, "a.txt"],
        FileAnswer(exists=True, size=3, content=base64.b64encode(b"hi\n").decode()),
        0,
        "hi\n",
    ),
    "no file": (["file", A, "a.txt"], FileAnswer(exists=False), 1, "There is no file a.txt"),
    "ready": (["ready", A, "--artifact", "img"], ReadyAnswer(ready=True, commit=True, artifact=True), 0, "yes\n"),
    "not ready": (["ready", A], ReadyAnswer(ready=False, commit=False, why="It is gone."), 1, "no: It is gone.\n"),
    "metric": (["metric", "load"], MetricAnswer(value=0.25, at=1), 0, "0.25\n"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_the_command_line_asks_and_tells(api: Served, what: str) -> None:
    arguments, answer, code, said = ANSWERS[what]
    tasks = tasks_of(api.app.state.services)
    tasks.answer = answered(answer)
    repo = [] if arguments[0] == "metric" else ["--repo", REPO]
    done = call(api, *arguments, *repo, "--pool", "linux")
    assert done.exit_code == code, done.output
    assert said in done.output
    (start,) = tasks.asked
    assert (start.pool, start.via, start.question.kind) == ("linux", "cli", answer.kind)
    as_json = call(api, *arguments, *repo, "--json")
    assert as_json.exit_code == code


def test_no_answer_is_an_error_that_says_why(api: Served) -> None:
    tasks = tasks_of(api.app.state.services)
    tasks.answer = lambda start: result(start, TaskOutcome.FAILED, cause="unknown_commit", message="It is not there.")
    done = call(api, "ancestor", A, B, "--repo", REPO)
    assert (done.exit_code, "It is not there." in done.output) == (1, True)
    tasks.answer = yes
    done = call(api, "ancestor", A, B, "--repo", REPO)
    assert (done.exit_code, done.stdout) == (0, "yes\n")
    refused = call(api, "ancestor", "main", B, "--repo", REPO)
    assert (refused.exit_code, "question.ancestor" in refused.output) == (1, True)


def test_an_interrupted_question_is_withdrawn(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = tasks_of(api.app.state.services)
    tasks.answer = None

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("api.cli.client.http.ApiClient.get", interrupted)
    done = call(api, "ancestor", A, B, "--repo", REPO)
    assert done.exit_code == 130
    assert tasks.withdrawn == {tasks.asked[0].task_id}
