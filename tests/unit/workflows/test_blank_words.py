"""A person or a reason of white space alone: such an approver would count and nobody could tell who it was."""

import pytest
from pydantic import BaseModel, ValidationError

from workflows.contracts.deployments.commands import Approve, Reject, RollbackCommand
from workflows.contracts.deployments.environments import HoldCommand
from workflows.contracts.deployments.rules import ApprovalGroup

BLANK = ("", " ", "\u00a0", "\u3000 ")


@pytest.mark.parametrize("blank", BLANK)
@pytest.mark.parametrize("command", [Approve, Reject, RollbackCommand, HoldCommand])
def test_nobody_gives_a_command(command: type[BaseModel], blank: str) -> None:
    words = {"by": blank} if command is Approve else {"by": blank, "reason": "errors"}
    with pytest.raises(ValidationError) as refused:
        command.model_validate(words)
    assert [error["loc"] for error in refused.value.errors()] == [("by",)]


@pytest.mark.parametrize("blank", [*BLANK, "\n\t"])
@pytest.mark.parametrize("command", [Reject, RollbackCommand, HoldCommand])
def test_a_blank_reason_is_none(command: type[BaseModel], blank: str) -> None:
    with pytest.raises(ValidationError) as refused:
        command.model_validate({"by": "ann@example.com", "reason": blank})
    assert [error["loc"] for error in refused.value.errors()] == [("reason",)]


def test_a_group_has_no_nameless_member() -> None:
    with pytest.raises(ValidationError, match="must not be blank"):
        ApprovalGroup(name="sre", members=["bob@example.com", " "])
    assert ApprovalGroup(name="sre", members=["Bob Smith"]).members == ["Bob Smith"]
