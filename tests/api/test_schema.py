"""schemathesis over the OpenAPI document, in-process: no 500 for anything, and every answer is what the document says.

Half of the requests name jobs that exist, in every state, so that they get past "not found".
"""

import asyncio
import itertools
import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks
from schemathesis.config import SchemathesisConfig

from tests.api.conftest import ADMIN_KEY, SPEC, memory_app
from tests.api.fakes import FakeOrchestrator
from workflows.contracts.attempts import AttemptStarted
from workflows.contracts.commands import JobInput
from workflows.contracts.ids import new_job_id
from workflows.contracts.jobs import Job, JobSpec
from workflows.contracts.statuses import JobStatus

checks.load_all_checks()
_CHECKS: Any = vars(checks)["CHECKS"]
# Rules no schema can say (a cursor is ours, a git URL is safe) refuse what the schema would allow.
_TOO_EAGER: list[Any] = [_CHECKS.get_one("positive_data_acceptance")]
_turn = itertools.count()
_jobs: list[str] = []


# schemathesis makes its tests at collection, so the document must be there; its lazy variant does not know pytest 9.
_app, _, _orchestrator, _stop = memory_app()
_stop.append(True)  # followers of logs end at once
schema: Any = schemathesis.openapi.from_dict(_app.openapi(), config=SchemathesisConfig())
schema.app = _app


@pytest.fixture(scope="module", autouse=True)
def seeded() -> None:
    _jobs[:] = asyncio.run(_seed(_orchestrator))


def _test_of(path: str, method: str) -> Any:
    """One test under a name of its own: tests of one name are taken for one by pytest-xdist, and lost."""

    @settings(
        deadline=None,
        max_examples=12,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    def ask(case: Any) -> None:
        if "job_id" in case.path_parameters and next(_turn) % 2:
            case.path_parameters["job_id"] = _jobs[next(_turn) % len(_jobs)]
        case.call_and_validate(headers={"Authorization": f"Bearer {ADMIN_KEY}"}, excluded_checks=_TOO_EAGER)

    return schema.include(path=path, method=method.upper()).parametrize()(ask)


for _path, _methods in _app.openapi()["paths"].items():
    for _method in _methods:
        globals()["test_" + re.sub(r"\W+", "_", f"{_method} {_path}").strip("_")] = _test_of(_path, _method)


def test_every_operation_has_a_test() -> None:
    operations = sum(len(methods) for methods in _app.openapi()["paths"].values())
    tests = [name for name in globals() if re.match("test_(get|post|put|patch|delete)_", name)]
    assert len(tests) == operations > 30


async def _seed(orchestrator: FakeOrchestrator) -> list[str]:
    ids = [(await _job(orchestrator)).job_id for _ in range(4)]
    for job_id, status in zip(ids[1:], (None, JobStatus.SUCCESS, JobStatus.DEAD_LETTERED), strict=True):
        await orchestrator.attempt_started(job_id, AttemptStarted(attempt=1, agent_id="agent-7", claimed_at=1))
        if status is not None:
            await orchestrator.end_attempt(job_id, 1, status=status, log_bytes=0)
    return ids


async def _job(orchestrator: FakeOrchestrator) -> Job:
    return await orchestrator.submit(JobInput(job_id=new_job_id(), spec=JobSpec.model_validate(SPEC)))
