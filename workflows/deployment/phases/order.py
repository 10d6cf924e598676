"""Wait for a person, where a commit is older than what is live or ahead and the environment wants to be asked.

It has no place in line meanwhile: others go on. Deliberately not here: what is newer (``ordering``).
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.deployment import StageStatus
    from workflows.deployment import record
    from workflows.deployment.context import Context
    from workflows.deployment.progress import Phase
    from workflows.deployment.rules.relations import CommitStanding, marks, warning


async def ask(context: Context, standing: CommitStanding) -> None:
    """Come into this phase: say what is newer, and which commands lead out of it."""
    journal, state = context.journal, context.state
    deployment, name = state.deployment, state.environment.name
    await context.lock.give_back()
    words = (
        f"{deployment.version} waits before {name}. {warning(standing.doubts)} Go on all the same: `hybridci deploy "
        f"resume {state.identity} --reason …`; end it: `hybridci deploy cancel {state.identity}`"
    )
    journal.change(record.waiting, name, words, status=StageStatus.PAUSED)
    journal.note(EventType.DEPLOYMENT_PAUSED, message=words)
    journal.move(Phase.ORDER, resumed=False, seen=marks(standing.doubts))
    await journal.record()


async def run(context: Context) -> None:
    """Ends in JOIN."""
    await context.wait(lambda: context.state.progress.resumed)
    progress = context.state.progress
    accepted = list(dict.fromkeys([*progress.accepted, *progress.seen]))
    context.journal.move(Phase.JOIN, resumed=False, accepted=accepted)
