"""ServiceWorkflow: register or change a service. Everything that changes state goes through a workflow: this one keeps
trying while the store does not answer, and the same request never runs twice.

Deliberately not here: the rules of a definition (``contracts.services``) and storing it (activity ``apply_service``).
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import apply_service
    from workflows.contracts.services import Service, ServiceWrite


@workflow.defn(name="ServiceWorkflow")
class ServiceWorkflow:
    """One registration."""

    @workflow.run
    async def run(self, write: ServiceWrite) -> Service:
        """Returns the service as stored. Fails as ``validation_failed`` or ``invalid_state``."""
        try:
            service = await workflow.execute_local_activity(
                apply_service,
                write,
                start_to_close_timeout=timedelta(seconds=10),
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10)
                ),
                summary=f"register {write.name}, by {write.by}"[:200],
            )
        except FailureError as error:
            raise _copy_of(error) from None
        workflow.set_current_details(f"{service.name} has definition {service.version}.")
        return service


def _copy_of(error: FailureError) -> ApplicationError:
    """The caller gets code and details; a local activity's failure can come unwrapped."""
    cause = error.cause if isinstance(error, ActivityError) else error
    if isinstance(cause, ApplicationError):
        return ApplicationError(cause.message, *cause.details, type=cause.type, non_retryable=True)
    return ApplicationError(f"The service could not be stored: {cause}", non_retryable=True)
