"""What somebody types in Temporal's own command line reaches every update; what is no command is refused in words."""

from typing import Any, Final

import pytest
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from tests.workflows.deployment_harness import Deploys
from tests.workflows.harness import Harness
from workflows.deployment.workflow import DeploymentWorkflow
from workflows.environment.workflow import EnvironmentWorkflow
from workflows.job.workflow import JobWorkflow

_ODD: Final[tuple[list[Any], ...]] = ([], [None], ["yes"], [{"by": 7}], [{"by": "ann"}, {"by": "ann"}])


def _updates(workflow_class: type) -> list[str]:
    """Those that take a command; ``created`` takes anything."""
    found = [getattr(getattr(workflow_class, name), "_defn", None) for name in dir(workflow_class)]
    names = [each.name for each in found if type(each).__name__ == "_UpdateDefinition"]  # pyright: ignore[reportOptionalMemberAccess]
    return [name for name in names if name != "created"]


async def _refused(handle: WorkflowHandle[Any, Any], update: str, given: list[Any]) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as failed:
        await handle.execute_update(update, args=given)  # pyright: ignore[reportUnknownMemberType]
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError), cause
    assert cause.type == "validation_failed", (update, given, cause)
    return cause.message


@pytest.mark.parametrize("given", _ODD, ids=str)
async def test_a_deployment_and_its_environment_say_what_they_take(deploys: Deploys, given: list[Any]) -> None:
    one = await deploys.start("1.0", deploys.service(deploys.environment(approval={"required": 1})))
    await deploys.until_waits(one, "waits for approval")
    of_deployment, of_environment = _updates(DeploymentWorkflow), _updates(EnvironmentWorkflow)
    assert {"approve", "rollback"} <= set(of_deployment)
    assert {"hold", "freeze"} <= set(of_environment)
    for handle, names in (deploys.handle(one), of_deployment), (deploys.environment_handle(), of_environment):
        for name in names:
            assert "must be one " in await _refused(handle, name, given), name
    await deploys.approve(one)
    await deploys.until_status(one, "live")


@pytest.mark.parametrize("given", _ODD, ids=str)
async def test_a_job_says_what_it_takes(jobs: Harness, given: list[Any]) -> None:
    job = await jobs.submit()
    names = _updates(JobWorkflow)
    assert {"cancel", "edit", "redrive"} <= set(names)
    for name in names:
        assert "must be one " in await _refused(jobs.handle(job.job_id), name, given), name
