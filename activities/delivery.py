"""What a workflow is told while it waits for a local activity, in the order in which a replay will tell it.

When a local activity outlives its workflow task, the SDK delivers what has happened meanwhile first, the result later.
A replay finds both in one task and delivers them together. Code between two awaits can decide otherwise then, and the
workflow can never go on: a nondeterminism error (TMPRL1100). So what comes with a later task is held back here until
the result is there, and then delivered with it, in the first run as in every replay.

``workflows.calls`` keeps local activities far below the length of a task, so this happens only to a worker that stands
still in the middle of one. Queries and evictions pass.
Deliberately not here: the sandbox (``sandbox``).
"""

from collections.abc import Iterable

from temporalio.bridge.proto.workflow_activation import WorkflowActivation, WorkflowActivationJob
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion


class OrderedDelivery:
    """The deliveries of one workflow run. Not thread-safe: the SDK activates a run once at a time."""

    def __init__(self) -> None:
        self._out: dict[int, int] = {}  # the local activities that are out, by the task that asked for them
        self._held: list[WorkflowActivationJob] = []

    def receive(self, activation: WorkflowActivation) -> bool:
        """Take an activation in: True when it is to be delivered now, with all that was held back."""
        if any(job.HasField("query_workflow") or job.HasField("remove_from_cache") for job in activation.jobs):
            return True
        for job in activation.jobs:
            if job.HasField("resolve_activity") and job.resolve_activity.is_local:
                self._out.pop(job.resolve_activity.seq, None)
        if any(task != activation.history_length for task in self._out.values()):
            self._held.extend(activation.jobs)
            return False
        if self._held:
            held, self._held = self._held, []
            jobs = [*held, *activation.jobs]
            del activation.jobs[:]
            activation.jobs.extend(_results_last(jobs))
        return True

    def sent(self, activation: WorkflowActivation, completion: WorkflowActivationCompletion) -> None:
        """Note which local activities the workflow has asked for in answer."""
        for command in completion.successful.commands:
            if command.HasField("schedule_local_activity"):
                self._out[command.schedule_local_activity.seq] = activation.history_length


def nothing_to_say(activation: WorkflowActivation) -> WorkflowActivationCompletion:
    """The answer to an activation that was held back."""
    completion = WorkflowActivationCompletion(run_id=activation.run_id)
    completion.successful.SetInParent()
    return completion


def _results_last(jobs: Iterable[WorkflowActivationJob]) -> list[WorkflowActivationJob]:
    """A replay delivers events first, then the results of local activities that it finds behind them."""
    return sorted(jobs, key=lambda job: job.HasField("resolve_activity") and job.resolve_activity.is_local)
