"""DeploymentWorkflow: one version of one service on its way. The phases, in the order of a good day:

definition → build → test → for each environment (join the line → approval → turn → roll out → verify → bake →
arrived) → live, until another version takes its place or it is rolled back.

``run`` goes from phase to phase; handlers hand what comes in to the inbox. Deliberately not here: what a phase does
(``phases``), what people (``commands``) and environments (``signals``) may say, stopping short (``endings``), an
environment's lock (``workflows.environment``).
"""

from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.closing import closed
    from workflows.contracts.activities import reopen_deployment
    from workflows.contracts.deployments.commands import CancelDeployment, DeploymentInput
    from workflows.contracts.deployments.deployment import Deployment
    from workflows.deployment import endings, refusals
    from workflows.deployment.commands import COMMANDS
    from workflows.deployment.context import Context
    from workflows.deployment.handlers import takes
    from workflows.deployment.phases import PHASES
    from workflows.deployment.presentation import closing, first_line
    from workflows.deployment.progress import Failed, Interrupted, Phase, Renew
    from workflows.deployment.signals import SIGNALS
    from workflows.deployment.state import State
    from workflows.job.recorded import is_continued, now_ms, started_ms
    from workflows.shielded import shielded

_CANCELLED: Final = CancelDeployment(by="temporal", reason="Cancelled in Temporal.")


@workflow.defn(name="DeploymentWorkflow")
@takes(COMMANDS, SIGNALS)
class DeploymentWorkflow:
    """The one owner of a deployment's state."""

    @workflow.init
    def __init__(self, start: DeploymentInput) -> None:
        if not is_continued():
            start = start.model_copy(update={"resume": None})
        self._created = start.resume is not None
        self._rejected: ApplicationError | None = None
        self.context = Context.of(State.at_start(start, started_ms()), resumed=self._created)
        if start.live_again is not None and not self._created:
            self.context.opening.begin()

    @workflow.run
    async def run(self, start: DeploymentInput) -> Deployment:
        """Bring the version to its end: superseded, rolled back or failed. Returns its record, or raises with it
        (``closing``).
        """
        again = await shielded(self._run(start), self._cancelled_in_temporal)
        if again:
            workflow.continue_as_new(start.model_copy(update={"resume": self.context.state.resume()}))
        await workflow.wait_condition(workflow.all_handlers_finished)
        ended = self.context.state.deployment
        return closed(ended, closing(ended), cause=ended.cause or ended.status.value, words=first_line(ended))

    async def _run(self, start: DeploymentInput) -> bool:
        """True asks for continue-as-new, with no job and no handler under way."""
        context = self.context
        if not self._created:
            await (self._create(start) if start.live_again is None else self._reopen(start))
        while (phase := context.state.progress.phase) is not Phase.END:
            try:
                await PHASES[phase](context)
            except Failed as failure:
                await endings.fail(context, failure.what, failure.message)
            except Interrupted:
                await endings.act_on_interrupt(context)
            except Renew:
                await context.journal.record()
                await workflow.wait_condition(
                    lambda: context.state.interrupt is not None or workflow.all_handlers_finished()
                )
                if context.state.interrupt is None:  # nothing is awaited from here on: what is said now is for the next
                    return True
        return False

    async def _create(self, start: DeploymentInput) -> None:
        journal = self.context.journal
        journal.created_by(start)
        if start.allow_older is not None:
            journal.allowed_older(start)
        try:
            await journal.record()
        except ApplicationError as error:
            self._rejected = error
            await workflow.wait_condition(workflow.all_handlers_finished)
            raise self._rejected from None
        self._created = True

    async def _reopen(self, start: DeploymentInput) -> None:
        """Go on where it is live, if the control plane's records say so, whoever has started this."""
        context = self.context
        try:
            reopened = await context.calls.call(
                reopen_deployment, start.deployment_id, summary="the record of what is live is open again"
            )
        except ApplicationError as error:
            self._rejected = error
            context.opening.refuse(error)
            await workflow.wait_condition(workflow.all_handlers_finished)
            raise self._rejected from None
        context.journal.go_on(State.live_again(reopened))
        context.opening.end()
        self._created = True

    def _cancelled_in_temporal(self) -> None:
        """A cancel like any other."""
        state = self.context.state
        if state.interrupt is None and refusals.cancel(state, _CANCELLED, now_ms()) is None:
            self.context.journal.state = state.interrupted(_CANCELLED)

    @workflow.update(name="created", description="Answer with the record once it is readable.")
    async def created(self, *_given: Any) -> Deployment:
        """Answer once the record is readable."""
        await workflow.wait_condition(lambda: self._created or self._rejected is not None)
        if self._rejected is not None:
            raise self._rejected
        return self.context.state.deployment

    @workflow.query(name="state", description="The record as the workflow has it now.")
    def state(self) -> Deployment:
        """The record as the workflow has it now."""
        return self.context.state.deployment
