"""What a workflow is told in a replay, in the order in which it was told when it ran first.

When a local activity outlives its workflow task, the task is renewed. The SDK delivers at once what has happened
meanwhile, and the result when it is there. A replay finds both in what it takes for one task and delivers it together.
Code between two awaits can then decide otherwise, and the workflow never goes on (TMPRL1100, a nondeterminism error).
So an activation that has both is split here: first what happened, then each result by itself.

``workflows.calls`` keeps local activities far below the length of a task, so that new histories have this only where a
worker stood still in the middle of one; those of versions before have it wherever the store was away for some seconds.
Deliberately not here: the sandbox (``sandbox``).
"""

from collections.abc import Callable

from temporalio.bridge.proto.workflow_activation import WorkflowActivation, WorkflowActivationJob
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion

Activate = Callable[[WorkflowActivation], WorkflowActivationCompletion]


def activate_in_order(activate: Activate, activation: WorkflowActivation) -> WorkflowActivationCompletion:
    """Hand the activation to the workflow, in parts where it must be; the answers to all parts are one."""
    results = [job for job in activation.jobs if _is_result_of_a_local_activity(job)]
    if not results or len(activation.jobs) == 1:
        return activate(activation)
    others = [job for job in activation.jobs if not _is_result_of_a_local_activity(job)]
    parts = [part for part in (others, *([result] for result in results)) if part]
    whole = activate(_part(activation, parts[0]))
    for jobs in parts[1:]:
        if not whole.HasField("successful"):
            return whole
        answer = activate(_part(activation, jobs))
        if not answer.HasField("successful"):
            return answer
        whole.successful.MergeFrom(answer.successful)
    return whole


def _is_result_of_a_local_activity(job: WorkflowActivationJob) -> bool:
    return job.HasField("resolve_activity") and job.resolve_activity.is_local


def _part(activation: WorkflowActivation, jobs: list[WorkflowActivationJob]) -> WorkflowActivation:
    part = WorkflowActivation()
    part.CopyFrom(activation)
    del part.jobs[:]
    part.jobs.extend(jobs)
    return part
