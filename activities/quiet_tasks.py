"""No workflow task that told a workflow something goes without an event of its own.

A replay finds where one task ended and the next began by the events that tasks leave. A task that leaves none, directly
followed by another, looks to the SDK's core like a task that was only renewed: it hands over what both were told at
once, signals first, whatever came first when it ran (``find_end_index_of_next_wft_seq`` in its ``history_update.rs``).
Code between two awaits can then decide otherwise, and the workflow never goes on (TMPRL1100). It takes an update whose
task waited for a worker while something else happened.

So a quiet task writes a word into the workflow's memo. It is rare: what a workflow hears, it mostly writes down.
Histories of before have none: a flag in the history, where the SDK keeps its own, says who has.
Deliberately not here: what is told in one task (``delivery``).
"""

from typing import Final

from temporalio.api.common.v1 import Payload
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_commands import WorkflowCommand
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion

from activities.delivery import Activate, activate_in_order, is_result_of_a_local_activity

TASKS_STAY_APART: Final = 7301
"""Of histories in which quiet tasks are marked and updates come by themselves. The SDK's own flags count from 1."""
MEMO_FIELD: Final = "last_quiet_task"
_NOTHING: Final = frozenset({"query_workflow", "remove_from_cache"})
_NO_NEWS: Final = _NOTHING | {"notify_has_patch", "update_random_seed", "do_update"}
"""An update that is taken leaves an event, one that is refused has told the workflow nothing."""


class QuietTasks:
    """What has to be known of one workflow between its activations."""

    def __init__(self) -> None:
        self._task = 0  # the length of the history names a workflow task
        self._local: set[int] = set()  # local activities that have not ended

    def activate(self, activate: Activate, activation: WorkflowActivation) -> WorkflowActivationCompletion:
        """Activate in order, and leave a mark when the workflow was told something and answers nothing."""
        apart = TASKS_STAY_APART in activation.available_internal_flags or not activation.is_replaying
        answer = activate_in_order(activate, activation, updates_apart=apart)
        kinds = {job.WhichOneof("variant") for job in activation.jobs}
        if kinds <= _NOTHING:
            return answer
        first, self._task = activation.history_length != self._task, activation.history_length
        self._follow(activation, answer)
        if apart and answer.HasField("successful"):
            answer.successful.used_internal_flags.append(TASKS_STAY_APART)
            if first and not kinds <= _NO_NEWS and not self._leaves_an_event(activation, answer):
                answer.successful.commands.append(_mark(activation.history_length))
        return answer

    def _follow(self, activation: WorkflowActivation, answer: WorkflowActivationCompletion) -> None:
        for command in answer.successful.commands:
            if command.HasField("schedule_local_activity"):
                self._local.add(command.schedule_local_activity.seq)
        self._local -= {job.resolve_activity.seq for job in activation.jobs if is_result_of_a_local_activity(job)}

    def _leaves_an_event(self, activation: WorkflowActivation, answer: WorkflowActivationCompletion) -> bool:
        """Also where a replay may hand over more at once than was: around local activities, whose end is the event."""
        local = bool(self._local) or any(map(is_result_of_a_local_activity, activation.jobs))
        return local or any(map(_is_an_event, answer.successful.commands))


def _is_an_event(command: WorkflowCommand) -> bool:
    return not (command.HasField("update_response") and command.update_response.HasField("rejected"))


def _mark(task: int) -> WorkflowCommand:
    command = WorkflowCommand()
    payload = Payload(metadata={"encoding": b"json/plain"}, data=str(task).encode())
    command.modify_workflow_properties.upserted_memo.fields[MEMO_FIELD].CopyFrom(payload)
    return command
