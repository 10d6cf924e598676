"""Whole attempts with secrets, on a real shell: what leaves the host, what is on its disk."""

import asyncio
import base64
import gzip
import io
import json
import os
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.artifacts.inspection import ContainsSecret, SecretGuard, require_no_secret
from agent.attempt.verdict import Interruption
from agent.safety.approvals import ApprovalRules
from agent.secrets import Vault
from agent.secrets.redact import Patterns
from agent.settings import AgentSettings
from agent.steps.executors.shell import ShellExecutor
from api.cli.keys.approval_signing import new_approver_key, sign_approval
from api.cli.keys.sealing import new_pool_key, seal
from tests.control_plane_server import ControlPlaneServer
from tests.unit.agent.attempt.test_run import Bench, a_bench
from workflows.contracts.jobs import Fence, Step
from workflows.contracts.statuses import Outcome

TOKEN = "tok-9fK2mQ7z/Lp40+sTbV"
SEALED = "sealed: 4711 & more"
KEY = (
    "-----BEGIN KEY-----\n"
    + "\n".join(f"MIIEpAIBAAKCAQEA{number:040d}" for number in range(5))
    + "\n-----END KEY-----\n"
)


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """A bench whose steps really run, with a secret of each kind and the pool's key."""
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    private, public = new_pool_key()
    (tmp_path / "pool.keys").write_text(base64.b64encode(private).decode())
    (tmp_path / "pool.keys").chmod(0o600)
    (tmp_path / "key").write_text(KEY)
    sources = {"TOKEN": {"env": "SHOP_TOKEN"}, "KEY": {"file": str(tmp_path / "key"), "as": "file"},
               "OPEN": {"command": ["echo", "open"], "mask": False}}  # fmt: skip
    (tmp_path / "secrets.yml").write_text(yaml.safe_dump(sources))
    settings = AgentSettings(secrets_file=tmp_path / "secrets.yml", pool_keys_file=tmp_path / "pool.keys")
    state = tmp_path / "state"
    state.mkdir()
    async with ControlPlaneServer() as server, a_bench(server, state) as bench:
        bench.host = replace(bench.host, executor=ShellExecutor(), vault=Vault.load(settings))
        (tmp_path / "pool.public").write_text(public)
        yield bench


def sealed_env(folder: Path) -> dict[str, str]:
    return {"SEALED": seal((folder / "pool.public").read_text(), name="SEALED", value=SEALED, repository=None)}


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def open_files() -> list[str]:
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return [os.readlink(link) for link in links if os.path.lexists(link)]


async def test_a_job_uses_its_secrets_and_its_log_shows_none(bench: Bench, tmp_path: Path) -> None:
    attempt = bench.attempt(
        f'test "$TOKEN" = "{TOKEN[:9]}"{TOKEN[9:]!r}; echo "token: $TOKEN ($OPEN)"; printf %s "$TOKEN" | base64; '
        'set -x; : "$SEALED"',
        'cmp "$KEY" - < <(cat "$KEY"); cat "$KEY"; printf "%s" "${TOKEN:0:5}"; sleep 0.1; printf "%s\\n" "${TOKEN:5}"; '
        'printf "%s\\xff\\0%s\\n" "${TOKEN:0:5}" "${TOKEN:5}"',
        'printf "%s" "$SEALED" | od -An -tx1 | tr -d " \\n"; printf "%s" "${TOKEN%?}"',
        secrets=["TOKEN", "KEY", "OPEN"], env=sealed_env(tmp_path),
    )  # fmt: skip
    result = await bench.run(attempt)
    assert (result.outcome, result.exit_code) == (Outcome.SUCCEEDED, 0), await bench.log(attempt)
    await bench.host.shipper.drain(5)
    stored = bench.server.log(attempt.job_id)
    log = stored.data.decode(errors="replace")
    lines = [line for line in log.splitlines() if not line.startswith("[hybridci] Step ")]
    assert lines == [
        "[hybridci] The secret OPEN is not masked in this log.",
        "--- Check out aaaaaaaaaaaa of https://example.com/shop.git",
        "checking out",
        "--- s0",
        "token: *** (open)",
        "***",
        "+ : '***'",
        "--- s1",
        "***",
        "***",
        f"{TOKEN[:5]}\ufffd\0{TOKEN[5:]}",
        "--- s2",
        "******",
    ]
    assert result.log_bytes == len(stored.data)
    assert stored.marks[0][0] == 0
    assert all(offset < len(stored.data) for offset, _ in stored.marks)


async def test_nothing_of_a_secret_is_on_the_disk_while_its_job_runs(bench: Bench, tmp_path: Path) -> None:
    attempt = bench.attempt(
        'echo "$TOKEN $SEALED"; cat "$KEY"; ls -l "$KEY" >&2; touch "$HOME/ready"; sleep 60', secrets=["TOKEN", "KEY"],
        env=sealed_env(tmp_path),
    )  # fmt: skip
    state = tmp_path / "state"
    seen: list[bytes] = []

    def look(run: Any) -> None:
        seen.append(on_disk(state))
        run.interrupt(Interruption.CANCELLED, grace_seconds=1)

    result = await bench.run(attempt, look, once=lambda: any(state.rglob("ready")))
    assert result.outcome is Outcome.CANCELLED
    [content] = seen
    assert b"*** ***" in content
    for value in (TOKEN, SEALED, KEY.splitlines()[2]):
        assert value.encode() not in content
        assert value.encode() not in bench.server.log(attempt.job_id).data
    assert not any("hybridci-secret" in file for file in open_files()), "the file in memory is gone"


async def test_artifacts_with_a_secret_stay_here_and_the_others_go(bench: Bench) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conf/.env", f"TOKEN={TOKEN}\n")
    attempt = bench.attempt(
        "mkdir out; cd out; echo fine > fine.txt; head -c 700000 /dev/urandom > fine.bin; gzip -k fine.txt; "
        'echo "a $TOKEN" > plain.txt; printf %s "user:$TOKEN@" | base64 > b64.txt; (head -c 262140 /dev/zero; '
        'printf %s "$TOKEN") > late.bin; tar czf packed.tgz plain.txt; touch "$(printf %s "$TOKEN" | base64).name"; '
        'bzip2 -k plain.txt; xz -k plain.txt; cat "$KEY" > key.pem; '
        f"base64 -d <<< {base64.b64encode(packed.getvalue()).decode()} > packed.zip",
        secrets=["TOKEN", "KEY"], artifacts=["out/*"],
    )  # fmt: skip
    result = await bench.run(attempt)
    assert (result.outcome, result.cause, result.retryable) == (Outcome.AGENT_ERROR, "artifact_contains_secret", False)
    assert [artifact.path for artifact in result.artifacts] == ["out/fine.bin", "out/fine.txt", "out/fine.txt.gz"]
    assert sorted(path for _, _, path in bench.server.artifacts) == ["out/fine.bin", "out/fine.txt", "out/fine.txt.gz"]
    assert result.message is not None
    assert result.message.startswith(
        "9 artifacts contain a secret of the job and were not uploaded: 'out/b64.txt', 'out/***.name', "
    )
    log = await bench.log(attempt)
    assert "[hybridci] The artifact 'out/late.bin' is not uploaded: it or its name contains a secret." in log
    assert "[hybridci] The artifact 'out/***.name' is not uploaded" in log
    assert result.message in log


async def test_a_failing_attempt_says_nothing_of_a_secret_in_its_result(bench: Bench) -> None:
    attempt = bench.attempt("exit 3", steps=[Step(name=f"s {TOKEN}", run="exit 3")], secrets=["TOKEN"])
    result = await bench.run(attempt)
    assert (result.outcome, result.exit_code, result.message) == (
        Outcome.FAILED, 3, "Step 's ***' ended with exit code 3.",
    )  # fmt: skip
    assert TOKEN not in await bench.log(attempt)


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"secrets": ["UNKNOWN"]}, "secret_unavailable"),
        ({"env": {"SEALED": "sealed:v1:0123456789abcdef:AAAA"}}, "sealed_value_unreadable"),
    ],
)
async def test_a_job_without_its_secrets_does_not_begin_and_its_log_says_why(
    bench: Bench, fields: dict[str, Any], cause: str
) -> None:
    attempt = bench.attempt("echo ran", **fields)
    result = await bench.run(attempt)
    assert (result.outcome, result.cause, result.retryable, result.started_at) == (
        Outcome.AGENT_ERROR, cause, False, None,
    )  # fmt: skip
    assert await bench.log(attempt) == f"[hybridci] {result.message}\n"


async def test_a_cancellation_does_not_wait_for_a_secret(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "slow.yml").write_text(
        yaml.safe_dump({"SLOW": {"command": ["bash", "-c", f"touch {tmp_path}/began; sleep 60"]}})
    )
    bench.host = replace(bench.host, vault=Vault.load(AgentSettings(secrets_file=tmp_path / "slow.yml")))
    attempt = bench.attempt("echo ran", secrets=["SLOW"])
    began = asyncio.get_running_loop().time()
    result = await bench.run(
        attempt, lambda run: run.interrupt(Interruption.CANCELLED), once=(tmp_path / "began").exists
    )
    assert result.outcome is Outcome.CANCELLED
    assert asyncio.get_running_loop().time() - began < 10


async def test_an_agent_with_approvers_runs_what_is_signed_and_fetches_no_secret_for_the_rest(
    bench: Bench, tmp_path: Path
) -> None:
    private, public = new_approver_key()
    rule = {"service": "shop", "environment": "production", "repository": "*", "keys": [{"name": "ann", "key": public}]}
    (tmp_path / "approvers.yml").write_text(yaml.safe_dump([rule]))
    (tmp_path / "touch.yml").write_text(
        yaml.safe_dump({"TOKEN": {"command": ["bash", "-c", f"touch {tmp_path}/fetched; echo {TOKEN}"]}})
    )
    vault = Vault.load(AgentSettings(secrets_file=tmp_path / "touch.yml"))
    approvals = ApprovalRules.load(tmp_path / "approvers.yml", tmp_path / "state")
    bench.host = replace(bench.host, vault=vault, approvals=approvals)
    env = {"HYBRIDCI_SERVICE": "shop", "HYBRIDCI_VERSION": "1", "HYBRIDCI_ENVIRONMENT": "production"}
    ahead = Fence(name="shop/production", number=2**53)
    refused = await bench.run(bench.attempt("echo ran", env=env, secrets=["TOKEN"], fence=ahead))
    assert (refused.outcome, refused.cause, refused.retryable) == (Outcome.AGENT_ERROR, "approval_unverified", False)
    assert not (tmp_path / "fetched").exists()
    bench.results.clear()
    approval = sign_approval(private, "shop", "1", "a" * 40, "production", 4_000_000_000_000)
    turn = Fence(name="shop/production", number=1)  # what was refused has moved no turn
    attempt = bench.attempt(
        "echo $HYBRIDCI_VERSION $TOKEN", env=env, approvals=[approval], secrets=["TOKEN"], fence=turn
    )
    assert (await bench.run(attempt)).outcome is Outcome.SUCCEEDED
    assert "\n1 ***\n" in await bench.log(attempt)


def test_a_guard_lets_nothing_of_a_secret_out_before_it_is_whole() -> None:
    patterns = Patterns([TOKEN.encode()])
    data = b"a" * 100 + TOKEN.encode()
    for cut in range(1, len(TOKEN)):
        guard = SecretGuard(patterns)
        out = guard.feed(data[: 100 + cut])
        assert out == b"a" * 100
        with pytest.raises(ContainsSecret):
            guard.feed(data[100 + cut :])
    guard = SecretGuard(patterns)
    assert guard.feed(data[:-1]) + guard.flush() == data[:-1], "not a whole secret: the file is as it is"
    assert SecretGuard(None).feed(data) == data


def test_archives_that_are_damaged_or_too_large_end_the_look_inside(tmp_path: Path) -> None:
    patterns = Patterns([TOKEN.encode()])
    whole = gzip.compress(b"x" * 10_000)
    for content in (whole[:-20], b"PK\x03\x04 no zip", b"BZh no bzip2", b"\xfd7zXZ\0 no xz", b"", whole):
        require_no_secret(patterns, "file", io.BytesIO(content))
    with pytest.raises(ContainsSecret):
        require_no_secret(patterns, "file", io.BytesIO(gzip.compress(json.dumps({"t": TOKEN}).encode())))
