"""Sealed values from the command line to the agent: rotation, binding, damage, and nothing of them in an error."""

import base64
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.secrets import SecretError, Vault
from agent.secrets.sealed import PoolKeys, public_keys
from agent.settings import AgentSettings, SettingsError
from api.cli.keys.sealing import new_pool_key, public_key_id, seal
from api.cli.main import app
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.jobs import JobSpec, Step
from workflows.contracts.sealed import SEALED_PREFIX

VALUE = "postgres://shop:s3cr3t-of-the-shop@db/shop"
REPO = "https://example.com/shop.git"


def an_attempt(env: dict[str, str], *, steps: list[dict[str, str]] | None = None, **fields: Any) -> AttemptInput:
    values: dict[str, Any] = {
        "job_id": "j", "attempt": 1, "job_type": "test", "pool": "linux", "timeout_seconds": 60, "env": env,
        "git_repo": REPO, "git_commit_sha": "a" * 40,
        "steps": [Step(name=f"s{number}", run="true", env=step) for number, step in enumerate(steps or [])],
    }  # fmt: skip
    return AttemptInput(**{**values, **fields})


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """A pool's key file with two keys, made at the command line."""
    file = tmp_path / "pool.keys"
    for _ in range(2):
        result = CliRunner().invoke(app, ["pool-key", "generate", "--out", str(file)])
        assert result.exit_code == 0, result.output
        assert result.stdout.strip() == public_keys(AgentSettings(pool_keys_file=file))[0]
        assert not any(line in result.output for line in file.read_text().splitlines())
    assert file.stat().st_mode & 0o777 == 0o600
    return file


async def test_a_value_sealed_at_the_command_line_is_opened_in_job_and_step(pool: Path, tmp_path: Path) -> None:
    newest, older = public_keys(AgentSettings(pool_keys_file=pool))
    arguments = ["seal", "--name", "DB_URL", "--repo", REPO, "--public-key", newest]
    result = CliRunner().invoke(app, arguments, input=f"{VALUE}\n")
    assert result.exit_code == 0, result.output
    sealed = result.stdout.strip()
    assert public_key_id(newest) in result.stderr
    assert VALUE not in result.output
    JobSpec(job_type="t", git_repo=REPO, git_commit_sha="a" * 40, git_author="ann", env={"DB_URL": sealed})
    by_older = seal(older, name="TOKEN", value=VALUE[::-1], repository=None)
    attempt = an_attempt({"DB_URL": sealed, "PLAIN": "x"}, steps=[{"TOKEN": by_older}, {}])
    got = await Vault.load(AgentSettings(pool_keys_file=pool)).unlock(attempt, tmp_path)
    assert got.attempt.env == {"DB_URL": VALUE, "PLAIN": "x"}
    assert [step.env for step in got.attempt.steps] == [{"TOKEN": VALUE[::-1]}, {}]
    assert got.patterns is not None
    assert VALUE not in repr(got)
    assert attempt.env["DB_URL"] == sealed


@pytest.mark.parametrize(
    ("name", "repository", "why"),
    [
        ("OTHER", REPO, "DB_URL: it was sealed for the variable OTHER"),
        ("DB_URL", "https://example.com/evil.git", "DB_URL: it was sealed for another repository"),
    ],
)
async def test_a_value_opens_only_as_what_and_where_it_was_sealed_for(
    pool: Path, tmp_path: Path, name: str, repository: str, why: str
) -> None:
    settings = AgentSettings(pool_keys_file=pool)
    sealed = seal(public_keys(settings)[0], name=name, value=VALUE, repository=repository)
    with pytest.raises(SecretError) as caught:
        await Vault.load(settings).unlock(an_attempt({"DB_URL": sealed}), tmp_path)
    assert why in str(caught.value)
    assert (caught.value.cause, caught.value.retryable) == ("sealed_value_unreadable", False)


async def test_a_repository_may_be_written_with_or_without_git(pool: Path, tmp_path: Path) -> None:
    settings = AgentSettings(pool_keys_file=pool)
    sealed = seal(public_keys(settings)[0], name="A", value=VALUE, repository="https://example.com/shop")
    assert (await Vault.load(settings).unlock(an_attempt({"A": sealed}), tmp_path)).attempt.env == {"A": VALUE}


async def test_what_cannot_be_opened_names_the_keys(pool: Path, tmp_path: Path) -> None:
    settings = AgentSettings(pool_keys_file=pool)
    mine = public_keys(settings)
    _, strange = new_pool_key()
    sealed = seal(strange, name="A", value=VALUE, repository=None)
    good = seal(mine[0], name="B", value=VALUE, repository=None)
    box = base64.b64decode(good.rsplit(":", 1)[1])
    flipped = base64.b64encode(box[:-1] + bytes([box[-1] ^ 1])).decode()
    damaged = [f"{good.rsplit(':', 1)[0]}:{text}" for text in (flipped, "AAAA", "!!!!", "")]
    for env, why in [
        ({"A": sealed}, f"A: it was sealed to key {public_key_id(strange)}, this agent has "
                        f"{public_key_id(mine[0])}, {public_key_id(mine[1])}"),
        *(({"B": text}, "B: it was sealed to key") for text in damaged),
        ({"C": SEALED_PREFIX}, "C: it was sealed to key"),
    ]:  # fmt: skip
        with pytest.raises(SecretError) as caught:
            await Vault.load(settings).unlock(an_attempt(env), tmp_path)
        assert why in str(caught.value)
        assert caught.value.cause == "sealed_value_unreadable"
    with pytest.raises(SecretError, match="this agent has none"):
        await Vault().unlock(an_attempt({"A": sealed}), tmp_path)


async def test_a_weak_sealed_value_is_refused_at_both_ends(pool: Path, tmp_path: Path) -> None:
    settings = AgentSettings(pool_keys_file=pool)
    key = public_keys(settings)[0]
    result = CliRunner().invoke(app, ["seal", "--name", "A", "--public-key", key], input="password\n")
    assert result.exit_code == 2
    assert "it is a common word" in result.stderr
    sealed = seal(key, name="A", value="password", repository=None)
    with pytest.raises(SecretError) as caught:
        await Vault.load(settings).unlock(an_attempt({"A": sealed}), tmp_path)
    assert caught.value.cause == "secret_too_weak"


def test_a_sealed_value_looks_as_the_contract_says_and_never_twice_the_same() -> None:
    import re

    _, key = new_pool_key()
    first, second = (seal(key, name="A", value=VALUE, repository=None) for _ in range(2))
    assert re.fullmatch(r"sealed:v1:[0-9a-f]{16}:[A-Za-z0-9+/]+={0,2}", first)
    assert first != second


@pytest.mark.parametrize(
    ("arguments", "value", "why"),
    [
        (["--public-key", "nonsense"], VALUE.encode(), "no public key of a pool"),
        ([], b"\xff\xfe12345678", "no UTF-8"),
        ([], b"12345678\0abc", "NUL"),
        ([], b"abcdefgh" * 10_000, "longer than"),
        ([], b"abcdefgh" * 4_000, "is too long: sealed it has"),
    ],
)
def test_sealing_refuses_what_no_job_could_use(arguments: list[str], value: bytes, why: str) -> None:
    _, key = new_pool_key()
    result = CliRunner().invoke(app, ["seal", "--name", "A", "--public-key", key, *arguments], input=value)
    assert result.exit_code == 2
    assert why in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("text", "why"), [("", "holds no key"), ("# nothing\n", "holds no key"), ("abc\n", "line 1"), ("é\n", "line 1")]
)
def test_pool_keys_that_cannot_be_used_are_said_without_them(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "pool.keys"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(SettingsError) as caught:
        PoolKeys.load(file)
    assert why in str(caught.value)
    assert "HYBRIDCI_POOL_KEYS_FILE" in str(caught.value)


def test_pool_keys_that_others_can_read_are_warned_of(pool: Path, caplog: pytest.LogCaptureFixture) -> None:
    pool.chmod(0o644)
    assert len(PoolKeys.load(pool).public_keys) == 2
    assert "can be read by others" in caplog.text
    with pytest.raises(SettingsError, match="cannot be read"):
        PoolKeys.load(pool.with_name("nowhere"))
