"""`hybridci seal` with the key that an operator has pinned, and with none that an agent only says that it has."""

from collections.abc import Iterator

import httpx
import pytest
from typer.testing import CliRunner, Result

from api.cli.keys.sealing import new_pool_key, public_key_id
from api.cli.main import app
from tests import servers
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


def pin(api: Served, *arguments: str, key: str = ADMIN_KEY) -> Result:
    env: dict[str, str | None] = {**environment(api.url, key), "HYBRIDCI_DATA_DIR": None}
    return CliRunner().invoke(app, ["pool", "pin-keys", *arguments], env=env)


def test_a_value_is_sealed_to_the_key_that_an_operator_has_pinned(api: Served) -> None:
    keys = [new_pool_key()[1] for _ in range(3)]
    register(api, "linux", keys[2])
    refused = seal(api, "linux")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "no operator has pinned one: nothing was sealed" in refused.stderr
    pinned = pin(api, "linux", keys[0], keys[1])
    assert pinned.output == (
        f"linux: values are sealed to key {public_key_id(keys[0])} (pinned too: {public_key_id(keys[1])})\n"
    )
    register(api, "linux", keys[2], *keys[:2])
    result = seal(api, "linux")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"sealed:v1:{public_key_id(keys[0])}:")
    assert VALUE not in result.output
    assert pin(api, "linux", "--none").output == "linux: values are sealed to no key\n"
    assert seal(api, "linux").exit_code == 1
    with servers.http(api.url, ADMIN_KEY) as client:
        events = client.get("/api/events", params={"limit": 5}).json()["items"]
    told = [event for event in events if event["action"] == "pool.keys_pinned"]
    assert [len(event["details"]["keys"]) for event in told] == [0, 2]


def test_who_holds_the_pools_key_pins_none(api: Served) -> None:
    key = new_pool_key()[1]
    refused = pin(api, "linux", key, key=AGENT_KEY)
    assert (refused.exit_code, "This needs agents:operate" in refused.output) == (2, True)
    assert pin(api, "linux").exit_code == pin(api, "linux", key, "--none").exit_code == 2
    nonsense = pin(api, "linux", "nonsense")
    assert (nonsense.exit_code, "is no public key" in nonsense.output) == (2, True)
    with servers.http(api.url, ADMIN_KEY) as client:
        answer = client.put("/api/agents/pools/linux/sealing-keys", json={"keys": ["nonsense"]})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "keys.0")
        assert client.put("/api/agents/pools/linux/sealing-keys", json={"keys": [key] * 9}).status_code == 422


def test_a_pool_without_keys_is_told_how_to_get_one(api: Served) -> None:
    register(api, "keyless")
    result = seal(api, "keyless")
    assert result.exit_code == 1
    assert "No key for sealed values is pinned for pool keyless, and none of its agents has one" in result.stderr
    assert result.stdout == ""
