"""What a workflow is told in a replay, in the order in which it was told when it ran first.

When a local activity outlives its workflow task, the task is renewed. The SDK delivers at once what has happened
meanwhile, and the result when it is there. A replay finds both in what it takes for one task and delivers it together.
Code between two awaits can then decide otherwise, and the workflow never goes on (TMPRL1100, a nondeterminism error).
So an activation that has both is split here: first what happened, then each result by itself.

Updates are another such case. A worker that takes a workflow over finds what was told in a task that was renewed, and
an update that came later, in one task; every replay afterwards finds them in two, for the event of an update says to
which task it belongs, and others do not. So an update comes last, by itself, in either case (``quiet_tasks`` knows
since when).

``workflows.calls`` keeps local activities far below the length of a task, so that new histories have this only where a
worker stood still in the middle of one; those of versions before have it wherever the store was away for some seconds.
Deliberately not here: the sandbox (``sandbox``), and tasks that leave no event (``quiet_tasks``).
"""

from collections.abc import Callable
from typing import Final

from temporalio.bridge.proto.workflow_activation import WorkflowActivation, WorkflowActivationJob
from temporalio.bridge.proto.workflow_commands import WorkflowCommand
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion

_ENDS: Final = frozenset(
    {
        "complete_workflow_execution",
        "continue_as_new_workflow_execution",
        "fail_workflow_execution",
        "cancel_workflow_execution",
    }
)
Activate = Callable[[WorkflowActivation], WorkflowActivationCompletion]


def activate_in_order(
    activate: Activate, activation: WorkflowActivation, *, updates_apart: bool
) -> WorkflowActivationCompletion:
    """Hand the activation to the workflow, in parts where it must be; the answers to all parts are one.

    ``updates_apart``: each update comes by itself, after what else happened.
    """
    others: list[WorkflowActivationJob] = []
    updates: list[WorkflowActivationJob] = []
    results: list[WorkflowActivationJob] = []
    for job in activation.jobs:
        update = updates_apart and job.HasField("do_update")
        (updates if update else results if is_result_of_a_local_activity(job) else others).append(job)
    if len(activation.jobs) == 1 or not (results or updates):
        return activate(activation)
    parts = [part for part in (others, *([update] for update in updates), *([result] for result in results)) if part]
    whole = activate(_part(activation, parts[0]))
    for jobs in parts[1:]:
        if not whole.HasField("successful") or any(map(_is_the_end, whole.successful.commands)):
            return whole  # whoever sent an update is told by the server, or it goes to the next run
        answer = activate(_part(activation, jobs))
        if not answer.HasField("successful"):
            return answer
        whole.successful.MergeFrom(answer.successful)
    return whole


def is_result_of_a_local_activity(job: WorkflowActivationJob) -> bool:
    """Told apart by the SDK's core itself."""
    return job.HasField("resolve_activity") and job.resolve_activity.is_local


def _is_the_end(command: WorkflowCommand) -> bool:
    return command.WhichOneof("variant") in _ENDS


def _part(activation: WorkflowActivation, jobs: list[WorkflowActivationJob]) -> WorkflowActivation:
    part = WorkflowActivation()
    part.CopyFrom(activation)
    del part.jobs[:]
    part.jobs.extend(jobs)
    return part
