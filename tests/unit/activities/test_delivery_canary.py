"""What ``activities.delivery`` and ``activities.quiet_tasks`` rely on in the Temporal SDK's messages.

When one fails after an upgrade: the SDK's core says something new to a workflow, or a workflow to the core. Decide
whether it comes before or after results of local activities and updates (``delivery``), whether it tells the workflow
something, and whether it leaves an event (``quiet_tasks``); then add its name here. Whether the two modules are still
needed is said by ``tests/replay`` (histories that an outage broke) and ``tests/workflows/test_quiet_tasks.py``.
"""

from temporalio.bridge.proto.workflow_activation import ResolveActivity, WorkflowActivation, WorkflowActivationJob
from temporalio.bridge.proto.workflow_commands import WorkflowCommand
from temporalio.bridge.proto.workflow_completion import Success, WorkflowActivationCompletion

from activities import quiet_tasks

TOLD = {
    "initialize_workflow", "fire_timer", "update_random_seed", "query_workflow", "cancel_workflow", "signal_workflow",
    "resolve_activity", "notify_has_patch", "resolve_child_workflow_execution_start",
    "resolve_child_workflow_execution", "resolve_signal_external_workflow", "resolve_request_cancel_external_workflow",
    "do_update", "resolve_nexus_operation_start", "resolve_nexus_operation", "remove_from_cache",
}  # fmt: skip
COMMANDS = {
    "start_timer", "schedule_activity", "respond_to_query", "request_cancel_activity", "cancel_timer",
    "complete_workflow_execution", "fail_workflow_execution", "continue_as_new_workflow_execution",
    "cancel_workflow_execution", "set_patch_marker", "start_child_workflow_execution",
    "cancel_child_workflow_execution", "request_cancel_external_workflow_execution",
    "signal_external_workflow_execution", "cancel_signal_workflow", "schedule_local_activity",
    "request_cancel_local_activity", "upsert_workflow_search_attributes", "modify_workflow_properties",
    "update_response", "schedule_nexus_operation", "request_cancel_nexus_operation",
}  # fmt: skip


def variants(message: type[WorkflowActivationJob] | type[WorkflowCommand]) -> set[str]:
    return {field.name for field in message.DESCRIPTOR.oneofs_by_name["variant"].fields}


def test_all_that_a_workflow_can_be_told_is_known() -> None:
    assert variants(WorkflowActivationJob) == TOLD
    assert vars(quiet_tasks)["_NO_NEWS"] <= TOLD


def test_all_that_a_workflow_can_answer_is_known() -> None:
    assert variants(WorkflowCommand) == COMMANDS


def test_a_local_activity_is_told_apart_from_others() -> None:
    assert (
        ResolveActivity.DESCRIPTOR.fields_by_name["is_local"].type
        == ResolveActivity.DESCRIPTOR.fields_by_name["is_local"].TYPE_BOOL
    )


def test_an_answer_in_parts_is_one_answer() -> None:
    whole, part = Success(used_internal_flags=[1]), Success(used_internal_flags=[2])
    whole.commands.add().start_timer.seq = 1
    part.commands.add().start_timer.seq = 2
    whole.MergeFrom(part)
    assert [command.start_timer.seq for command in whole.commands] == [1, 2]
    assert list(whole.used_internal_flags) == [1, 2]
    assert set(Success.DESCRIPTOR.fields_by_name) == {"commands", "used_internal_flags", "versioning_behavior"}


def test_a_task_has_the_numbers_and_flags_it_is_known_by() -> None:
    assert {"history_length", "is_replaying", "available_internal_flags", "jobs"} <= set(
        WorkflowActivation.DESCRIPTOR.fields_by_name
    )
    assert {"successful", "failed"} <= set(WorkflowActivationCompletion.DESCRIPTOR.fields_by_name)
