"""What is stuck, and its repair, over HTTP: the list, the rights, the answers."""

import pytest

from tests.api.conftest import Bench
from tests.api.fake_repairs import stuck_environment, stuck_job
from tests.api.gate import Gate
from workflows.contracts.errors import Unavailable
from workflows.contracts.repairs import Kind, RepairOutcome

HEALTH = "/health/system"
WHY = {"reason": "an outage of the store"}


@pytest.fixture
async def gate(bench: Bench) -> Gate:
    return Gate(bench)


async def test_nothing_is_stuck(bench: Bench) -> None:
    answer = await bench.admin.get(HEALTH)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["stuck"], body["by_type"], body["items"]) == ("healthy", 0, {}, [])


async def test_each_is_named_with_the_command_that_cures_it(bench: Bench) -> None:
    job_id = await bench.submit()
    bench.repairs.found = [stuck_job(job_id), stuck_environment("checkout", "production")]
    body = (await bench.admin.get(HEALTH)).json()
    assert (body["status"], body["stuck"]) == ("stuck", 2)
    assert body["by_type"] == {"EnvironmentWorkflow": 1, "JobWorkflow": 1}
    job, environment = body["items"]
    assert (job["kind"], job["job_id"], job["cause"]) == ("job", job_id, "WorkflowTaskFailedCauseNonDeterministicError")
    assert job["repair"] == f'hybridci repair job {job_id} --reason "…"'
    assert environment["repair"] == 'hybridci repair environment checkout/production --reason "…"'
    text = (await bench.admin.get("/metrics")).text
    assert 'hybridci_stuck_workflows{type="JobWorkflow"} 1.0' in text
    assert 'hybridci_stuck_workflows{type="DeploymentWorkflow"} 0.0' in text


async def test_the_list_is_bounded_and_the_count_is_not(bench: Bench) -> None:
    bench.repairs.found = [stuck_job(f"{number:08d}") for number in range(120)]
    body = (await bench.admin.get(HEALTH)).json()
    assert (body["stuck"], len(body["items"])) == (120, 50)


async def test_it_names_the_gateways_that_asked_whose_a_token_is(bench: Bench) -> None:
    """Only with an agent's token: nobody else makes one up."""
    for caller in (bench.agent, bench.admin):
        for name in ("hybridci-gateway/9.9.9", "curl/8"):
            assert (await caller.post("/auth/validate", headers={"User-Agent": name})).status_code == 200
    (seen,) = (await bench.admin.get(HEALTH)).json()["processes"]
    assert (seen["kind"], seen["version"], "seen_time" in seen) == ("gateway", "9.9.9", True)


async def test_while_temporal_is_away_nothing_is_said(bench: Bench) -> None:
    bench.repairs.failure = Unavailable("Temporal does not answer.")
    assert (await bench.admin.get(HEALTH)).status_code == 503
    answer = await bench.admin.get("/metrics")
    assert answer.status_code == 200
    assert "hybridci_stuck_workflows{" not in answer.text


async def test_a_job_is_repaired_in_its_callers_name(bench: Bench) -> None:
    job_id = await bench.submit(pool="linux")
    bench.repairs.found = [stuck_job(job_id)]
    answer = await bench.admin.post(f"/api/dashboard/jobs/{job_id}/repair", json={**WHY, "end": True})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["outcome"], answer.json()["workflow_id"]) == ("reset", f"job-{job_id}")
    (asked,) = bench.repairs.asked
    assert (asked.subject.kind, asked.subject.job_id, asked.subject.pool) == (Kind.JOB, job_id, "linux")
    assert (asked.command.by, asked.command.via, asked.command.role) == ("admin", "api", "admin")
    assert (asked.command.reason, asked.command.end) == (WHY["reason"], True)


async def test_a_deployment_and_an_environment_are_repaired(bench: Bench) -> None:
    await bench.register()
    deployment_id = await bench.deploy()
    bench.repairs.found = [
        stuck_job("1").model_copy(update={"workflow_id": f"deploy-checkout-1.4.2-{deployment_id}"}),
        stuck_environment("checkout", "production"),
    ]
    for path in (f"deployments/{deployment_id}", "services/checkout/environments/production"):
        answer = await bench.admin.post(f"/api/dashboard/{path}/repair", json=WHY)
        assert answer.status_code == 200, answer.text
    deployment, environment = (each.subject for each in bench.repairs.asked)
    assert (deployment.kind, deployment.deployment_id, deployment.version) == (Kind.DEPLOYMENT, deployment_id, "1.4.2")
    assert environment.workflow_id == "env-checkout-production"


async def test_one_that_takes_long_is_under_way(bench: Bench) -> None:
    job_id = await bench.submit()
    bench.repairs.found, bench.repairs.outcome = [stuck_job(job_id)], None
    answer = await bench.admin.post(f"/api/dashboard/jobs/{job_id}/repair", json=WHY)
    assert (answer.status_code, answer.json()["outcome"]) == (202, RepairOutcome.UNDER_WAY)


async def test_what_is_not_stuck_is_refused(bench: Bench) -> None:
    job_id = await bench.submit()
    answer = await bench.admin.post(f"/api/dashboard/jobs/{job_id}/repair", json=WHY)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("invalid_state")
    assert "not stuck" in answer.json()["detail"]


@pytest.mark.parametrize("body", [{}, {"reason": " "}, {"reason": "x", "end": "perhaps"}, {"reason": "x", "by": "bob"}])
async def test_a_reason_is_needed_and_nothing_unknown_is_taken(bench: Bench, body: dict[str, object]) -> None:
    job_id = await bench.submit()
    assert (await bench.admin.post(f"/api/dashboard/jobs/{job_id}/repair", json=body)).status_code == 422
    assert bench.repairs.asked == []


async def test_what_does_not_exist_is_not_found(bench: Bench) -> None:
    await bench.register()
    absent = "00000000-0000-4000-8000-000000000000"
    for path in (f"jobs/{absent}", f"deployments/{absent}", "services/checkout/environments/moon"):
        assert (await bench.admin.post(f"/api/dashboard/{path}/repair", json=WHY)).status_code == 404, path


async def test_operators_repair_what_is_theirs(gate: Gate) -> None:
    bench = gate.bench
    linux, mac = await bench.submit(pool="linux"), await bench.submit(pool="mac")
    bench.repairs.found = [stuck_job(linux, pool="linux"), stuck_job(mac, pool="mac")]
    operator = (await gate.make({"role": "operator", "pools": ["linux"]}))["key"]
    developer = (await gate.make({"role": "developer"}))["key"]
    shown = (await gate.ask(operator, "GET", HEALTH)).json()
    assert (shown["stuck"], [each["job_id"] for each in shown["items"]]) == (1, [linux])
    assert (await gate.ask(developer, "GET", HEALTH)).json()["stuck"] == 2
    for key, job_id, status in ((developer, linux, 403), (operator, mac, 403), (operator, linux, 200)):
        assert await gate.status(key, "POST", f"/api/dashboard/jobs/{job_id}/repair", json=WHY) == status
