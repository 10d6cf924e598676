"""What a ban covers, and how it is said."""

import pytest

from workflows.bans import banned_words
from workflows.contracts.deployments.bans import Ban, BanCommand, BanList

A, B = "a" * 40, "b" * 40


def ban(version: str | None = None, commit: str | None = None, **fields: str) -> Ban:
    return Ban(version=version, git_commit_sha=commit, by="bob", reason="loses orders.", at=0, **fields)


@pytest.mark.parametrize(
    ("given", "covered"),
    [
        (ban("1.1"), {("1.1", A), ("1.1", B)}),
        (ban(commit=A), {("1.1", A), ("1.2", A)}),
        (ban("1.1", A), {("1.1", A), ("1.1", B), ("1.2", A)}),
    ],
)
def test_a_ban_covers_its_name_and_its_commit(given: Ban, covered: set[tuple[str, str]]) -> None:
    every = {(version, commit) for version in ("1.1", "1.2") for commit in (A, B)}
    assert {each for each in every if given.covers(*each)} == covered
    assert {each for each in every if BanList(service_name="shop", items=[given]).of(*each)} == covered


@pytest.mark.parametrize(
    ("given", "what", "lifted"),
    [
        (ban("1.1"), "1.1", "shop@1.1"),
        (ban(commit=A), f"commit {A[:12]}", f"shop --commit {A}"),
        (ban("1.1", A), f"1.1 (commit {A[:12]})", "shop@1.1"),
    ],
)
def test_words_say_who_when_why_and_what_lifts_it(given: Ban, what: str, lifted: str) -> None:
    assert given.what == what
    assert banned_words("shop", given) == (
        f"{what} of shop is banned: bob banned it at 1970-01-01 00:00:00 UTC: loses orders. "
        f"`hybridci deploy unban {lifted} --reason …` lifts it."
    )


def test_a_rollbacks_ban_says_so() -> None:
    assert "when it was rolled back" in banned_words("shop", ban("1.1", deployment_id="d"))


def test_a_ban_of_nothing_is_none() -> None:
    with pytest.raises(ValueError, match="version or git_commit_sha"):
        BanCommand(name="shop", reason="x", by="bob")
