"""How a workflow's last command is put: Cancelled where it says so, and no stack in what is about to be sealed."""

from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import DefaultFailureConverterWithEncodedAttributes, PayloadConverter
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.closing import as_it_says


def _closes(kind: str, category: ApplicationErrorCategory) -> WorkflowActivationCompletion:
    answer = WorkflowActivationCompletion()
    failure = answer.successful.commands.add().fail_workflow_execution.failure
    try:
        raise ApplicationError("failed: no", {"job_id": "one"}, type=kind, category=category)
    except ApplicationError as error:
        DefaultFailureConverterWithEncodedAttributes().to_failure(error, PayloadConverter.default, failure)
    return as_it_says(answer)


def test_sealed_words_have_no_stack() -> None:
    failure = _closes("failed", ApplicationErrorCategory.BENIGN).successful.commands[0].fail_workflow_execution.failure
    assert b'"failed: no"' in failure.encoded_attributes.data
    assert b"File" not in failure.encoded_attributes.data


def test_cancelled_takes_its_record_along() -> None:
    (command,) = _closes("Cancelled", ApplicationErrorCategory.BENIGN).successful.commands
    assert command.WhichOneof("variant") == "cancel_workflow_execution"
    assert command.cancel_workflow_execution.details.payloads[0].data == b'{"job_id":"one"}'


def test_a_fault_of_our_own_stays_as_it_is() -> None:
    (command,) = _closes("Cancelled", ApplicationErrorCategory.UNSPECIFIED).successful.commands
    assert command.WhichOneof("variant") == "fail_workflow_execution"
    assert b"File" in command.fail_workflow_execution.failure.encoded_attributes.data
