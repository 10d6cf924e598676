"""`hybridci audit verify`, `report`, `keygen` against the real API over a real socket."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from activities.evidence.elsewhere import as_line
from activities.evidence.keys import SealKey, load_public_keys
from activities.evidence.sealer import Sealer
from activities.stores.memory.events import MemoryEventStore
from activities.stores.memory.evidence import MemoryEvidenceStore
from api.cli.commands import evidence, health
from api.cli.output import now_ms
from tests.api.cli_bench import ADMIN_KEY, Served, environment, served
from tests.stores.releases import make_event
from workflows.contracts.audit.seals import SignedSeal

KEY = SealKey(b"k" * 32)
NOON = 1_790_000_000_000


@pytest.fixture
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def call(api: Served, *arguments: str) -> Result:
    env: dict[str, str | None] = {**environment(api.url, ADMIN_KEY), "HYBRIDCI_DATA_DIR": None}
    return CliRunner().invoke(evidence.app, list(arguments), env=env)


def kept(api: Served, count: int = 3) -> list[SignedSeal]:
    """Seals, each over two events."""
    sealer, made = Sealer(api.stores.evidence, KEY, lambda: NOON), list[SignedSeal]()
    for turn in range(count):
        for number in range(2):
            event = make_event(f"e-{turn}-{number}", at=NOON + 10 * turn + number, service_name="checkout")
            api.run(api.stores.events.append(event))
        seal = api.run(sealer.seal_new())
        assert seal is not None
        made.append(seal)
    return made


def copied(path: Path, seals: list[SignedSeal]) -> Path:
    path.write_bytes(b"".join(as_line(seal) for seal in seals))
    return path


def seals_of(api: Served) -> dict[int, SignedSeal]:
    store = api.stores.evidence
    assert isinstance(store, MemoryEvidenceStore)
    return store.kept


def test_a_trail_that_is_what_it_was_ends_with_0_and_says_until_when(api: Served, tmp_path: Path) -> None:
    seals = kept(api)
    copy = copied(tmp_path / "seals.jsonl", [*seals, seals[1]])  # one was sent twice
    key = tmp_path / "seal.pub"
    key.write_text(KEY.public_key)
    result = call(api, "verify", "--seals", str(copy), "--key", str(key))
    assert result.exit_code == 0, result.output
    assert "Nothing was changed, taken or put there." in result.stdout
    assert "It is known until 2026-09-21" in result.stdout
    assert "keys that the seals name" not in result.stdout
    alone = call(api, "verify")
    assert (alone.exit_code, "keys that the seals name" in alone.stdout) == (0, True)


def test_what_is_found_is_named_in_words_and_for_programs(api: Served) -> None:
    kept(api)
    events = api.stores.events
    assert isinstance(events, MemoryEventStore)
    del events.stored[3]
    result = call(api, "verify")
    assert result.exit_code == 1
    assert "MISSING: event 3 of shard 0 was sealed and is gone." in result.stdout
    assert "id e-1-0" in result.stdout
    assert "Found: 1 missing." in result.stdout
    lines = [json.loads(line) for line in call(api, "verify", "--json").stdout.splitlines()]
    assert [line["finding"]["kind"] for line in lines if "finding" in line] == ["missing"]
    assert (lines[-1]["summary"]["clean"], lines[-1]["summary"]["findings"]) == (False, {"missing": 1})


def test_the_copy_shows_what_was_cut_or_rewritten(api: Served, tmp_path: Path) -> None:
    seals = kept(api, 5)
    copy = copied(tmp_path / "seals.jsonl", seals)
    for number in (4, 5):
        del seals_of(api)[number]
    cut = call(api, "verify", "--seals", str(copy))
    assert cut.exit_code == 1
    assert "SEAL: seals 4 to 5 are in the copy and were taken from the trail." in cut.stdout
    assert call(api, "verify").exit_code == 0  # without the copy nobody can tell yet
    other = SealKey(b"x" * 32)
    forged = seals[2].seal.model_copy(update={"key_id": other.key_id, "public_key": other.public_key})
    seals_of(api)[3] = other.sign(forged, seals[2].leaves)
    rewritten = call(api, "verify", "--seals", str(copy), "--json")
    assert "seal 3 is not the one that the copy has" in rewritten.stdout
    assert json.loads(rewritten.stdout.splitlines()[-1])["summary"]["clean"] is False
    key = tmp_path / "seal.pub"
    key.write_text(KEY.public_key)
    pinned = call(api, "verify", "--key", str(key))
    assert (pinned.exit_code, "by a key that is not among those given" in pinned.stdout) == (1, True)


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [("--seals", "", "holds no seal"), ("--seals", "{}\n", "holds no seal"), ("--seals", None, "cannot be read"),
     ("--key", "x\n", "holds no public key"), ("--key", None, "cannot be read")],
)  # fmt: skip
def test_a_file_that_is_none_is_named(api: Served, tmp_path: Path, option: str, content: str | None, said: str) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    result = call(api, "verify", option, str(path))
    assert (result.exit_code, said in result.stderr, str(path) in result.stderr) == (2, True, True)


def test_a_line_of_the_copy_that_is_no_seal_is_told(api: Served, tmp_path: Path) -> None:
    copy = copied(tmp_path / "seals.jsonl", kept(api))
    with copy.open("ab") as file:
        file.write(b"noise\n" + as_line(KEY.sign(seals_of(api)[2].seal.model_copy(update={"sealed_at": 1}), [])))
    result = call(api, "verify", "--seals", str(copy))
    assert result.exit_code == 1
    assert "line 4 of the copy is no seal" in result.stdout
    assert "two different seals of number 2" in result.stdout


def test_a_report_goes_to_a_file_or_is_shown(api: Served, tmp_path: Path) -> None:
    kept(api)
    asked = ("report", "--service", "checkout", "--from", "2026-09-21", "--to", "2026-09-21")
    assert call(api, *asked).stdout.startswith("# Report on checkout\n")
    page = tmp_path / "report.html"
    result = call(api, *asked, "--format", "html", "--output", str(page))
    assert (result.exit_code, result.stdout) == (0, "")
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert json.loads(call(api, *asked, "--format", "json").stdout)["events"] == 6
    bad = call(api, "report", "--service", "checkout", "--from", "soon", "--to", "2026-09-21")
    assert (bad.exit_code, "from:" in bad.stderr) == (1, True)


def test_health_says_how_old_the_last_seal_is(api: Served) -> None:
    env: dict[str, str | None] = {**environment(api.url, ADMIN_KEY), "HYBRIDCI_DATA_DIR": None}
    assert "was never sealed" in CliRunner().invoke(health.app, [], env=env).stderr
    seal = api.run(Sealer(api.stores.evidence, KEY, now_ms).seal_new())
    assert seal is not None
    told = CliRunner().invoke(health.app, [], env=env)
    assert (told.exit_code, "was sealed" in told.stderr, "(seal 1)" in told.stderr) == (0, True, True)


def test_a_new_key_goes_before_the_old_one_and_its_public_half_is_printed(tmp_path: Path) -> None:
    out = tmp_path / "seal.key"
    first = CliRunner().invoke(evidence.app, ["keygen", "--out", str(out)])
    second = CliRunner().invoke(evidence.app, ["keygen", "--out", str(out)])
    assert (first.exit_code, second.exit_code) == (0, 0)
    key = SealKey.load(out)
    assert key is not None
    assert key.public_key == second.stdout.strip() != first.stdout.strip()
    assert out.stat().st_mode & 0o777 == 0o600
    public = tmp_path / "seal.pub"
    public.write_text(first.stdout + second.stdout)
    assert key.key_id in (load_public_keys(public) or {})
