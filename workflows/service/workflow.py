"""ServiceWorkflow: register or change a service. Everything that changes state goes through a workflow: this one keeps
trying while the store does not answer, and the same request never runs twice.

Deliberately not here: the rules of a definition (``contracts.deployments.services``) and storing it (activity
``apply_service``).
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.calls import Calls
    from workflows.contracts.activities import apply_service
    from workflows.contracts.deployments.services import Service, ServiceWrite


@workflow.defn(name="ServiceWorkflow")
class ServiceWorkflow:
    """One registration."""

    @workflow.run
    async def run(self, write: ServiceWrite) -> Service:
        """Returns the service as stored. Fails as ``validation_failed`` or ``invalid_state``."""
        summary = f"register {write.name}, by {write.by}"[:200]
        service = await Calls().call(apply_service, write, summary=summary)
        workflow.set_current_details(f"{service.name} has definition {service.version}.")
        return service
