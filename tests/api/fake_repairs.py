"""A fake of our own way to stuck workflows: what is stuck is a list, and a repair ends it."""

from workflows.client.repairs import RepairClient
from workflows.contracts.errors import HybridCIError, InvalidState
from workflows.contracts.repairs import Kind, RepairInput, RepairOutcome, RepairResult, StuckWorkflow


class FakeRepairs(RepairClient):
    """``outcome`` None: every repair takes too long to wait for. ``failure`` is raised by every call."""

    def __init__(self) -> None:  # no client: the base class is not used
        self.found: list[StuckWorkflow] = []
        self.asked: list[RepairInput] = []
        self.outcome: RepairOutcome | None = RepairOutcome.RESET
        self.failure: HybridCIError | None = None

    async def stuck(self) -> list[StuckWorkflow]:
        if self.failure is not None:
            raise self.failure
        return list(self.found)

    async def repair(self, start: RepairInput) -> RepairResult | None:
        if self.failure is not None:
            raise self.failure
        workflow_id = start.subject.workflow_id
        if all(each.workflow_id != workflow_id for each in self.found):
            raise InvalidState(f"There is nothing to repair: {start.subject} is not stuck.")
        self.asked.append(start)
        if self.outcome is None:
            return None
        self.found = [each for each in self.found if each.workflow_id != workflow_id]
        return RepairResult(workflow_id=workflow_id, outcome=self.outcome, message=f"{start.subject} goes on.")


def stuck_job(job_id: str, *, pool: str = "default") -> StuckWorkflow:
    return StuckWorkflow(
        kind=Kind.JOB,
        workflow_id=f"job-{job_id}",
        job_id=job_id,
        pool=pool,
        run_id="r1",
        workflow_type="JobWorkflow",
        cause="WorkflowTaskFailedCauseNonDeterministicError",
    )


def stuck_environment(service: str, environment: str) -> StuckWorkflow:
    return StuckWorkflow(
        kind=Kind.ENVIRONMENT,
        workflow_id=f"env-{service}-{environment}",
        service_name=service,
        environment=environment,
        run_id="r2",
        workflow_type="EnvironmentWorkflow",
        cause="WorkflowTaskTimedOut",
    )
