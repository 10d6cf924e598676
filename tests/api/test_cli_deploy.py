"""Services, deployments and freezes from the command line against the real API application over a real socket."""

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from nacl.signing import VerifyKey

from api.cli.keys.approval_signing import new_approver_key
from api.cli.keys.key_file import put_first
from tests.api.cli_bench import ADMIN_KEY, AGENT_KEY, Served, served
from tests.api.cli_deploys import (
    LIVE,
    SHA,
    WAITING,
    call,
    done,
    environment_is,
    is_live,
    production,
    record,
    register,
    started,
    told,
)
from workflows.contracts.deployments.commands import Approve, RecordStage
from workflows.contracts.deployments.deployment import (
    DeploymentStatus,
    Rollback,
    RollbackStatus,
    StageStatus,
)
from workflows.contracts.deployments.environments import (
    Hold,
    LiveVersion,
)
from workflows.contracts.statuses import JobStatus


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


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
        assert f"hybridci deploy watch {made.deployment_id[:8]}" in result.stderr
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
        assert f"`hybridci deploy watch {result.stdout[:8]} --data-dir {tmp_path}`" in result.stderr

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
        is_live(api, "prefer", live)
        assert told(api, "deploy", "rollback", "prefer", "--reason", "r")["deployment_id"] == live

    def test_cancel_never_takes_back_what_is_live_by_a_service_alone(self, api: Served) -> None:
        live = started(api, "cancel-live", "1.0", **LIVE)
        result = call(api, "deploy", "cancel", "cancel-live")
        assert result.exit_code == 1
        assert "1.0 (live)" in result.stderr
        assert record(api, live).status is DeploymentStatus.LIVE
        going = started(api, "cancel-live", "1.1")
        assert told(api, "deploy", "cancel", "cancel-live", "--reason", "no")["deployment_id"] == going

    def test_what_somebody_cancelled_is_called_cancelled_though_it_is_stored_as_failed(self, api: Served) -> None:
        ended: dict[str, Any] = {
            "status": DeploymentStatus.FAILED,
            "closed": True,
            "error_message": "ann cancelled it.",
        }
        cancelled = started(api, "called-off", "1.0", **ended, cause="cancelled")
        failed = started(api, "called-off", "1.1", **ended, cause="build_failed")
        lines = done(api, "deploy", "list", "--service", "called-off").stdout.splitlines()
        words = {line.split()[0]: line.split()[3] for line in lines[1:]}
        assert words == {cancelled[:8]: "cancelled", failed[:8]: "failed"}
        listed = told(api, "deploy", "list", "--service", "called-off", "--status", "failed")
        assert {each["status"] for each in listed["items"]} == {"failed"}
        shown = done(api, "deploy", "show", cancelled).stdout
        assert re.search(r"^Status +cancelled$", shown, re.M)
        seen = call(api, "deploy", "watch", cancelled)
        assert (seen.exit_code, "called-off 1.0 was cancelled: ann cancelled it." in seen.output) == (1, True)


class TestSteering:
    def test_an_approval_by_a_service_is_of_none_when_several_wait(self, api: Served) -> None:
        """Whoever started another version in the moment before had that one approved."""
        looked_at = started(api, "several", "1.0", **WAITING)
        slipped_in = started(api, "several", "1.1", **WAITING)
        before = len(api.job_client.releases.commands)
        for words in (("approve", "several"), ("reject", "several", "--reason", "r")):
            refused = call(api, "deploy", *words)
            assert refused.exit_code == 2
            assert f"{slipped_in[:8]} (1.1), {looked_at[:8]} (1.0). Say by its id which one you mean." in refused.stderr
        assert len(api.job_client.releases.commands) == before
        assert told(api, "deploy", "approve", "several@1.0")["deployment_id"] == looked_at
        assert told(api, "deploy", "approve", slipped_in[:8])["deployment_id"] == slipped_in

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
        assert "To deploy the version again: `hybridci deploy start " in late.stderr
        assert "/api/" not in late.stderr, "a route is no hint at a prompt"

    def test_roll_back_and_watch_it(self, api: Served) -> None:
        deployment_id = started(api, "back", **LIVE)
        is_live(api, "back", deployment_id)
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
        done(api, "deploy", "metrics", deployment_id, "--value", "queue_depth=12", "--source", "prometheus")
        listed = told(api, "deploy", "metrics", deployment_id)["items"]
        assert {(each["metric"], each["value"], each["source"]) for each in listed} == {
            ("error_rate", 0.5, "admin"), ("latency_ms", 80.0, "admin"), ("queue_depth", 12.0, "prometheus"),
        }  # fmt: skip
        lines = done(api, "deploy", "metrics", deployment_id, "--metric", "queue_depth").stdout.splitlines()
        assert [line.split()[-4:-1] for line in lines[1:]] == [["queue_depth", "12", "prometheus"]]
        wrong = call(api, "deploy", "metrics", deployment_id, "--value", "queue_depth")
        assert (wrong.exit_code, "NAME=NUMBER" in wrong.stderr) == (2, True)
        for odd in ("nan", "inf", "1e999", "1_0", "\u0663"):
            wrong = call(api, "deploy", "metrics", deployment_id, "--value", f"queue_depth={odd}")
            assert (wrong.exit_code, "NAME=NUMBER" in wrong.stderr) == (2, True), odd
        for odd in ("nan", "inf", "1e999"):
            wrong = call(api, "deploy", "metrics", deployment_id, "--latency-ms", odd)
            assert (wrong.exit_code, wrong.exception.__class__) == (2, SystemExit), odd
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
        assert f"Go on: `hybridci deploy resume {deployment_id[:8]} --reason …`" in shown

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
        assert f"`hybridci job logs {job_id[:8]}`" in shown
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
