"""An activation with results of local activities beside other things is handed over in the order of the first run."""

from temporalio.bridge.proto.workflow_activation import (
    DoUpdate,
    FireTimer,
    ResolveActivity,
    SignalWorkflow,
    WorkflowActivation,
    WorkflowActivationJob,
)
from temporalio.bridge.proto.workflow_commands import StartTimer, WorkflowCommand
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion

from activities.delivery import activate_in_order

SIGNAL = WorkflowActivationJob(signal_workflow=SignalWorkflow(signal_name="attempt_started"))
UPDATE = WorkflowActivationJob(do_update=DoUpdate(id="1"))
ENDED = WorkflowActivationJob(resolve_activity=ResolveActivity(seq=1))
TIMER = WorkflowActivationJob(fire_timer=FireTimer(seq=1))


def written(seq: int) -> WorkflowActivationJob:
    return WorkflowActivationJob(resolve_activity=ResolveActivity(seq=seq, is_local=True))


def told(
    *jobs: WorkflowActivationJob, fails_at: int | None = None, ends_at: int | None = None, updates_apart: bool = True
) -> tuple[list[list[WorkflowActivationJob]], object]:
    """The parts that reach the workflow, and the answer: each part starts one timer."""
    parts: list[list[WorkflowActivationJob]] = []

    def activate(activation: WorkflowActivation) -> WorkflowActivationCompletion:
        assert (activation.history_length, activation.is_replaying) == (16, True)
        parts.append(list(activation.jobs))
        completion = WorkflowActivationCompletion(run_id="run")
        if len(parts) == fails_at:
            completion.failed.failure.message = "no"
        elif len(parts) == ends_at:
            completion.successful.commands.add().complete_workflow_execution.SetInParent()
        else:
            completion.successful.commands.append(WorkflowCommand(start_timer=StartTimer(seq=len(parts))))
        return completion

    activation = WorkflowActivation(run_id="run", history_length=16, is_replaying=True)
    activation.jobs.extend(jobs)
    answer = activate_in_order(activate, activation, updates_apart=updates_apart)
    if answer.HasField("failed"):
        return parts, answer.failed.failure.message
    return parts, [command.start_timer.seq for command in answer.successful.commands]


def test_results_come_last_and_each_by_itself() -> None:
    assert told(ENDED, written(2)) == ([[ENDED], [written(2)]], [1, 2])
    assert told(written(2), ENDED, SIGNAL, written(3)) == ([[ENDED, SIGNAL], [written(2)], [written(3)]], [1, 2, 3])
    assert told(written(2), written(3)) == ([[written(2)], [written(3)]], [1, 2])


def test_updates_come_one_by_one_behind_what_else_happened() -> None:
    other = WorkflowActivationJob(do_update=DoUpdate(id="2"))
    assert told(UPDATE, other, ENDED, written(2)) == ([[ENDED], [UPDATE], [other], [written(2)]], [1, 2, 3, 4])
    assert told(UPDATE, written(2)) == ([[UPDATE], [written(2)]], [1, 2])
    assert told(UPDATE) == ([[UPDATE]], [1])


def test_in_older_histories_updates_come_as_the_sdk_brings_them() -> None:
    assert told(UPDATE, ENDED, updates_apart=False) == ([[UPDATE, ENDED]], [1])
    assert told(UPDATE, ENDED, written(2), updates_apart=False) == ([[UPDATE, ENDED], [written(2)]], [1, 2])


def test_all_else_is_handed_over_as_it_comes() -> None:
    assert told(SIGNAL, ENDED, TIMER) == ([[SIGNAL, ENDED, TIMER]], [1])
    assert told(written(2)) == ([[written(2)]], [1])


def test_nothing_is_handed_over_behind_the_end_of_a_run() -> None:
    assert told(ENDED, UPDATE, written(2), ends_at=1) == ([[ENDED]], [0])
    assert told(ENDED, UPDATE, written(2), ends_at=2) == ([[ENDED], [UPDATE]], [1, 0])


def test_a_failure_ends_it() -> None:
    assert told(ENDED, written(2), fails_at=1) == ([[ENDED]], "no")
    assert told(ENDED, written(2), fails_at=2) == ([[ENDED], [written(2)]], "no")
