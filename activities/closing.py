"""A workflow that closes with its record (``workflows.closing``) closes as it says, and without Python's stack.

The SDK closes a workflow as Cancelled only when Temporal was asked to cancel it, and leaves the details out. Ours are
cancelled by an update as well, and whoever waits for them wants their record. Where this is missing (another SDK's
worker, a debugger) such a workflow closes as Failed with the type "Cancelled". The stack would tell whoever opens a
failed job in the Temporal UI about our modules, not about the job.
Deliberately not here: when it is said (``workflows.closing``).
"""

import json
from typing import Any

from temporalio.api.enums.v1 import ApplicationErrorCategory
from temporalio.api.failure.v1 import Failure
from temporalio.bridge.proto.workflow_commands import CancelWorkflowExecution
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion

from workflows.closing import CLOSED_CANCELLED


def as_it_says(answer: WorkflowActivationCompletion) -> WorkflowActivationCompletion:
    """The same answer with the one command that closes put as the workflow means it."""
    for command in answer.successful.commands:
        if not command.HasField("fail_workflow_execution") or not _with_record(command.fail_workflow_execution.failure):
            continue
        failure = command.fail_workflow_execution.failure
        if failure.application_failure_info.type == CLOSED_CANCELLED:
            details = failure.application_failure_info.details
            command.cancel_workflow_execution.CopyFrom(CancelWorkflowExecution(details=details))
        else:
            _without_stack(failure)
    return answer


def _with_record(failure: Failure) -> bool:
    benign = ApplicationErrorCategory.APPLICATION_ERROR_CATEGORY_BENIGN
    return failure.application_failure_info.category == benign


def _without_stack(failure: Failure) -> None:
    failure.stack_trace = ""
    if failure.HasField("encoded_attributes"):  # about to be sealed
        words: dict[str, Any] = json.loads(failure.encoded_attributes.data)
        failure.encoded_attributes.data = json.dumps(words | {"stack_trace": ""}).encode()
