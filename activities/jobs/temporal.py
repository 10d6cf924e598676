"""What Temporal knows of the jobs' workflows, for ``reconcile``. Implements ``reconcile.JobWorkflows``."""

from typing import Final

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.ending import end_workflow
from activities.jobs.reconcile import ClosedWorkflow
from workflows.client.answers import record_at_end
from workflows.client.jobs import JobClient
from workflows.client.known import stated
from workflows.contracts import search_attributes
from workflows.contracts.errors import InvalidState, NotFound
from workflows.contracts.ids import job_workflow_id
from workflows.contracts.jobs import Job

_QUERY: Final = "WorkflowType = 'JobWorkflow' AND ExecutionStatus = 'Running'"
_PAGE: Final = 1000


class TemporalJobWorkflows:
    """Asks the server. Temporal's errors pass through: the activity is tried again."""

    def __init__(self, client: Client) -> None:
        self._client, self._job_client = client, JobClient(client)

    async def open_job_ids(self) -> set[str]:
        """One cheap listing instead of a question for each open job: there may be thousands of dead letters."""
        return set(await self.shown())

    async def shown(self) -> dict[str, str]:
        """See ``comparing.OpenJobs``."""
        prefix = job_workflow_id("")
        return {
            execution.id.removeprefix(prefix): execution.typed_search_attributes.get(search_attributes.STATUS, "")
            async for execution in self._client.list_workflows(_QUERY, page_size=_PAGE)
        }

    async def state(self, job_id: str) -> Job | None:
        """See ``comparing.OpenJobs``."""
        return await stated(
            self._client.get_workflow_handle(job_workflow_id(job_id), result_type=Job), Job, ended=False
        )

    async def end(self, job_id: str, why: str) -> None:
        """See ``comparing.OpenJobs``. One that has just closed stays as it is."""
        await end_workflow(self._client, job_workflow_id(job_id), why)

    async def closed(self, job_id: str) -> ClosedWorkflow | None:
        """Asks about the latest run."""
        handle = self._client.get_workflow_handle(job_workflow_id(job_id), result_type=Job)
        try:
            status = (await handle.describe()).status
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return ClosedWorkflow("deleted")
            raise
        if status is None or status is WorkflowExecutionStatus.RUNNING:
            return None
        return ClosedWorkflow(status.name.lower().replace("_", " "), await record_at_end(handle, Job))

    async def create_record(self, job_id: str) -> bool:
        """See ``JobWorkflows``."""
        try:
            await self._job_client.created(job_id)
        except (NotFound, InvalidState):
            return False
        return True
