"""What people and other CIs say about a deployment: signed, sent to its workflow, refused with what to do next."""

import pytest

from activities.clock import epoch_millis
from tests.api.conftest import Bench
from workflows.contracts.deployments.commands import Approve, OverrideFreeze, RecordStage, ReportMetrics, Resume
from workflows.contracts.deployments.deployment import DeploymentStatus
from workflows.contracts.errors import Unavailable
from workflows.deployment.rules.verification import report_of

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
    answer = await bench.admin.post(f"{url}/approve", json={})
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
    at = epoch_millis()
    values = {"error_rate": 0.5, "latency_ms": 120, "requests_per_sec": 3.5}
    sample = {**values, "at": at, "metrics": {"queue_depth": 7}}
    answer = await bench.admin.post(url + "/metrics", json=sample)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["url"]) == (202, True, url)
    assert bench.releases.commands == [], "nothing of it runs anywhere: there is no news"
    listed = (await bench.admin.get(url + "/metrics")).json()
    assert {(each["metric"], each["value"], each["source"], each["at"]) for each in listed["items"]} == {
        ("error_rate", 0.5, "admin", at),
        ("latency_ms", 120, "admin", at),
        ("requests_per_sec", 3.5, "admin", at),
        ("queue_depth", 7, "admin", at),
    }
    only = await bench.admin.get(url + "/metrics", params={"metric": "latency_ms", "limit": 1})
    assert ([each["value"] for each in only.json()["items"]], only.json()["next_cursor"]) == ([120], None)
    assert (await bench.admin.get(url + "/metrics", params={"source": "another"})).json()["items"] == []
    assert (await bench.admin.get(url.replace(url[-6:], "000000") + "/metrics")).status_code == 404


async def test_samples_are_paged(bench: Bench) -> None:
    url = await started(bench)
    now = epoch_millis()
    for number in range(5):
        for source in ("a", "b"):
            body = {"error_rate": number / 10, "source": source, "at": now + number}
            assert (await bench.admin.post(url + "/metrics", json=body)).status_code == 202
    found: list[tuple[int, str]] = []
    query: dict[str, str | int] = {"limit": 3}
    while True:
        page = (await bench.admin.get(url + "/metrics", params=query)).json()
        found += [(each["at"] - now, each["source"]) for each in page["items"]]
        if page["next_cursor"] is None:
            break
        query = {"limit": 3, "cursor": page["next_cursor"]}
    assert len(found) == 10
    assert set(found) == {(number, source) for number in range(5) for source in ("a", "b")}
    assert [at for at, _ in found] == sorted((at for at, _ in found), reverse=True)
    wrong = await bench.admin.get(url + "/metrics", params={"cursor": page["items"] and "x", "limit": 3})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "cursor")


@pytest.mark.parametrize(
    ("back", "words"),
    [
        (-6 * 60_000, "in the future"),
        (8 * 86_400_000, "8 days back"),
        (6 * 60_000, "before this deployment was asked for"),
        (None, "looks like seconds"),
    ],
    ids=["future", "old", "before it", "seconds"],
)
async def test_a_time_that_no_sample_can_have_is_named(bench: Bench, back: int | None, words: str) -> None:
    url, now = await started(bench), epoch_millis()
    at = now // 1000 if back is None else now - back
    answer = await bench.admin.post(url + "/metrics", json={"error_rate": 0.9, "at": at})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "at"
    assert words in error["message"]
    assert (await bench.admin.get(url + "/metrics")).json()["items"] == []


async def test_a_reporter_cannot_flood_the_store_with_names(bench: Bench) -> None:
    url = await started(bench)
    for number in range(2):
        many = {f"m{number}_{each}": 1.0 for each in range(32)}
        assert (await bench.admin.post(url + "/metrics", json={"metrics": many})).status_code == 202
    more = await bench.admin.post(url + "/metrics", json={"error_rate": 0.1})
    assert (more.status_code, more.json()["errors"][0]["field"]) == (422, "source")
    assert "may have 64" in more.json()["detail"]
    again = await bench.admin.post(url + "/metrics", json={"metrics": {"m0_1": 2.0}})
    assert again.status_code == 202
    too_many = await bench.admin.post(url + "/metrics", json={"metrics": {f"m{each}": 1.0 for each in range(33)}})
    assert (too_many.status_code, too_many.json()["errors"][0]["field"]) == (422, "metrics")
    record, now = await bench.stores.deployments.get(url.rpartition("/")[2]), epoch_millis()
    assert record is not None
    read = ReportMetrics(by="agent 7", via="agent", source="pull:prometheus", metrics={"error_rate": 0.5})
    await bench.app.state.services.measured.keep(report_of(record, read, now))  # whoever floods it blinds nobody
    kept = (await bench.admin.get(url + "/metrics", params={"source": "pull:prometheus"})).json()["items"]
    assert [each["value"] for each in kept] == [0.5]


async def test_what_agents_read_is_reported_by_nobody_else(bench: Bench) -> None:
    """A developer covered what Prometheus measured of a bad version: a sample in its row, five minutes ahead."""
    url = await started(bench)
    ahead = {"source": "pull:prometheus", "error_rate": 0.0, "at": epoch_millis() + 290_000}
    answer = await bench.admin.post(url + "/metrics", json=ahead)
    assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, ["source"])
    assert "as what agents read does" in answer.json()["detail"]
    assert (await bench.admin.get(url + "/metrics")).json()["items"] == []


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
        ('{"error_rate": 0.1, "source": ""}', "source"),
        ('{"metrics": {"error_rate": 0.1}, "error_rate": 0.1}', "body"),
        ('{"metrics": {"depth": null}}', "metrics.depth"),
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
