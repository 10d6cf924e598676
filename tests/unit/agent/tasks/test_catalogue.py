"""What an agent answers: which kinds it offers, what it remembers, names that it cannot tell."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.git.checkout import Checkout
from agent.git.errors import CheckoutError
from agent.git.reading import Place, Reading
from agent.metrics.reading import MetricProviders
from agent.settings import AgentSettings
from agent.tasks.catalogue import Catalogue, offered_kinds
from agent.tasks.probes import Probe, Probes, ProbesFile
from workflows.contracts.tasks import (
    AncestryAnswer,
    AncestryQuestion,
    Answer,
    HeadAnswer,
    HeadQuestion,
    PathsAnswer,
    PathsQuestion,
)

REPO = "https://example.com/shop.git"
ANCESTRY = AncestryQuestion(git_repo=REPO, ancestor="a" * 40, descendant="b" * 40)
OF_GIT = ["ancestry", "commits", "paths", "head", "file", "ready"]


class Counted(Reading):
    """Counts what is asked of git, and answers by itself."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Checkout(folder / "copies").source, folder / "reading")
        self.asked: list[str] = []
        self.complete = True
        self.names: Sequence[bytes] = []

    async def ancestry(self, place: Place, ancestor: str, descendant: str) -> tuple[bool, bool]:
        self.asked.append(f"{ancestor[0]} {descendant[0]}")
        return True, self.complete

    async def head(self, place: Place, ref: str) -> str | None:
        self.asked.append(ref)
        return "a" * 40

    async def paths(
        self, place: Place, older: str, newer: str, *, most: int, max_bytes: int
    ) -> tuple[list[bytes], bool]:
        self.asked.append("paths")
        return list(self.names), False


@pytest.fixture
def reading(tmp_path: Path) -> Counted:
    return Counted(tmp_path)


async def answered(catalogue: Catalogue, *questions: AncestryQuestion | HeadQuestion) -> list[Answer]:
    return [await catalogue.answer(question, 10) for question in questions]


async def test_what_can_never_change_is_asked_once(reading: Counted) -> None:
    catalogue = Catalogue(reading, Probes())
    other = ANCESTRY.model_copy(update={"ancestor": "c" * 40})
    first = AncestryAnswer(is_ancestor=True, complete=True)
    assert await answered(catalogue, ANCESTRY, ANCESTRY, other) == [first] * 3
    assert reading.asked == ["a b", "c b"]


async def test_a_head_and_a_history_that_ends_early_are_asked_anew(reading: Counted) -> None:
    catalogue = Catalogue(reading, Probes())
    reading.complete = False
    head = HeadQuestion(git_repo=REPO, git_ref="main", git_commit_sha="a" * 40)
    found = await answered(catalogue, ANCESTRY, ANCESTRY, head, head)
    assert found[2:] == [HeadAnswer(head="a" * 40, is_head=True)] * 2
    assert reading.asked == ["a b", "a b", "main", "main"]


async def test_names_of_files_are_told_as_they_are_or_not_at_all(reading: Counted) -> None:
    question = PathsQuestion(git_repo=REPO, older="a" * 40, newer="b" * 40)
    reading.names = [b"a b.txt", "é/ß".encode()]
    assert await Catalogue(reading, Probes()).answer(question, 10) == PathsAnswer(
        paths=["a b.txt", "é/ß"], truncated=False
    )
    for name in (b"\xff", b"a\nb", b"deploy\xe2\x80\xae.sh", b"\x1b[2J"):
        reading.names = [b"a", name]
        with pytest.raises(CheckoutError) as refused:
            await Catalogue(reading, Probes()).answer(question, 10)
        assert refused.value.cause == "path_unreadable"


@pytest.mark.parametrize(
    ("settings", "metrics", "kinds"),
    [
        ({}, False, OF_GIT),
        ({}, True, [*OF_GIT, "metric"]),
        ({"tasks": 0}, True, []),
        ({"approvers_file": "a.yml"}, True, []),
        ({"approvers_file": "a.yml", "control_keys_file": "c.yml"}, False, OF_GIT),
        ({"control_keys_file": "c.yml"}, False, OF_GIT),
    ],
)
def test_what_is_offered_follows_from_how_the_agent_is_set_up(
    settings: dict[str, object], metrics: bool, kinds: list[str]
) -> None:
    file = ProbesFile(metrics={"load": Probe(command=["true"])} if metrics else {})
    assert offered_kinds(AgentSettings.model_validate(settings), Probes(file)) == kinds
    assert offered_kinds(AgentSettings.model_validate(settings), Probes(file), MetricProviders({})) == kinds


def test_readings_are_offered_where_a_provider_has_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROMETHEUS_URL", "METRICS_URL", "DATADOG_API_KEY", "HYBRIDCI_CLOUDWATCH"):
        monkeypatch.delenv(name, raising=False)
    settings = AgentSettings()
    assert "reading" not in offered_kinds(settings, Probes(), MetricProviders.load(settings))
    monkeypatch.setenv("PROMETHEUS_URL", "http://127.0.0.1:1")
    assert "reading" in offered_kinds(settings, Probes(), MetricProviders.load(settings))
