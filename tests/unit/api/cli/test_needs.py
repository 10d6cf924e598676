"""What `status` says waits for somebody, and with which command; and what `doctor` says of agents."""

import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from temporalio.service import RPCError, RPCStatusCode

from api.agents.schemas import AgentViews, PoolViews
from api.cli.client.connection import ApiConnection
from api.cli.client.http import ApiClient
from api.cli.commands.overview.findings import EXIT_CODES, Grade, PartFinding, bad, ok, tell, warn, worst
from api.cli.commands.overview.gathering import Gathered, waiting
from api.cli.commands.overview.needs import agents_of, broke, needs_of
from api.cli.commands.overview.temporal_checks import temporal, words_of
from tests import servers
from workflows.contracts.deployments.deployment import DeploymentStatus, DeploymentSummary
from workflows.contracts.jobs import JobSummary
from workflows.contracts.statuses import JobStatus

NOW = 1_800_000_000_000
ID = "11111111-2222-3333-4444-555555555555"


def deployment(**changes: Any) -> DeploymentSummary:
    fields: dict[str, Any] = {
        "deployment_id": ID, "service_name": "shop", "version": "1.2", "status": DeploymentStatus.STAGED,
        "git_commit_sha": "a" * 40, "git_author": "ann", "environment": "production", "waits_for": "1 of 2 approvals",
        "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return DeploymentSummary.model_validate(fields | changes)


def job(job_id: str = ID, **changes: Any) -> JobSummary:
    fields: dict[str, Any] = {
        "job_id": job_id, "job_type": "test", "git_repo": "https://x.example/r.git", "git_commit_sha": "a" * 40,
        "git_author": "ann", "status": JobStatus.DEAD_LETTERED, "cause": "agent_lost", "created_at": NOW - 1000,
        "completed_at": NOW - 500, "error_message": "its agent is gone",
    }  # fmt: skip
    return JobSummary.model_validate(fields | changes)


@pytest.mark.parametrize(
    ("approval", "kind", "command", "urgent"),
    [
        ({"waits": True, "you_may": True, "missing": "1 more"}, "approval", "deploy approve 11111111", True),
        ({"waits": True, "you_may": False, "why_not": "you wrote it"}, "waits", "deploy approval 11111111", False),
        ({"waits": False}, "waits", "deploy show 11111111", False),
        (None, "waits", "deploy show 11111111", False),
    ],
)
def test_an_approval_is_ones_own_only_if_it_would_count(approval: Any, kind: str, command: str, urgent: bool) -> None:
    found = Gathered(waiting=[deployment()], approvals={} if approval is None else {ID: approval})
    [need] = needs_of(found, NOW)
    assert (need.kind, need.command, need.urgent) == (kind, command, urgent)


def test_a_failed_rollback_and_dead_letters_need_somebody() -> None:
    failed = deployment(status=DeploymentStatus.FAILED, cause="rollback_failed", error_message="no way back")
    found = Gathered(ended=[failed], dead=[job()], summary={"jobs_dead_lettered": 3})
    rollback, dead = needs_of(found, NOW)
    assert (rollback.kind, rollback.command, rollback.urgent) == ("rollback", "deploy show 11111111", True)
    assert (dead.kind, dead.command, dead.urgent) == ("dead_letters", "dlq list --cause agent_lost", True)
    assert dead.words == "1 of 3 dead letters; the last: its agent is gone"


def test_stuck_workflows_and_parts_come_first() -> None:
    stuck = {"kind": "job", "workflow_id": f"job-{ID}", "job_id": ID, "run_id": "r", "workflow_type": "JobWorkflow"}
    health = {"errors": [{"field": "worker", "message": "none asks for work"}], "items": [stuck]}
    part, workflow, _ = needs_of(Gathered(health=health, dead=[job()]), NOW)
    assert (part.kind, part.title, part.command) == ("part", "worker", "doctor")
    assert workflow.command.startswith(f"repair job {ID}")


@pytest.mark.parametrize(
    ("waiting", "agents", "words"),
    [
        (1, {}, "1 job waits in pool gpu and no agent of it is connected."),
        (2, {"OFFLINE": 1}, "2 jobs wait in pool gpu and no agent of it is connected."),
        (2, {"DRAINING": 1, "OFFLINE": 1}, None),
        (0, {}, None),
    ],
)
def test_a_pool_that_nobody_serves_needs_an_agent(waiting: int, agents: dict[str, int], words: str | None) -> None:
    numbers = dict.fromkeys(("slots", "busy", "free", "desired_agents", "desired_slots"), 0)
    pool = {"name": "gpu", "depth": {}, "waiting": waiting, "oldest_wait_seconds": 9, "agents": agents, "bounds": {},
            "bounded": False, **numbers}  # fmt: skip
    needs = needs_of(Gathered(pools=PoolViews.model_validate({"items": [pool]})), NOW)
    assert [(need.kind, need.title, need.command, need.urgent) for need in needs] == (
        [("pool", "pool gpu", "pool show gpu", True)] if words else []
    )
    if words:
        start = "Start one: `hybridci agent --pool gpu`, with a key of the pool (docs/agents.md)."
        assert needs[0].words == f"{words} {start}"


def test_what_broke_is_of_a_day_and_stands_once() -> None:
    old = job("22222222-2222-3333-4444-555555555555", completed_at=NOW - 90_000_000)
    found = Gathered(failed=[job()], dead=[job(), old])
    [row] = broke(found, NOW)
    assert (row.title, row.command) == ("test 11111111", "job logs 11111111")
    assert row.words == "dead lettered: its agent is gone"


def test_agents_that_are_well_are_not_named() -> None:
    fields: dict[str, Any] = {
        "pool": "p", "accepting": True, "seconds_since_heard": 1, "capacity": 1, "registered_at": NOW
    }  # fmt: skip
    agents = [
        {**fields, "agent_id": "a", "status": "HEALTHY"},
        {**fields, "agent_id": "b", "status": "OFFLINE", "words": ["is gone"]},
    ]
    [need] = agents_of(Gathered(agents=AgentViews.model_validate({"items": agents})))
    assert (need.title, need.command, need.urgent) == ("b", "agents show b", True)


@pytest.mark.parametrize(
    ("address", "tls", "words"),
    [
        ("127.0.0.1:{closed}", None, "nothing listens at 127.0.0.1:{closed}"),
        ("no-such-host.invalid:7233", None, "the host of no-such-host.invalid:7233 is not known"),
        ("127.0.0.1:{open}", None, "what listens at 127.0.0.1:{open} does not answer as Temporal does"),
        ("127.0.0.1:{open}", "true", "127.0.0.1:{open} and this machine cannot agree on TLS"),
    ],
)
def test_a_temporal_that_is_not_there_is_told_in_our_own_words(
    address: str, tls: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        monkeypatch.delenv(name)
    if tls:
        monkeypatch.setenv("TEMPORAL_TLS", tls)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        ports = {"open": server.server_address[1], "closed": servers.free_port()}
        [found] = temporal(address.format(**ports))
        server.shutdown()
    assert (found.grade, found.words) == (Grade.BAD, words.format(**ports))
    assert "::" not in found.advice


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "t:7233 does not answer within 5 s"),
        (RPCError("x::Y", RPCStatusCode.PERMISSION_DENIED, b""), "t:7233 refuses to answer (permission denied)"),
        (RuntimeError("tonic::transport::Error(Transport, Odd)"), "there is no connection to t:7233"),
    ],
)
def test_what_the_sdk_raises_is_not_passed_on(error: Exception, words: str) -> None:
    assert words_of(error, "t:7233")[0] == words


@pytest.mark.parametrize("old", [True, False])
def test_what_waits_is_asked_for_as_the_api_can_tell_it(old: bool) -> None:
    """One of before that filter refuses it; the newest of each status are asked for then."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            refused = old and "waits" in self.path
            problem = {"detail": "no", "errors": [{"field": "waits", "message": "is not a parameter"}], "code": "x"}
            body = json.dumps(problem if refused else {"items": []}).encode()
            self.send_response(422 if refused else 200)
            self.send_header("Content-Type", "application/problem+json" if refused else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        with ApiClient(ApiConnection(f"http://127.0.0.1:{server.server_address[1]}", "k")) as api:
            assert waiting(api) == []
        server.shutdown()
        thread.join()
    with_filter = [path for path in asked if "waits=true" in path]
    assert (len(asked), len(with_filter)) == ((6, 1) if old else (5, 5))


def test_the_worst_decides() -> None:
    fine, look, wrong = ok("a", "."), warn("b", ".", "!"), bad("c", ".", "!")
    assert [EXIT_CODES[worst(each)] for each in ([], [fine], [fine, look], [look, wrong, fine])] == [0, 0, 1, 2]


def test_a_finding_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    tell(PartFinding(Grade.BAD, "part", "word " * 40, "Do `hybridci doctor` " + "again " * 30))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("BAD   part: word")
    assert any(line.startswith("      -> Do") for line in lines)
    assert max(map(len, lines)) <= 80


def test_suggestions_have_short_ids_where_commands_take_them() -> None:
    api = ApiClient(ApiConnection("http://127.0.0.1:1", "k", " --data-dir d"))
    assert api.command(f"job logs -f {ID}") == "hybridci job logs -f 11111111 --data-dir d"
    assert api.reachable(f"Do `hybridci deploy approve {ID}`.") == "Do `hybridci deploy approve 11111111 --data-dir d`."
    assert api.command(f"hold release {ID}") == f"hybridci hold release {ID} --data-dir d"
    assert api.command(f"job show x-{ID}") == f"hybridci job show x-{ID} --data-dir d"
