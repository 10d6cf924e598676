"""The control worker's activities for deployments: contract in, chain, contract out. Names and types are
the stubs' of ``workflows.contracts.activities``.

Deliberately not here: the rules (links, ``reconcile``) and how errors cross to Temporal (``errors``).
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from temporalio import activity

from activities.chaining.chains import NamedChain, run_chain
from activities.deployments.approvals import Approvals
from activities.deployments.order import CommitOrder
from activities.deployments.readers import DeploymentReader
from activities.deployments.reconcile import DeploymentReconciler
from activities.deployments.reopening import Reopening
from activities.deployments.signing import SpecSigner
from activities.deployments.standing import LiveSweeper
from activities.deployments.writers import DeploymentWriter
from activities.errors import speaks_temporal
from activities.events.witness import Witness
from activities.fitting import shorter_deployment, written
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.commands import JobInput, ReconcileResult
from workflows.contracts.deployments.approvals import ApprovalFacts, ApprovalQuestion
from workflows.contracts.deployments.deployment import Deployment, DeploymentWrite
from workflows.contracts.deployments.order import OrderFacts, OrderQuestion, Pushes, PushQuestion
from workflows.contracts.deployments.reopening import LiveSwept, Reopened
from workflows.contracts.errors import Conflict, InvalidState, NotFound
from workflows.contracts.sealed import SpecSignature
from workflows.newest import Newest

_MAX_KNOWN_RUNS: Final = 5_000
_START_ANEW: Final = "Start the deployment through the API: `hybridci deploy start SERVICE --version V --sha SHA`."


@dataclass(frozen=True, slots=True)
class DeploymentActivities:
    """The bodies, with what they need. ``all`` is what a Worker registers."""

    creation: NamedChain
    writer: DeploymentWriter
    reader: DeploymentReader
    reconciler: DeploymentReconciler
    signer: SpecSigner
    approvals: Approvals
    order: CommitOrder
    witness: Witness
    reopening: Reopening
    live: LiveSweeper
    first_run: Callable[[str, str], Awaitable[str]]
    _own_runs: Newest[str, None] = field(default_factory=lambda: Newest(_MAX_KNOWN_RUNS))

    def all(self) -> Sequence[Callable[..., Any]]:
        """Every activity, for ``Worker(activities=…)``."""
        return [
            self.create_deployment,
            self.record_deployment,
            self.load_deployment,
            self.approval_facts,
            self.order_facts,
            self.find_pushes,
            self.reconcile_deployments,
            self.sign_specification,
            self.reopen_deployment,
            self.sweep_live,
        ]

    @activity.defn(name="create_deployment")
    @speaks_temporal
    async def create_deployment(self, write: DeploymentWrite) -> str | None:
        """Validate and create the record. Returns why nobody knows who started it, None when the API says so.

        Raises validation_failed, and invalid_state where that must be known, both not retryable.
        """
        workflow_id, claim = activity.info().workflow_id, write.claim
        doubt = None if claim is None else self.witness.doubt(claim, workflow_id, instead=_START_ANEW)
        await self._require_own_run(write.deployment.deployment_id)
        await run_chain(self.creation, {"write": self._attested(write)}, result="outcome", kind=WriteOutcome)
        return doubt

    @activity.defn(name="record_deployment")
    @speaks_temporal
    async def record_deployment(self, write: DeploymentWrite) -> None:
        """Write the record's next state. A write that is there already, or older, changes nothing.

        Raises conflict, not retryable, when another run of the workflow has ended the deployment.
        """
        await self._require_own_run(write.deployment.deployment_id)
        await written(self.writer.write, self._attested(write), shorter_deployment)

    @activity.defn(name="load_deployment")
    @speaks_temporal
    async def load_deployment(self, deployment_id: str) -> Deployment | None:
        """The record, or None."""
        try:
            return await self.reader.get(deployment_id)
        except NotFound:
            return None

    @activity.defn(name="reopen_deployment")
    @speaks_temporal
    async def reopen_deployment(self, deployment_id: str) -> Reopened:
        """Make the record of what is live in its environment live again. Whoever started the workflow that asks: the
        records alone say whether.

        Raises conflict and invalid_state, not retryable, for any other deployment.
        """
        asker = activity.info()
        if asker.workflow_type != "DeploymentWorkflow":
            raise InvalidState("Nothing is live again: a deployment's own workflow asks for that.")
        return await self.reopening.reopen(deployment_id, asker.workflow_id or "", asker.workflow_run_id or "")

    @activity.defn(name="approval_facts")
    @speaks_temporal
    async def approval_facts(self, question: ApprovalQuestion) -> ApprovalFacts:
        """Who may approve as the service is registered now, and which approvals the API vouches for."""
        return await self.approvals.facts(question)

    @activity.defn(name="order_facts")
    @speaks_temporal
    async def order_facts(self, question: OrderQuestion) -> OrderFacts:
        """Who is ahead, what is banned, and how many agents could tell the order."""
        return await self.order.facts(question)

    @activity.defn(name="find_pushes")
    @speaks_temporal
    async def find_pushes(self, question: PushQuestion) -> Pushes:
        """What forges said of the pushes that brought these deployments' commits."""
        return await self.order.pushes(question)

    @activity.defn(name="reconcile_deployments")
    @speaks_temporal
    async def reconcile_deployments(self) -> ReconcileResult:
        """Close the records whose workflow was closed behind our back."""
        return await self.reconciler.run(activity.heartbeat)

    @activity.defn(name="sweep_live")
    @speaks_temporal
    async def sweep_live(self) -> LiveSwept:
        """Compare what is live in environments, records and workflows, and put it right."""
        return await self.live.run(activity.heartbeat)

    @activity.defn(name="sign_specification")
    @speaks_temporal
    async def sign_specification(self, start: JobInput) -> SpecSignature | None:
        """Sign what a deployment's job is to run. None when this worker has no key to sign with.

        Raises invalid_state, not retryable, for who is not the workflow of this deployment.
        """
        asker = activity.info()
        own = start.deployment_id is not None and (asker.workflow_id or "").endswith(f"-{start.deployment_id}")
        if asker.workflow_type != "DeploymentWorkflow" or not own:
            raise InvalidState("Nothing was signed: a deployment's job is signed for its own workflow only.")
        await self._require_own_run(start.deployment_id or "")
        return self.signer.sign(start)

    async def _require_own_run(self, deployment_id: str) -> None:
        """Temporal takes a workflow that has closed back, and gives its id again: what was proven and approved then
        would count once more. Looked up once for each run. Raises Conflict, Unavailable.
        """
        run_id = activity.info().workflow_run_id or ""
        if run_id in self._own_runs:
            return
        with suppress(NotFound):
            known = await self.reader.get(deployment_id)
            if known.closed and known.closed_in != run_id:
                raise Conflict(f"Deployment {deployment_id} has ended; it is not run again. {_START_ANEW}")
            await self._require_after_reopening(known, run_id)
        self._own_runs[run_id] = None

    async def _require_after_reopening(self, known: Deployment, run_id: str) -> None:
        """What was live again goes on in the run that made it so, and those that follow from it; what came before it
        has ended. Raises Conflict, and RPCError when Temporal does not answer.
        """
        if known.reopened_in in {None, run_id}:
            return
        if await self.first_run(activity.info().workflow_id or "", run_id) != known.reopened_in:
            raise Conflict(
                f"Deployment {known.deployment_id} is live in another run; this one has ended. {_START_ANEW}"
            )

    def _attested(self, write: DeploymentWrite) -> DeploymentWrite:
        return write.model_copy(update={"events": self.witness.attested(write.events, activity.info().workflow_id)})
