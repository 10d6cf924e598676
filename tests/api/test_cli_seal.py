"""`hybridci seal` with the key that a pool's agent has reported to the API."""

from collections.abc import Iterator

import httpx
import pytest
from typer.testing import CliRunner, Result

from api.cli.keys.sealing import new_pool_key, public_key_id
from api.cli.main import app
from tests.api.cli_bench import ADMIN_KEY, AGENT_KEY, Served, environment, served

VALUE = "postgres://shop:s3cr3t-of-the-shop@db/shop"


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def seal(api: Served, pool: str) -> Result:
    env: dict[str, str | None] = {**environment(api.url, ADMIN_KEY), "HYBRIDCI_DATA_DIR": None}
    return CliRunner().invoke(app, ["seal", "--pool", pool, "--name", "DB_URL"], env=env, input=f"{VALUE}\n")


def register(api: Served, pool: str, *keys: str) -> None:
    body = {"agent_id": f"agent-{pool}", "instance": "0123456789", "pool": pool, "public_keys": list(keys)}
    answer = httpx.post(
        f"{api.url}/api/agents/register", json=body, headers={"Authorization": f"Bearer {AGENT_KEY}"}, timeout=10
    )
    assert answer.is_success, answer.text


def test_a_value_is_sealed_to_the_newest_key_of_the_pool(api: Served) -> None:
    keys = [new_pool_key()[1] for _ in range(2)]
    register(api, "linux", *keys)
    result = seal(api, "linux")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"sealed:v1:{public_key_id(keys[0])}:")
    assert f"to key {public_key_id(keys[0])}. Compare it with what `hybridci pool-key show` says" in result.stderr
    assert VALUE not in result.output


def test_a_pool_without_keys_is_told_how_to_get_one(api: Served) -> None:
    register(api, "keyless")
    result = seal(api, "keyless")
    assert result.exit_code == 1
    assert "No agent of pool keyless has a key for sealed values" in result.stderr
    assert result.stdout == ""
