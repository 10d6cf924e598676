"""What a rollback goes back to."""

import pytest

from workflows.contracts.deployments.environments import LiveVersion
from workflows.deployment.live.targets import choose, previous_of


def live(name: str, before: str | None = None, sha: str = "a") -> LiveVersion:
    return LiveVersion(
        version=f"1.{name}",
        deployment_id=name,
        workflow_id=f"w{name}",
        git_commit_sha=sha * 40,
        since=1,
        before=before,
    )


HISTORY = [live("1", "0"), live("2", "1"), live("0", "", "b")]
"""1.0 → 1.1 → 1.2, rolled back to 1.1."""


@pytest.mark.parametrize(
    ("present", "previous", "named", "chosen"),
    [
        ("1", "0", {}, ("0", False)),
        ("1", "0", {"to_version": "1.2"}, ("2", True)),
        ("1", "0", {"to_version": "1.0"}, ("0", False)),
        ("1", "0", {"to_version": "1.1"}, None),
        ("1", "0", {"to_commit": "b" * 40}, ("0", False)),
        ("1", "0", {"to_commit": "c" * 40}, None),
        ("2", "1", {}, ("1", False)),
        ("2", "1", {"to_version": "1.0"}, ("0", False)),
        ("2", "1", {"banned": {"1"}}, ("0", False)),
        ("2", "1", {"banned": {"1", "0"}}, None),
        ("0", None, {}, None),
        ("0", None, {"to_version": "1.2"}, ("2", True)),
        ("9", "1", {}, ("1", False)),
    ],
)
def test_the_way_back(
    present: str, previous: str | None, named: dict[str, str], chosen: tuple[str, bool] | None
) -> None:
    found = {each.deployment_id: each for each in HISTORY}
    choice = choose(HISTORY, present, found[previous] if previous else None, **named)  # type: ignore[arg-type]
    assert (None if choice is None else (choice.target.deployment_id, choice.forward)) == chosen


def test_a_history_of_before_there_was_a_way() -> None:
    old = [live("1"), live("2"), live("0")]
    assert previous_of(old, "1", "1.0") == old[2]
    assert previous_of(old, "1", "0.9") == old[1], "it is not there any more: the next older"
    assert previous_of(old, "0", None) is None
    assert previous_of(HISTORY, "1", "1.2") == HISTORY[2], "what the entry says goes before the record"
    assert previous_of(HISTORY, "0", "1.2") is None
    choice = choose(old, "2", old[0], to_version="1.0")
    assert choice is not None
    assert not choice.forward


def test_entries_that_name_each_other_have_an_end() -> None:
    ring = [live("1", "2"), live("2", "1")]
    assert choose(ring, "9", ring[0], banned={"1", "2"}) is None
