"""The vault: every provider for real, who may have what, and that no error ever tells a value."""

import asyncio
import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from agent.safety.specifications import Verified
from agent.secrets import SecretError, Unlocked, Vault
from agent.secrets.config import load_sources
from agent.settings import AgentSettings, SettingsError
from workflows.contracts.attempts import AttemptInput

VALUE = "correct-horse-battery-staple-42"
Make = Callable[[dict[str, Any]], Vault]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def vault(content: dict[str, Any]) -> Vault:
        file = tmp_path / "secrets.yml"
        file.write_text(yaml.safe_dump(content))
        return Vault.load(AgentSettings(secrets_file=file))

    return vault


def an_attempt(*names: str, **fields: Any) -> AttemptInput:
    values: dict[str, Any] = {
        "job_id": "j", "attempt": 1, "job_type": "deploy", "pool": "production", "timeout_seconds": 60,
        "git_repo": "https://example.com/shop.git", "git_commit_sha": "a" * 40, "secrets": list(names),
    }  # fmt: skip
    return AttemptInput(**{**values, **fields})


async def refused(vault: Vault, attempt: AttemptInput, folder: Path) -> SecretError:
    with pytest.raises(SecretError) as caught:
        await vault.unlock(attempt, folder)
    assert VALUE not in str(caught.value)
    return caught.value


async def unlocked(vault: Vault, folder: Path, *names: str) -> dict[str, str]:
    got = await vault.unlock(an_attempt(*names), folder)
    try:
        assert VALUE not in repr(got)
        return got.variables()
    finally:
        got.close()


async def test_environment_file_and_command(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", VALUE)
    monkeypatch.setenv("HYBRIDCI_API_KEY", "the-agents-own")
    (tmp_path / "token").write_text(VALUE + "\n")
    vault = make(
        {
            "A": {"env": "SHOP_TOKEN"},
            "B": {"file": str(tmp_path / "token")},
            "C": {"command": ["bash", "-c", 'echo noise >&2; echo "$0-$SHOP_TOKEN-${HYBRIDCI_API_KEY:-none}"', "arg"]},
        }
    )
    assert await unlocked(vault, tmp_path, "A", "B", "C") == {"A": VALUE, "B": VALUE, "C": f"arg-{VALUE}-none"}
    assert await unlocked(vault, tmp_path) == {}


async def test_secrets_manager_and_ssm(
    make: Make, tmp_path: Path, aws_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": aws_endpoint, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    mine = f"agent-secrets-{os.getpid()}"
    await asyncio.to_thread(_put_at_aws, mine, endpoint_url=aws_endpoint, region_name="eu-central-1")
    vault = make(
        {
            "WHOLE": {"aws_secret": mine}, "KEY": {"aws_secret": mine, "key": "token"}, "SSM": {"ssm": f"/{mine}"},
            "RAW": {"aws_secret": f"{mine}-raw"}, "PORT": {"aws_secret": mine, "key": "port"},
            "NO_KEY": {"aws_secret": mine, "key": "nope"}, "NO_JSON": {"aws_secret": f"{mine}-raw", "key": "token"},
            "GONE": {"ssm": "/gone"}, "GONE_TOO": {"aws_secret": "gone"},
        }
    )  # fmt: skip
    assert await unlocked(vault, tmp_path, "WHOLE", "KEY", "SSM", "RAW") == {
        "WHOLE": f'{{"token": "{VALUE}", "port": 5}}', "KEY": VALUE, "SSM": VALUE, "RAW": VALUE,
    }  # fmt: skip
    error = await refused(vault, an_attempt("NO_KEY", "NO_JSON", "GONE", "GONE_TOO"), tmp_path)
    assert (error.cause, error.retryable) == ("secret_unavailable", False)
    assert str(error).startswith(
        "The agent could not fetch all secrets of the job: GONE: AWS answered ParameterNotFound"
    )
    assert "GONE_TOO: AWS answered ResourceNotFoundException" in str(error)
    assert "NO_JSON: its secret is no JSON, so that it has no key 'token'" in str(error)
    assert "NO_KEY: its secret has no key 'nope'" in str(error)
    assert (await refused(vault, an_attempt("PORT"), tmp_path)).cause == "secret_too_weak"


def _put_at_aws(name: str, **where: str) -> None:
    session: Any = boto3  # untyped: its stubs name services that are not installed
    manager, parameters = session.client("secretsmanager", **where), session.client("ssm", **where)
    manager.create_secret(Name=name, SecretString=f'{{"token": "{VALUE}", "port": 5}}')
    manager.create_secret(Name=f"{name}-raw", SecretBinary=VALUE.encode())
    parameters.put_parameter(Name=f"/{name}", Value=VALUE, Type="SecureString")


async def test_aws_that_is_away_can_be_tried_again(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_MAX_ATTEMPTS": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    error = await refused(make({"A": {"ssm": "/a", "timeout_seconds": 5}}), an_attempt("A"), tmp_path)
    assert error.retryable
    assert "EndpointConnectionError" in str(error) or "longer than 5 s" in str(error)


@pytest.mark.parametrize(
    ("source", "why", "retryable"),
    [
        ({"env": "NOT_SET"}, "the agent's environment has no variable NOT_SET", False),
        ({"file": "/nonexistent/secret"}, "/nonexistent/secret cannot be read (No such file or directory)", True),
        ({"file": "/dev/null"}, "/dev/null is no regular file", False),
        ({"command": ["/nonexistent/program"]}, "its command '/nonexistent/program' was not found", False),
        ({"command": ["bash", "-c", f"echo {VALUE}; echo {VALUE} >&2; exit 3"]}, "ended with exit code 3", True),
        ({"command": ["sleep", "60"], "timeout_seconds": 0.2}, "its command took longer than 0.2 s", True),
        ({"command": ["bash", "-c", f"while :; do echo {VALUE}; done"]}, "printed more than 1048576 bytes", False),
        ({"command": ["printf", "a\\0bcdefghijkl"]}, "has a NUL byte, which no variable can hold", False),
        ({"command": ["bash", "-c", "head -c 200000 /dev/zero | tr '\\0' x; echo abcdef"]}, "is longer than", False),
    ],
)
async def test_what_cannot_be_fetched_is_said_without_a_value(
    make: Make, tmp_path: Path, source: dict[str, Any], why: str, retryable: bool
) -> None:
    began = time.monotonic()
    with pytest.raises(SecretError) as caught:
        await unlocked(make({"A": source}), tmp_path, "A")
    assert why in str(caught.value)
    assert VALUE not in str(caught.value)
    assert (caught.value.cause, caught.value.retryable) == ("secret_unavailable", retryable)
    assert time.monotonic() - began < 15


async def test_secrets_are_fetched_at_the_same_time_and_a_cancelled_one_is_ended(make: Make, tmp_path: Path) -> None:
    together = "touch came.$$; until [ $(ls came.* | wc -l) = 6 ]; do sleep 0.05; done"
    source = {"command": ["bash", "-c", f"{together}; echo {VALUE}"]}
    vault = make({name: source for name in "ABCDEF"} | {"LONG": {"command": ["bash", "-c", "touch began; sleep 60"]}})
    assert len(await unlocked(vault, tmp_path, *"ABCDEF")) == 6
    work = asyncio.create_task(vault.unlock(an_attempt("LONG"), tmp_path))
    while not (tmp_path / "began").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(work, 60)


async def test_only_the_named_jobs_may_have_a_secret(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", VALUE)
    vault = make(
        {
            "A": {"env": "SHOP_TOKEN", "repositories": ["https://example.com/*"], "pools": ["prod*"],
                  "job_types": ["deploy"]},
            "B": {"env": "SHOP_TOKEN"},
        }
    )  # fmt: skip
    assert await unlocked(vault, tmp_path, "A") == {"A": VALUE}
    for field, value, why in (
        ("git_repo", "https://example.com.evil.org/shop.git", "repository"),
        ("pool", "staging", "pool"),
        ("job_type", "deploy2", "job type"),
    ):
        error = await refused(vault, an_attempt("A", "B", "C", **{field: value}), tmp_path)
        assert f"job its secrets: A: it is not for this {why}; C: this agent does not know it." in str(error)
        assert not error.retryable
    assert "HYBRIDCI_SECRETS_FILE is not set" in str(await refused(Vault(), an_attempt("A"), tmp_path))


async def test_a_secret_can_ask_for_what_the_control_plane_has_signed(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", VALUE)
    vault = make({"A": {"env": "SHOP_TOKEN", "signed": True}, "B": {"env": "SHOP_TOKEN", "services": ["check*"]}})
    for name in ("A", "B"):
        error = await refused(vault, an_attempt(name), tmp_path)
        assert f"{name}: it is only for deployments' jobs that the control plane has signed" in str(error)
        got = await vault.unlock(an_attempt(name), tmp_path, Verified("checkout", "d-1"))
        assert got.variables() == {name: VALUE}
        got.close()
    with pytest.raises(SecretError, match="B: it is not for this service"):
        await vault.unlock(an_attempt("A", "B"), tmp_path, Verified("cart", "d-1"))


@pytest.mark.parametrize("weak", ["short", "aaaabbbb", "Password", "localhost\n", "        a       "])
async def test_a_weak_value_is_not_handed_over_unless_it_may_be_printed(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weak: str
) -> None:
    monkeypatch.setenv("WEAK", weak)
    error = await refused(make({"A": {"env": "WEAK"}}), an_attempt("A"), tmp_path)
    assert (error.cause, error.retryable) == ("secret_too_weak", False)
    assert str(error) == (
        "A: too short (fewer than 8 characters), too uniform or too common a value to be masked in a log without harm, "
        "so the job did not get it. For each, use a longer one, or say `mask: false` for it in the agent's "
        "HYBRIDCI_SECRETS_FILE."
    )
    got = await make({"A": {"env": "WEAK", "mask": False}}).unlock(an_attempt("A"), tmp_path)
    assert got.variables() == {"A": weak.rstrip("\n")}
    assert got.patterns is None
    assert got.notes == ["[hybridci] The secret A is not masked in this log."]


@pytest.mark.skipif(sys.platform != "linux", reason="files in memory are Linux's")
async def test_a_file_in_memory_holds_the_bytes_as_they_are(make: Make, tmp_path: Path) -> None:
    content = os.urandom(1000) + b"\0end\n"
    (tmp_path / "key").write_bytes(content)
    got = await make({"KEY": {"file": str(tmp_path / "key"), "as": "file"}}).unlock(an_attempt("KEY"), tmp_path)
    await asyncio.to_thread(_check_memory_file, Path(got.variables()["KEY"]), content, got)


def _check_memory_file(path: Path, content: bytes, got: Unlocked) -> None:
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "memfd" in os.readlink(path)
    with path.open("r+b", buffering=0) as file, pytest.raises(PermissionError):
        file.write(b"x")
    got.close()
    assert not path.exists()


async def test_a_rotated_secret_is_a_new_one_at_the_next_attempt(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "token"
    vault = make({"A": {"file": str(file)}})
    for value in (VALUE, VALUE[::-1]):
        file.write_text(value)
        assert await unlocked(vault, tmp_path, "A") == {"A": value}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("A: {env: X, file: /y}", "exactly one of env, file, aws_secret, ssm, command is needed, not env, file"),
        ("A: {}", "not none"),
        (f"A: {VALUE}", "A: must be a map of fields, not text"),
        (f"A: {{env: X, pasword: {VALUE}}}", "A.pasword: is unknown here"),
        ("A: {env: X, key: y}", "`key` goes with `aws_secret` only"),
        ("1A: {env: X}", "1A"),
        (f"A: [{VALUE}", "is no YAML in line"),
        ("", "it holds no document"),
        ("[]", "the whole file: must be a map of fields, not a list"),
        (f"A: {{env: X}}\nA: {{env: {VALUE}}}", "is no YAML in line 2 (the key … is there twice in one map)"),
        ("A: {env: X, mask: no}", "A.mask: must be true or false: write false without quotes, not 'no'"),
    ],
)
def test_a_secrets_file_that_cannot_be_used_is_said_without_its_content(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "secrets.yml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_sources(file)
    assert why in str(caught.value)
    assert "HYBRIDCI_SECRETS_FILE" in str(caught.value)
    assert VALUE not in str(caught.value)


def test_a_missing_secrets_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"HYBRIDCI_SECRETS_FILE names .*nowhere.yml, which cannot be read"):
        load_sources(tmp_path / "nowhere.yml")


def test_an_attempt_without_secrets_costs_nothing() -> None:
    attempt = an_attempt()
    assert asyncio.run(Vault().unlock(attempt, Path())) == Unlocked(attempt)
