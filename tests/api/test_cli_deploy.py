"""Services, deployments and freezes from the command line against the real API application over a real socket."""

import base64
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from nacl.signing import VerifyKey
from typer.testing import CliRunner, Result

from api.cli.client.connection import ApiConnection
from api.cli.client.http import ApiClient, Unreachable
from api.cli.commands import service
from api.cli.commands.deployments import deploy, freeze
from api.cli.commands.deployments.watch import PlainView, follow
from api.cli.keys.approval_signing import new_approver_key
from api.cli.keys.key_file import put_first
from tests import servers
from tests.api.cli_bench import ADMIN_KEY, AGENT_KEY, Line, Served, environment, served, start
from workflows.contracts.deployments.commands import Approve, RecordStage, ReportMetrics
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentStatus,
    Rollback,
    RollbackStatus,
    Stage,
    StageStatus,
)
from workflows.contracts.deployments.environments import (
    EnvironmentState,
    EnvironmentWrite,
    FreezeCommand,
    Hold,
    LiveVersion,
)
from workflows.contracts.statuses import JobStatus

APPS = {"service": service.app, "deploy": deploy.app, "freeze": freeze.app}
STEPS = [{"name": "go", "run": "./deploy.sh"}]
SPEC: dict[str, Any] = {
    "git_repo": "https://example.com/shop.git",
    "build": {"steps": STEPS},
    "environments": [
        {"name": "staging", "external": True},
        {"name": "production", "steps": STEPS, "approval": {}},
    ],
}
SHA = "a" * 40


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def call(api: Served | str, *arguments: str, key: str = ADMIN_KEY, text: str | None = None) -> Result:
    url = api if isinstance(api, str) else api.url
    env: dict[str, str | None] = {**environment(url, key), "HYBRIDCI_DATA_DIR": None}
    return CliRunner().invoke(APPS[arguments[0]], list(arguments[1:]), env=env, input=text)


def done(api: Served, *arguments: str, text: str | None = None) -> Result:
    result = call(api, *arguments, text=text)
    assert result.exit_code == 0, result.output
    return result


def told(api: Served, *arguments: str) -> Any:
    return json.loads(done(api, *arguments, "--json").stdout)


def register(api: Served, name: str, **changes: Any) -> None:
    done(api, "service", "apply", "-f", "-", "--name", name, text=json.dumps({**SPEC, **changes}))


def started(api: Served, name: str, version: str = "1.0", **changes: Any) -> str:
    """A deployment of a service of this name, in this state."""
    if call(api, "service", "show", name).exit_code:
        register(api, name)
    arguments = ("deploy", "start", name, "--version", version, "--sha", SHA, "--author", "ann@example.com")
    deployment_id = str(told(api, *arguments)["deployment_id"])
    if changes:
        change(api, deployment_id, **changes)
    return deployment_id


def record(api: Served, deployment_id: str) -> Deployment:
    found = api.run(api.stores.deployments.get(deployment_id))
    assert found is not None
    return found


def change(api: Served, deployment_id: str, **changes: Any) -> Deployment:
    return api.run(api.job_client.releases.put(record(api, deployment_id), **changes))


def environment_is(api: Served, name: str, **changes: Any) -> None:
    state = EnvironmentState(service_name=name, environment="production", sequence=1)
    api.run(api.stores.environments.write(EnvironmentWrite(state=state.model_copy(update=changes))))


def production(status: StageStatus, **changes: Any) -> list[Stage]:
    return [
        Stage(environment="staging", external=True, status=StageStatus.DEPLOYED),
        Stage(environment="production", status=status, **changes),
    ]


LIVE: dict[str, Any] = {"status": DeploymentStatus.LIVE, "environment": "production", "live_at": 1_700_000_000_000}
WAITING: dict[str, Any] = {
    "status": DeploymentStatus.STAGED,
    "environment": "production",
    "waits_for": "1.0 waits for approval of production. `hybridci deploy approve this`",
    "stages": production(StageStatus.WAITING, waits_for="approval"),
}


class TestServices:
    def test_created_unchanged_changed(self, api: Served, tmp_path: Path) -> None:
        file = tmp_path / "shop.yml"
        file.write_text(yaml.safe_dump({"name": "svc-a", **SPEC}))
        first = done(api, "service", "apply", "-f", str(file))
        assert first.stdout == "svc-a: created, version 1\n"
        assert "hybridci deploy start svc-a --version" in first.stderr
        assert done(api, "service", "apply", "-f", str(file)).stdout == "svc-a: unchanged, version 1\n"
        file.write_text(json.dumps({"name": "svc-a", **SPEC, "description": "The shop"}))
        assert done(api, "service", "apply", "-f", str(file)).stdout == "svc-a: changed, version 2\n"
        renamed = told(api, "service", "apply", "-f", str(file), "--name", "svc-b")
        assert (renamed["name"], renamed["version"]) == ("svc-b", 1)

    def test_only_the_expected_version(self, api: Served) -> None:
        text = json.dumps({"name": "svc-if", **SPEC})
        assert call(api, "service", "apply", "-f", "-", "--if-version", "4", text=text).exit_code == 1
        done(api, "service", "apply", "-f", "-", "--if-version", "0", text=text)
        again = call(api, "service", "apply", "-f", "-", "--if-version", "0", text=text)
        assert again.exit_code == 1
        assert "has version 1" in again.stderr
        done(api, "service", "apply", "-f", "-", "--if-version", "1", text=text)

    def test_every_bad_field_is_named(self, api: Served) -> None:
        wrong = {**SPEC, "environments": [{"name": "No!", "steps": STEPS}], "colour": "red"}
        result = call(api, "service", "apply", "-f", "-", "--name", "svc-bad", text=json.dumps(wrong))
        assert result.exit_code == 1
        assert "environments.0.name" in result.stderr
        assert "colour" in result.stderr

    def test_a_file_without_a_name_or_a_repository(self, api: Served, tmp_path: Path) -> None:
        text = json.dumps({key: value for key, value in SPEC.items() if key != "git_repo"})
        nameless = call(api, "service", "apply", "-f", "-", text=text)
        assert nameless.exit_code == 2
        assert "--name" in nameless.stderr
        done(api, "service", "apply", "-f", "-", "--name", "svc-r", "--repo", "https://x.example/r.git", text=text)
        assert told(api, "service", "show", "svc-r")["spec"]["git_repo"] == "https://x.example/r.git"
        odd = call(api, "service", "apply", "-f", "-", "--name", "../a b", text=json.dumps(SPEC))
        assert odd.exit_code == 1
        assert "Traceback" not in odd.output

    def test_what_is_shown_can_be_applied_again(self, api: Served) -> None:
        register(api, "svc-show")
        environment_is(api, "svc-show", hold=Hold(by="bob", reason="incident", at=1_700_000_000_000))
        text = done(api, "service", "show", "svc-show").stdout
        assert "# production: Live: nothing yet; ON HOLD by bob" in text
        assert done(api, "service", "apply", "-f", "-", text=text).stdout == "svc-show: unchanged, version 1\n"
        assert "svc-show" in done(api, "service", "list").stdout
        assert "staging → production" in done(api, "service", "list").stdout
        assert call(api, "service", "show", "svc-show", "--version", "7").exit_code == 1
        assert "ON HOLD" not in done(api, "service", "show", "svc-show", "--version", "1").stdout


class TestStart:
    def test_from_git(self, api: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        register(api, "git-start")
        identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
        for arguments in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "first"]):
            subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)
        monkeypatch.chdir(tmp_path)
        result = done(api, "deploy", "start", "git-start", "--version", "1.4.2+x", "--metadata", "ticket=4711")
        made = record(api, result.stdout.strip())
        assert (made.git_author, made.git_ref, made.git_commit_message) == ("ann@example.com", "main", "first")
        assert made.metadata == {"ticket": "4711"}
        assert f"hybridci deploy watch {made.deployment_id}" in result.stderr
        assert f"Workflow deploy-git-start-1.4.2+x-{made.deployment_id}" in result.stderr

    def test_the_temporal_ui_is_linked(self, api: Served, tmp_path: Path) -> None:
        register(api, "ui-link")
        (tmp_path / "endpoint.json").write_text(json.dumps({"url": api.url, "temporal_ui": "http://127.0.0.1:8233"}))
        (tmp_path / "admin.key").write_text(ADMIN_KEY)
        data = ("--data-dir", str(tmp_path))
        arguments = ("deploy", "start", "ui-link", "--version", "1+2", "--sha", SHA, "--author", "a", *data)
        result = done(api, *arguments)
        workflow = quote(f"deploy-ui-link-1+2-{result.stdout.strip()}", safe="")
        assert f"Temporal UI: http://127.0.0.1:8233/namespaces/default/workflows/{workflow}\n" in result.stderr
        assert f"`hybridci deploy watch {result.stdout.strip()} --data-dir {tmp_path}`" in result.stderr

    def test_the_same_key_returns_the_same_deployment(self, api: Served) -> None:
        register(api, "same-key")
        same = ("deploy", "start", "same-key", "--version", "1", "--sha", SHA, "--author", "a")
        first, second = (told(api, *same, "--idempotency-key", "k")["deployment_id"] for _ in range(2))
        assert first == second

    def test_refusals_are_sentences(self, api: Served) -> None:
        unknown = call(api, "deploy", "start", "nothing", "--version", "1", "--sha", SHA, "--author", "a")
        assert unknown.exit_code == 1
        assert "service_name" in unknown.stderr
        assert "Traceback" not in unknown.output
        register(api, "refusals")
        bad = call(api, "deploy", "start", "refusals", "--version", "no good", "--sha", SHA, "--author", "a")
        assert "\n  version: " in bad.stderr


class TestNaming:
    def test_an_id_its_beginning_a_version_a_service(self, api: Served) -> None:
        deployment_id = started(api, "named", "1.0", **LIVE)
        for text in (deployment_id, deployment_id[:14].upper(), "named@1.0", "named"):
            assert told(api, "deploy", "show", text)["deployment_id"] == deployment_id
        by_service = done(api, "deploy", "show", "named")
        assert f"Deployment {deployment_id}: named 1.0, live.\n" in by_service.stderr

    def test_what_means_nothing(self, api: Served) -> None:
        started(api, "named", "1.0")
        for text, code, message in (
            ("never-was", 1, "neither the beginning"),
            ("named@9.9", 1, "no deployment of version '9.9'; it has 1.0"),
            ("No Name!", 2, "names no deployment"),
            ("00000000-0000-0000-0000-000000000000", 1, "deployment"),
        ):
            result = call(api, "deploy", "show", text)
            assert result.exit_code == code, text
            assert message in result.stderr
            assert result.stderr.count("\n") == 1

    def test_a_service_means_what_the_command_is_for(self, api: Served) -> None:
        live = started(api, "prefer", "1.0", **LIVE)
        waiting = started(api, "prefer", "1.1", **WAITING)
        building = started(api, "prefer", "1.2")
        failed = started(api, "prefer", "1.3", status=DeploymentStatus.FAILED, closed=True)
        shown = done(api, "deploy", "show", "prefer")
        assert f"Deployment {building}: prefer 1.2, pending." in shown.stderr
        assert f"{waiting[:8]} (1.1, staged)" in shown.stderr
        assert f"A newer one, 1.3, has ended (failed): `hybridci deploy show {failed[:8]}`" in shown.stderr
        assert told(api, "deploy", "approve", "prefer")["deployment_id"] == waiting
        assert told(api, "deploy", "rollback", "prefer", "--reason", "r")["deployment_id"] == live

    def test_cancel_never_takes_back_what_is_live_by_a_service_alone(self, api: Served) -> None:
        live = started(api, "cancel-live", "1.0", **LIVE)
        result = call(api, "deploy", "cancel", "cancel-live")
        assert result.exit_code == 1
        assert "1.0 (live)" in result.stderr
        assert record(api, live).status is DeploymentStatus.LIVE
        going = started(api, "cancel-live", "1.1")
        assert told(api, "deploy", "cancel", "cancel-live", "--reason", "no")["deployment_id"] == going


class TestSteering:
    def test_approve_for_somebody(self, api: Served) -> None:
        deployment_id = started(api, "approve", **WAITING)
        arguments = ("--as", "bob@example.com", "--comment", "fine", "--environment", "production")
        result = done(api, "deploy", "approve", deployment_id, *arguments)
        assert result.stdout == "approve 1.0: approved for production, 1 of 1 (admin for bob@example.com).\n"
        command = api.job_client.releases.commands[-1]
        assert isinstance(command, Approve)
        assert (command.by, command.comment, command.via) == ("admin for bob@example.com", "fine", "cli")
        denied = call(api, "deploy", "approve", deployment_id, key=AGENT_KEY)
        assert denied.exit_code == 2

    def test_approve_with_a_signature_that_an_agent_can_check(self, api: Served, tmp_path: Path) -> None:
        private, public = new_approver_key()
        put_first(tmp_path / "ann.key", private)
        deployment_id = started(api, "signed", **WAITING)
        sign = ("--sign-with", str(tmp_path / "ann.key"), "--sign-for", "1h", "--as", "ann")
        wrong = call(api, "deploy", "approve", deployment_id, *sign, "--commit", "b" * 40)
        assert wrong.exit_code == 1
        assert "nothing was signed" in wrong.stderr
        result = done(api, "deploy", "approve", deployment_id, *sign)
        assert f"Signed for 1h: signed 1.0 in production, commit {SHA}." in result.stderr
        command = api.job_client.releases.commands[-1]
        assert isinstance(command, Approve)
        assert command.signed is not None
        assert (command.signed.service, command.signed.version, command.signed.git_commit_sha) == ("signed", "1.0", SHA)
        signature = base64.b64decode(command.signed.signature)
        VerifyKey(base64.b64decode(public)).verify(command.signed.signed_bytes(), signature)

    def test_reject_resume_cancel(self, api: Served) -> None:
        rejected = told(api, "deploy", "reject", started(api, "reject", **WAITING), "--reason", "breaks it")
        assert (rejected["cause"], rejected["error_message"]) == ("rejected", "breaks it")
        resumed = started(api, "resume", **WAITING)
        assert "resumed" in done(api, "deploy", "resume", resumed, "--reason", "checked by hand").stdout
        late = call(api, "deploy", "approve", rejected["deployment_id"])
        assert late.exit_code == 1
        assert "has ended" in late.stderr

    def test_roll_back_and_watch_it(self, api: Served) -> None:
        deployment_id = started(api, "back", **LIVE)
        command = ("deploy", "rollback", "back", "--reason", "orders fail", "--to-version", "0.9", "--watch")
        result = done(api, *command)
        assert "back 1.0 was rolled back to 0.9 in production: orders fail" in result.stderr
        assert record(api, deployment_id).status is DeploymentStatus.ROLLED_BACK
        again = call(api, *command)
        assert again.exit_code == 1

    def test_hold_and_release(self, api: Served) -> None:
        register(api, "held")
        held = done(api, "deploy", "hold", "held", "--reason", "incident 4711", "--as", "bob")
        assert held.stdout.startswith("production of held: held.\n")
        assert "ON HOLD by admin for bob since" in held.stdout
        assert "`hybridci deploy release held --environment production`" in held.stderr
        assert told(api, "deploy", "release", "held")["hold"] is None
        assert call(api, "deploy", "release", "held").exit_code == 1
        wrong = call(api, "deploy", "hold", "held", "--environment", "moon", "--reason", "r")
        assert wrong.exit_code == 1
        assert "staging, production" in wrong.stderr

    def test_metrics_and_another_ci(self, api: Served) -> None:
        deployment_id = started(api, "external", status=DeploymentStatus.STAGING, environment="staging")
        done(api, "deploy", "record", "external", "staging", "--job-id", "jenkins #8/12", "--failed", "--message", "m")
        command = api.job_client.releases.commands[-1]
        assert isinstance(command, RecordStage)
        assert (command.job_id, command.succeeded, command.message) == ("jenkins #8/12", False, "m")
        done(api, "deploy", "metrics", deployment_id, "--error-rate", "0.5", "--latency-ms", "80")
        sample = api.job_client.releases.commands[-1]
        assert isinstance(sample, ReportMetrics)
        assert (sample.error_rate, sample.latency_ms, sample.requests_per_sec) == (0.5, 80.0, None)
        assert call(api, "deploy", "metrics", deployment_id).exit_code == 2
        shown = done(api, "deploy", "show", deployment_id).stdout
        assert "jenkins #8/12" in shown

    def test_the_trail(self, api: Served) -> None:
        deployment_id = started(api, "trail", **WAITING)
        done(api, "deploy", "approve", deployment_id, "--as", "bob")
        lines = done(api, "deploy", "events", "trail@1.0").stdout.splitlines()
        assert [line.split()[3] for line in lines[1:]] == ["deployment.created", "deployment.approve"]
        assert lines[-1].split()[4:8] == ["admin", "for", "bob", "cli"]
        page = told(api, "deploy", "events", deployment_id)
        assert page["items"][0]["action"] == "deployment.approve"


class TestReading:
    def test_list(self, api: Served) -> None:
        first = started(api, "listed", "1.0", **WAITING)
        started(api, "listed", "1.1")
        lines = done(api, "deploy", "list", "--service", "listed").stdout.splitlines()
        assert len(lines) == 3
        assert lines[2].split()[:4] == [first[:8], "listed", "1.0", "staged"]
        assert "waits for approval of production" in lines[2]
        page = told(api, "deploy", "list", "--service", "listed", "--status", "staged")
        assert [item["deployment_id"] for item in page["items"]] == [first]
        assert done(api, "deploy", "list", "--service", "never-was").stdout == "No deployments.\n"

    def test_show_says_that_it_waits_for_its_commit(self, api: Served) -> None:
        register(api, "by-ref", git_ref="main", commit_on_ref=True)
        waits = {"waits_for": "1.0 waits for its commit to be on main.", "source_job_id": "j", "environment": None}
        deployment_id = started(api, "by-ref", "1.0", **waits)
        shown = done(api, "deploy", "show", deployment_id).stdout
        assert "Waits for   1.0 waits for its commit to be on main." in shown
        assert re.search(r"(?m)^source +waiting", shown)
        assert f"Go on: `hybridci deploy resume {deployment_id} --reason …`" in shown

    def test_show_says_why_it_failed_and_what_to_do(self, api: Served) -> None:
        log = b"".join(b"line %d\n" % number for number in range(2000)) + b"no such \x1b[2Jtable\n"
        job_id = api.ended(JobStatus.FAILED, log, exit_code=3, error_message="The command ended with 3.")
        passed = api.ended()
        deployment_id = started(
            api, "why", "1.4.2", status=DeploymentStatus.ROLLED_BACK, environment="production", closed=True,
            cause="rolled_back", error_message="verification failed\nits second line",
            stages=production(StageStatus.ROLLED_BACK, percent=10, job_ids=[passed, job_id]),
            rollback=Rollback(
                environment="production", target_version="1.4.1", reason="verification failed", by="hybridci",
                automatic=True, status=RollbackStatus.SUCCEEDED, requested_at=1_700_000_000_000,
            ),
        )  # fmt: skip
        live = LiveVersion(version="1.4.1", deployment_id="d", workflow_id="w", git_commit_sha=SHA, since=1)
        environment_is(api, "why", live=live, hold=Hold(by="hybridci", reason="rolled back", at=1))
        shown = done(api, "deploy", "show", deployment_id).stdout
        assert "Why (production)" in shown
        assert "  its second line\n" in shown
        assert f"Job {job_id} on agent-7: Failed: The command ended with 3." in shown
        assert f"`hybridci job logs {job_id}`" in shown
        assert "    line 1999\n    no such \N{REPLACEMENT CHARACTER}[2Jtable\n" in shown
        assert "line 1900\n" not in shown
        assert "Live: 1.4.1 since" in shown
        assert "`hybridci deploy release why --environment production`" in shown
        assert "succeeded, automatically: verification failed" in shown

    def test_show_after_a_build_that_failed(self, api: Served) -> None:
        job_id = api.ended(
            JobStatus.FAILED, b"make: *** [all] Error 2\n", exit_code=2, error_message="It ended with 2."
        )
        failed: dict[str, Any] = {
            "status": DeploymentStatus.FAILED,
            "closed": True,
            "cause": "build_failed",
            "build_job_id": job_id,
        }
        shown = done(api, "deploy", "show", started(api, "broken", **failed)).stdout
        assert "Why (build)" in shown
        assert "    make: *** [all] Error 2\n" in shown
        assert [line.split()[:2] for line in shown.splitlines() if line.startswith(("build ", "production "))] == [
            ["build", "failed"],
            ["production", "not"],
        ]

    def test_a_rollback_that_failed_shouts(self, api: Served) -> None:
        words = "THE ROLLBACK FAILED: no disk. `hybridci deploy rollback it --reason …`"
        rollback = Rollback(
            environment="production", target_version="1", reason="r", by="ann", status=RollbackStatus.FAILED,
            requested_at=1, error_message="no disk",
        )  # fmt: skip
        deployment_id = started(
            api, "shout", status=DeploymentStatus.FAILED, cause="rollback_failed", environment="production",
            error_message=words, waits_for=words, rollback=rollback,
        )  # fmt: skip
        shown = done(api, "deploy", "show", "shout").stdout
        assert shown.count("THE ROLLBACK FAILED") == 1
        assert "Why (the rollback of production)" in shown
        assert "NOBODY KNOWS WHAT RUNS IN PRODUCTION" in shown
        watched = call(api, "deploy", "watch", deployment_id)
        assert watched.exit_code == 1
        assert "THE ROLLBACK FAILED" in watched.stderr


@contextmanager
def watching(url: str, deployment_id: str) -> Generator[subprocess.Popen[bytes]]:
    """`hybridci deploy watch` as a process of its own, which does not outlive the test."""
    with start(url, "deploy", "watch", deployment_id) as process:
        try:
            yield process
        finally:
            process.kill()


class TestWatch:
    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (DeploymentStatus.LIVE, 0),
            (DeploymentStatus.ROLLED_BACK, 1),
        ],
    )
    def test_ends_as_the_deployment_did(self, api: Served, status: DeploymentStatus, code: int) -> None:
        deployment_id = started(api, f"watch-{status.value.replace('_', '-')}", **WAITING)
        with watching(api.url, deployment_id) as process:
            assert process.stdout is not None
            seen = [process.stdout.readline().decode() for _ in range(5)]
            assert seen[0].endswith("staged, now at production (waiting)\n")
            assert seen[-1] == "waits for: 1.0 waits for approval of production. `hybridci deploy approve this`\n"
            rolling = production(StageStatus.DEPLOYING, percent=10)
            change(api, deployment_id, status=DeploymentStatus.PRODUCTION, waits_for=None, stages=rolling)
            assert process.stdout.readline().endswith(b"production (deploying 10 %)\n")
            over = production(StageStatus.DEPLOYED, percent=100)
            change(api, deployment_id, status=status, stages=over, closed=True)
            out, err = process.communicate(timeout=30)
        assert process.returncode == code, err.decode()
        assert f"hybridci deploy show {deployment_id}" in err.decode()
        assert b"Traceback" not in err
        assert out.decode().count("production: deployed 100 %") == 1

    def test_one_that_has_ended_is_told_at_once(self, api: Served) -> None:
        superseded = started(api, "watch-over", status=DeploymentStatus.SUPERSEDED, closed=True)
        assert "was superseded" in done(api, "deploy", "watch", superseded).stderr
        failed = started(api, "watch-over", "1.1", status=DeploymentStatus.FAILED, error_message="No.", closed=True)
        result = call(api, "deploy", "watch", failed)
        assert result.exit_code == 1
        assert "watch-over 1.1 failed: No." in result.stderr

    def test_json_keeps_stdout_for_the_record(self, api: Served) -> None:
        deployment_id = started(api, "watch-json", **LIVE)
        result = call(api, "deploy", "watch", deployment_id, "--json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)["deployment_id"] == deployment_id
        assert "watch-json 1.0: live in production" in result.stderr

    def test_an_api_that_restarts_is_waited_for(self, api: Served) -> None:
        deployment_id = started(api, "watch-away", **WAITING)
        line = Line(api.port, [])
        try:
            with watching(line.url, deployment_id) as process:
                assert process.stdout is not None
                assert process.stdout.readline().startswith(b"watch-away 1.0: staged")
                connections = line.connections
                line.break_off()
                servers.wait_until(lambda: line.connections > connections + 2, seconds=20, what="three more tries")
                change(api, deployment_id, **{**LIVE, "waits_for": None})
                line.down = False
                _, err = process.communicate(timeout=30)
        finally:
            line.close()
        assert process.returncode == 0, err.decode()
        assert err.decode().count("does not answer: waiting for it") == 1

    def test_an_api_that_stays_away_is_given_up(self) -> None:
        url = f"http://127.0.0.1:{servers.free_port()}"
        with ApiClient(ApiConnection(url, ADMIN_KEY)) as client, pytest.raises(Unreachable):
            follow(client, "00000000-0000-0000-0000-000000000000", PlainView(client), give_up_seconds=0.1)

    def test_interrupt_detaches(self, api: Served) -> None:
        deployment_id = started(api, "watch-int", **WAITING)
        with watching(api.url, deployment_id) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"watch-int 1.0: staged")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert f"hybridci deploy watch {deployment_id}" in err.decode()
        assert b"Traceback" not in err

    def test_a_picture_on_a_terminal(self, api: Served) -> None:
        deployment_id = started(api, "watch-tty", **WAITING)
        leader, follower = pty.openpty()
        env = {**environment(api.url), "TERM": "xterm", "COLUMNS": "160", "LINES": "40"}
        command = [sys.executable, "-m", "api.cli.main", "deploy", "watch", deployment_id]
        with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=env) as process:
            os.close(follower)
            try:
                drawn = _read_until(leader, b"Waits for")
                assert b"APPROVALS" in drawn
                assert b"0 of 1" in drawn
                change(api, deployment_id, **{**LIVE, "waits_for": None}, stages=production(StageStatus.DEPLOYED))
                drawn += _read_until(leader, b"More: ")
                assert process.wait(30) == 0
            finally:
                process.kill()
                os.close(leader)
        assert b"\x1b[" in drawn  # it moved the cursor to draw in place
        assert b"watch-tty 1.0 is live in production" in drawn


def _read_until(descriptor: int, text: bytes) -> bytes:
    """What a terminal shows until ``text``."""
    seen = b""
    while text not in seen:
        readable, _, _ = select.select([descriptor], [], [], 20)
        assert readable, seen
        seen += os.read(descriptor, 65_536)
    return seen


class TestFreezes:
    def test_add_list_remove(self, api: Served) -> None:
        window = {"name": "nights", "cron": "0 22 * * *", "duration_seconds": 28_800, "timezone": "Europe/Berlin"}
        environments = [{"name": "production", "steps": STEPS, "freeze_windows": [window]}]
        register(api, "frozen", environments=environments)
        added = done(api, "freeze", "add", "frozen", "--name", "sale", "--for", "2h", "--reason", "r", "--as", "bob")
        assert added.stdout.startswith("production of frozen: frozen (sale).\n")
        command = api.job_client.releases.commands[-1]
        assert isinstance(command, FreezeCommand)
        assert command.by == "admin for bob"
        assert f"hybridci freeze remove frozen {command.freeze_id}" in added.stderr
        lines = done(api, "freeze", "list", "frozen").stdout.splitlines()
        assert lines[1].split()[:3] == ["production", command.freeze_id, "sale"]
        assert " FROZEN " in lines[1]
        assert "0 22 * * * Europe/Berlin" in lines[2]
        listed = told(api, "freeze", "list", "frozen", "--environment", "production")
        assert [each["name"] for each in listed[0]["freeze_windows"]] == ["nights"]
        assert "freeze sale removed" in done(api, "freeze", "remove", "frozen", "sale").stdout
        assert told(api, "freeze", "list", "frozen")[0]["freezes"] == []
        gone = call(api, "freeze", "remove", "frozen", command.freeze_id)
        assert gone.exit_code == 1
        assert "hybridci freeze list frozen" in gone.stderr

    def test_a_name_twice_must_be_told_apart(self, api: Served) -> None:
        register(api, "frozen-twice")
        for _ in range(2):
            done(api, "freeze", "add", "frozen-twice", "--name", "sale", "--until", "2126-12-27T08:00")
        result = call(api, "freeze", "remove", "frozen-twice", "sale")
        assert result.exit_code == 2
        assert "2 freezes are called sale" in result.stderr
        assert call(api, "freeze", "add", "frozen-twice", "--name", "sale").exit_code == 2

    def test_override(self, api: Served) -> None:
        deployment_id = started(api, "override", **WAITING)
        result = done(api, "freeze", "override", "override", "--reason", "repairs the outage")
        assert "does not wait for the freeze" in result.stdout
        assert f"Deployment {deployment_id}" in result.stderr
