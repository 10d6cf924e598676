"""What handlers make of input that Temporal's own CLI can send."""

from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from workflows.contracts.attempts import AttemptStarted
from workflows.contracts.deployments.environments import HoldCommand, Join, Leave
from workflows.environment.inbox import Malformed, received
from workflows.incoming import checks, read, takes

HOLD: dict[str, Any] = {"by": "ann", "reason": "x", "at": 10**30}
TICKET: dict[str, Any] = {
    "deployment_id": "1",
    "workflow_id": "deploy-1",
    "version": "1",
    "git_commit_sha": "a" * 40,
    "arrived_at": 1,
}
NOTHING: dict[str, Any] = {}
NULL: list[Any] = [None]


def test_one_input_is_taken_and_every_other_number_is_said() -> None:
    given = {"attempt": 1, "agent_id": "agent-1", "claimed_at": 1}
    assert read(AttemptStarted, [given]) == (AttemptStarted.model_validate(given), None)
    assert read(AttemptStarted, [given, given]) == (None, "input: one is taken, and these are 2")
    many: list[list[Any]] = [[], [None], [b"\0"], ["x"], [7], [[]], [{}]]
    for odd in many:
        said, why = read(AttemptStarted, odd)
        assert said is None
        assert why


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        ("leave", [NOTHING, NOTHING], "these are 2"),
        ("leave", [{"deployment_id": "1", "how": "broken", "hold": HOLD}], "input.hold.at: is out of range"),
        ("join", [{"ticket": TICKET | {"workflow_id": ""}}], "input.ticket.workflow_id: must have"),
        ("join", [{"ticket": TICKET | {"workflow_id": "w" * 2000}}], "input.ticket.workflow_id: must have"),
        ("join", [{"ticket": TICKET | {"arrived_at": 10**40}}], "input.ticket.arrived_at: is out of range"),
        ("hold", NULL, "input: "),
    ],
)
def test_what_an_environment_could_not_act_on_is_refused_by_its_path(name: str, given: list[Any], why: str) -> None:
    message = received(name, given)
    assert isinstance(message, Malformed)
    assert why in message.why


def test_texts_that_no_record_could_hold_are_cut_and_said_to_be() -> None:
    left = received(
        "leave", [{"deployment_id": "1", "how": "broken", "hold": HOLD | {"at": 1, "reason": "r" * 90_000}}]
    )
    assert isinstance(left, Leave)
    assert left.hold is not None
    assert left.hold.reason.endswith("(cut: it had 90000 characters)")
    assert len(left.hold.reason) == 4096
    joined = received("join", [{"ticket": TICKET | {"version": "v" * 90_000}}])
    assert isinstance(joined, Join)
    assert len(joined.ticket.version) == 256


class _Held:
    """A workflow with one update."""

    def __init__(self) -> None:
        self.heard: list[HoldCommand] = []

    @checks(HoldCommand)
    def allowed(self, command: HoldCommand) -> None:
        """Judge it."""
        self.heard.append(command)

    @takes(HoldCommand)
    async def hold(self, command: HoldCommand) -> str:
        """Do it."""
        return command.by


async def test_an_update_is_a_command_or_is_refused_in_words() -> None:
    held, good = _Held(), {"by": "ann", "reason": "x"}
    held.allowed(good)
    assert held.heard == [HoldCommand(by="ann", reason="x")]
    assert await held.hold(good) == "ann"
    for odd in [(), (None,), ("",), (b"",), (1,), (good, good), ({"by": "ann"},), ({"by": "ann", "reason": 1},)]:
        with pytest.raises(ApplicationError, match="must be one HoldCommand, as JSON; ") as refused:
            held.allowed(*odd)
        assert refused.value.type == "validation_failed"
    assert "self" not in _Held.hold.__annotations__  # the SDK takes an annotated one for an input
    assert (held.hold.__doc__, held.hold.__name__) == ("Do it.", "hold")
