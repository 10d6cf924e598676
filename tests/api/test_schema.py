"""schemathesis over the OpenAPI document, in-process: no 500 for anything, and every answer is what the document says.

Half of the requests name jobs, deployments and services that exist, in every state, so that they get past "not found".
"""

import asyncio
import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks
from schemathesis.config import SchemathesisConfig

from api.auth.limits import RateLimits
from api.auth.permissions import REGISTERING, ROUTES
from tests.api.conftest import ADMIN_KEY, AGENT_TOKEN, DEPLOYMENT, SERVICE, SPEC, memory_app
from tests.api.fake_deployments import FakeDeployments
from tests.api.fakes import FakeJobClient
from workflows.contracts.access import Operation
from workflows.contracts.attempts import AttemptStarted
from workflows.contracts.commands import JobInput
from workflows.contracts.deployments.commands import DeploymentInput
from workflows.contracts.deployments.deployment import DeploymentRequest, DeploymentStatus
from workflows.contracts.deployments.services import Service, ServiceSpec, ServiceWrite
from workflows.contracts.ids import new_job_id
from workflows.contracts.jobs import Job, JobSpec
from workflows.contracts.statuses import JobStatus

checks.load_all_checks()
_CHECKS: Any = vars(checks)["CHECKS"]
# Rules no schema can say (a cursor is ours, a git URL is safe) refuse what the schema would allow.
_TOO_EAGER: list[Any] = [_CHECKS.get_one("positive_data_acceptance")]
_SERVER_ERROR: Any = _CHECKS.get_one("not_a_server_error")
_NEED_TEMPORAL = {
    "/api/queue/claim",
    *(f"/api/queue/jobs/{{job_id}}/{verb}" for verb in ("start", "heartbeat", "complete")),
}
"""Here they can only say that Temporal is away (503); ``test_claims`` has one."""
_NEGATIVE: Any = _CHECKS.get_one("negative_data_rejection")
_turn = itertools.count()
_known: dict[str, list[str]] = {}
# The systematic cases of so deep a body are 3,000; its random ones are more instead.
_DEEP = ("/api/dashboard/services/{name}", "put")


_app, _, _job_client, _stop = memory_app(RateLimits(failures=0))
_stop.append(True)  # followers of logs end at once


def _schema(settings: dict[str, Any]) -> Any:
    config: Any = SchemathesisConfig
    schema: Any = schemathesis.openapi.from_dict(_app.openapi(), config=config.from_dict(settings))
    schema.app = _app
    return schema


_plain, _random_only = _schema({}), _schema({"phases": {"coverage": {"enabled": False}}})


@pytest.fixture(scope="module", autouse=True)
def seeded() -> None:
    _known.update(asyncio.run(_seed(_job_client)))


def _test_of(path: str, method: str) -> tuple[str, Callable[[pytest.FixtureRequest], None]]:
    """A test under a name of its own: tests of one name are taken for one by pytest-xdist, and lost.

    schemathesis makes a test's cases when it collects it. We let it do so when the test runs: at collection, each of
    pytest-xdist's processes would make the cases of all of them.
    """

    @settings(
        deadline=None,
        max_examples=40 if (path, method) == _DEEP else 12,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    def ask(case: Any) -> None:
        route = f"{method.upper()} {path}"
        itself = ROUTES.get(route) is Operation.AGENT_WORK and route not in REGISTERING
        key = AGENT_TOKEN if itself else ADMIN_KEY
        excluded = _TOO_EAGER
        if next(_turn) % 2 and _known.keys() & case.path_parameters.keys():
            excluded = [*_TOO_EAGER, _NEGATIVE]  # what was wrong may have been the name that is now a good one
            for name in _known.keys() & case.path_parameters.keys():
                case.path_parameters[name] = _known[name][next(_turn) % len(_known[name])]
        if path in _NEED_TEMPORAL:
            excluded = [*excluded, _SERVER_ERROR]
        answer = case.call_and_validate(headers={"Authorization": f"Bearer {key}"}, excluded_checks=excluded)
        assert answer.status_code < 500 or answer.status_code == 503

    name = "test_" + re.sub(r"\W+", "_", f"{method} {path}").strip("_")
    schema = _random_only if (path, method) == _DEEP else _plain
    generated = schema.include(path=path, method=method.upper()).parametrize()(ask)

    def test(request: pytest.FixtureRequest) -> None:
        node: Any = request.node
        (one,) = node.ihook.pytest_pycollect_makeitem(collector=node.parent, name=name, obj=generated).collect()
        one.runtest()

    return name, test


for _path, _methods in _app.openapi()["paths"].items():
    for _method in _methods:
        _name, _test = _test_of(_path, _method)
        globals()[_name] = _test


def test_every_operation_has_a_test() -> None:
    operations = sum(len(methods) for methods in _app.openapi()["paths"].values())
    tests = [name for name in globals() if re.match("test_(get|post|put|patch|delete)_", name)]
    assert len(tests) == operations > 55


async def _seed(job_client: FakeJobClient) -> dict[str, list[str]]:
    ids = [(await _job(job_client)).job_id for _ in range(4)]
    for job_id, status in zip(ids[1:], (None, JobStatus.SUCCESS, JobStatus.DEAD_LETTERED), strict=True):
        await job_client.attempt_started(job_id, AttemptStarted(attempt=1, agent_id="agent-7", claimed_at=1))
        if status is not None:
            await job_client.end_attempt(job_id, 1, status=status, log_bytes=0)
    names = ["checkout", "search"]
    services = [await job_client.releases.apply_service(_registration(name)) for name in names]
    deployments = [await _deployment(job_client.releases, services[number % 2]) for number in range(6)]
    await job_client.releases.go_live(deployments[0])
    await job_client.releases.go_live(deployments[1])
    last = await job_client.releases.go_live(deployments[2])
    await job_client.releases.put(last, status=DeploymentStatus.ROLLED_BACK, closed=True)
    environments = ["staging", "production", "nowhere"]
    return {"job_id": ids, "deployment_id": deployments, "name": names, "environment": environments}


def _registration(name: str) -> ServiceWrite:
    return ServiceWrite(name=name, spec=ServiceSpec.model_validate(SERVICE), by="ann")


async def _deployment(releases: FakeDeployments, service: Service) -> str:
    request = DeploymentRequest.model_validate({**DEPLOYMENT, "service_name": service.name})
    start = DeploymentInput(deployment_id=new_job_id(), request=request, service=service)
    return (await releases.start(start)).deployment_id


async def _job(job_client: FakeJobClient) -> Job:
    return await job_client.submit(JobInput(job_id=new_job_id(), spec=JobSpec.model_validate(SPEC)))
