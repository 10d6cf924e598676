"""ServiceWorkflow: register or change a service; PolicyDecisionWorkflow: what a second person says to a change;
StandingWorkflow: archive or delete one.
Everything that changes state goes through a workflow: these keep trying while the store does not answer, and the same
request never runs twice.

Deliberately not here: the rules of a definition (``contracts.deployments.services``) and storing it (activity
``apply_service``, ``decide_policy_change``).
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.calls import Calls
    from workflows.contracts.activities import apply_service, change_standing, decide_policy_change
    from workflows.contracts.deployments.policy import DecidePolicyChange
    from workflows.contracts.deployments.services import Service, ServiceWrite
    from workflows.contracts.deployments.standing import ChangeStanding
    from workflows.job.recorded import started_ms
    from workflows.words import titled


@workflow.defn(name="ServiceWorkflow")
class ServiceWorkflow:
    """One registration."""

    @workflow.run
    async def run(self, write: ServiceWrite) -> Service:
        """Returns the service as stored. Fails as ``validation_failed`` or ``invalid_state``."""
        summary = titled(f"register {write.name}, by {write.by}")
        service = await Calls().call(apply_service, write.heard(started_ms()), summary=summary)
        waits = "" if service.policy_change is None else " Another policy waits for a second person."
        workflow.set_current_details(f"{service.name} has definition {service.version}.{waits}")
        return service


@workflow.defn(name="PolicyDecisionWorkflow")
class PolicyDecisionWorkflow:
    """One yes or no."""

    @workflow.run
    async def run(self, decision: DecidePolicyChange) -> Service:
        """Returns the service as stored. Fails as ``invalid_state``."""
        said = "yes" if decision.approve else "no"
        summary = titled(f"{decision.name}: {said} to another policy, by {decision.by}")
        service = await Calls().call(decide_policy_change, decision.heard(started_ms()), summary=summary)
        workflow.set_current_details(f"{service.name} has definition {service.version}.")
        return service


@workflow.defn(name="StandingWorkflow")
class StandingWorkflow:
    """One service archived, taken into use again or deleted."""

    @workflow.run
    async def run(self, asked: ChangeStanding) -> Service:
        """Returns the service as stored. Fails as ``not_found`` or ``invalid_state``."""
        summary = titled(f"{asked.name}: {asked.to}, by {asked.by}")
        service = await Calls().call(change_standing, asked.heard(started_ms()), summary=summary)
        workflow.set_current_details(f"{service.name} is {asked.to}.")
        return service
