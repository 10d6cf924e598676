"""What people and other CIs say about a deployment: signed, sent to its workflow, refused with what to do next."""

import pytest

from tests.api.conftest import Bench
from workflows.contracts.deployments.commands import Approve, OverrideFreeze, RecordStage, ReportMetrics, Resume
from workflows.contracts.deployments.deployment import DeploymentStatus
from workflows.contracts.errors import Unavailable

DEPLOYMENTS = "/api/dashboard/deployments"
CLI = {"User-Agent": "hybridci/0.3.0"}


async def started(bench: Bench) -> str:
    await bench.register()
    return f"{DEPLOYMENTS}/{await bench.deploy()}"


async def test_an_approval_is_signed_by_the_key_or_whom_it_acts_for(bench: Bench) -> None:
    url = await started(bench)
    plain = await bench.admin.post(url + "/approve")
    named = await bench.admin.post(
        url + "/approve", json={"by": "ann@example.com", "comment": "fine", "version": "1.4.2"}, headers=CLI
    )
    assert (plain.status_code, named.status_code) == (200, 200)
    assert [(each["by"], each["comment"]) for each in named.json()["approvals"]] == [
        ("admin", ""),
        ("admin for ann@example.com", "fine"),
    ]
    first, second = bench.releases.commands
    assert isinstance(first, Approve)
    assert isinstance(second, Approve)
    assert [(each.via, each.address) for each in (first, second)] == [("api", "127.0.0.1"), ("cli", "127.0.0.1")]
    wrong = await bench.admin.post(url + "/approve", json={"version": "9"})
    assert (wrong.status_code, wrong.json()["code"]) == (409, "invalid_state")
    assert "1.4.2" in wrong.json()["detail"]


@pytest.mark.parametrize("command", ["reject", "rollback", "resume", "override-freeze"])
async def test_a_reason_is_needed(bench: Bench, command: str) -> None:
    url = await started(bench)
    for body in ({}, {"reason": ""}, {"reason": "x" * 1025}, {"reason": None}):
        answer = await bench.admin.post(f"{url}/{command}", json=body)
        assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, ["reason"])
    assert bench.releases.commands == []


async def test_a_reason_to_cancel_is_as_long_as_any_other(bench: Bench) -> None:
    url = await started(bench)
    answer = await bench.admin.post(f"{url}/cancel", json={"reason": "r" * 40_000})
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, ["reason"])
    assert bench.releases.commands == []
    assert (await bench.admin.post(f"{url}/cancel", json={"reason": "r" * 1024})).status_code == 200


@pytest.mark.parametrize("field", ["via", "address", "succeeded", "wrong"])
async def test_a_signature_cannot_be_forged(bench: Bench, field: str) -> None:
    url = await started(bench)
    answer = await bench.admin.post(url + "/approve", json={field: "x"})
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])


async def test_a_rejection_ends_it_and_what_comes_later_is_told_so(bench: Bench) -> None:
    url = await started(bench)
    rejected = await bench.admin.post(url + "/reject", json={"reason": "not on a Friday"})
    assert (rejected.json()["status"], rejected.json()["cause"]) == ("failed", "rejected")
    expected = {
        "approve": "An approval is possible",
        "rollback": "A rollback is possible",
        "resume": "while a deployment is paused",
    }
    for command in ("approve", "reject", "rollback", "resume", "cancel", "override-freeze", "metrics", "staging"):
        body = {"metrics": {"error_rate": 1}, "staging": {"job_id": "7"}}.get(command, {"reason": "x"})
        if command == "approve":
            body = {}
        late = await bench.admin.post(f"{url}/{command}", json=body)
        assert (late.status_code, late.json()["code"]) == (409, "invalid_state"), command
        assert "has ended: it is failed (rejected)" in late.json()["detail"]
        assert expected.get(command, "POST /api/dashboard/deployments") in late.json()["detail"]


async def test_a_superseded_deployment_names_its_successor(bench: Bench) -> None:
    url = await started(bench)
    deployment = await bench.stores.deployments.get(url.rsplit("/", 1)[-1])
    assert deployment is not None
    await bench.releases.put(
        deployment, status=DeploymentStatus.SUPERSEDED, cause="superseded", closed=True, superseded_by="the-next"
    )
    late = await bench.admin.post(url + "/rollback", json={"reason": "x"})
    assert (late.status_code, "Deployment the-next took its place" in late.json()["detail"]) == (409, True)


async def test_a_deployment_whose_workflow_was_terminated_says_so(bench: Bench) -> None:
    url = await started(bench)
    bench.releases.lost.add(url.rsplit("/", 1)[-1])
    for command, body in (("approve", {}), ("metrics", {"latency_ms": 7})):
        answer = await bench.admin.post(f"{url}/{command}", json=body)
        assert (answer.status_code, "lost its workflow" in answer.json()["detail"]) == (409, True)


async def test_a_rollback_names_its_target(bench: Bench) -> None:
    url = await started(bench)
    early = await bench.admin.post(url + "/rollback", json={"reason": "bad"})
    assert (early.status_code, early.json()["code"]) == (409, "invalid_state")
    await bench.releases.go_live(url.rsplit("/", 1)[-1])
    back = await bench.admin.post(url + "/rollback", json={"reason": "bad", "to_version": "1.4.1", "job_id": "ci-7"})
    rollback = back.json()["rollback"]
    assert (back.json()["status"], rollback["target_version"], rollback["by"]) == ("rolled_back", "1.4.1", "admin")


@pytest.mark.parametrize(
    ("path", "environment"),
    [("/staging", "staging"), ("/production", "production"), ("/environments/staging", "staging")],
)
async def test_another_ci_records_its_stage(bench: Bench, path: str, environment: str) -> None:
    url = await started(bench)
    answer = await bench.admin.post(
        url + path, json={"job_id": "jenkins-77", "status": "failed", "message": "disk full"}
    )
    assert answer.status_code == 200
    (command,) = bench.releases.commands
    assert isinstance(command, RecordStage)
    assert (command.environment, command.job_id, command.succeeded) == (environment, "jenkins-77", False)
    assert (command.message, command.by) == ("disk full", "admin")
    await bench.admin.post(url + path, json={"job_id": "jenkins-78"})
    last = bench.releases.commands[-1]
    assert isinstance(last, RecordStage)
    assert last.succeeded


async def test_recording_names_bad_fields_and_unknown_environments(bench: Bench) -> None:
    url = await started(bench)
    bad = await bench.admin.post(url + "/staging", json={"status": "ok", "environment": "x"})
    assert {error["field"] for error in bad.json()["errors"]} == {"job_id", "status", "environment"}
    elsewhere = await bench.admin.post(url + "/environments/qa", json={"job_id": "7"})
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (409, "invalid_state")
    assert (await bench.admin.post(url + "/environments/Q%20A", json={"job_id": "7"})).status_code == 404


async def test_metrics_are_handed_over(bench: Bench) -> None:
    url = await started(bench)
    sample = {"error_rate": 0.5, "latency_ms": 120, "requests_per_sec": 3.5, "at": 1_700_000_000_000}
    answer = await bench.admin.post(url + "/metrics", json=sample)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["url"]) == (202, True, url)
    (handed,) = bench.releases.commands
    assert isinstance(handed, ReportMetrics)
    assert handed.model_dump(include=set(sample)) == sample
    assert handed.by == "admin"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{}", "body"),
        ('{"error_rate": 1.01}', "error_rate"),
        ('{"error_rate": NaN}', "error_rate"),
        ('{"latency_ms": -1}', "latency_ms"),
        ('{"latency_ms": 1e999}', "latency_ms"),
        ('{"latency_ms": "7"}', "latency_ms"),
        ('{"requests_per_sec": true}', "requests_per_sec"),
        ('{"error_rate": 0.1, "at": -1}', "at"),
        ('{"error_rate": 0.1, "at": 99999999999999999}', "at"),
    ],
)
async def test_bad_metrics_are_named(bench: Bench, body: str, field: str) -> None:
    url = await started(bench)
    answer = await bench.admin.post(url + "/metrics", content=body)
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])


async def test_resume_and_override_reach_the_workflow(bench: Bench) -> None:
    url = await started(bench)
    assert (await bench.admin.post(url + "/resume", json={"reason": "looked at it"})).status_code == 200
    assert (await bench.admin.post(url + "/override-freeze", json={"reason": "hotfix", "by": "bob"})).status_code == 200
    resume, override = bench.releases.commands
    assert isinstance(resume, Resume)
    assert isinstance(override, OverrideFreeze)
    assert (resume.reason, override.by, override.reason) == ("looked at it", "admin for bob", "hotfix")
    cancelled = await bench.admin.post(url + "/cancel")
    assert (cancelled.json()["status"], cancelled.json()["cause"]) == ("failed", "cancelled")


async def test_a_command_while_temporal_is_away_is_503(bench: Bench) -> None:
    url = await started(bench)
    bench.releases.failure = Unavailable("Temporal does not answer.")
    answer = await bench.admin.post(url + "/approve")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
