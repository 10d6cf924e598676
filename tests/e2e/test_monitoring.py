"""Worker, agent and gateway say how they are, where their operator names a place for it; and nowhere else."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.separate import AGENT_KEY, Processes, Surroundings, surrounded
from tests.e2e.stack import run
from tests.servers import HOST, OWN_CODE, free_port, wait_until

PLACES = {name: f"HYBRIDCI_{name.upper()}_METRICS_ADDRESS" for name in ("worker", "agent", "gateway")}
OURS = {
    "worker": {"hybridci_worker_running", "hybridci_store_seconds", "temporal_num_pollers"},
    "agent": {
        "hybridci_agent_accepting", "hybridci_agent_closed", "hybridci_agent_disk_free_bytes", "hybridci_agent_slots",
        "hybridci_agent_heartbeat_age_seconds", "hybridci_agent_jobs_running", "hybridci_agent_log_spool_bytes",
        "hybridci_agent_attempts", "temporal_num_pollers",
    },
    "gateway": {"hybridci_gateway_agents", "hybridci_gateway_open", "hybridci_gateway_calls"},
}  # fmt: skip


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    with surrounded(tmp_path_factory.mktemp("monitoring")) as found:
        yield found


@pytest.fixture
def processes(surroundings: Surroundings) -> Iterator[Processes]:
    processes = Processes(surroundings)
    yield processes
    processes.kill()


def test_each_says_that_it_is_ready_and_what_it_does(processes: Processes) -> None:
    ports = {name: free_port() for name in PLACES}
    processes.start("api")
    for name, variable in PLACES.items():
        processes.start(name, more={variable: str(ports[name])})  # a port alone is one of this machine's
    for name in PLACES:
        processes.wait_ready(name)
    for name, port in ports.items():
        wait_until(lambda port=port: _ask(port, "/health/ready")[0] == 200, seconds=60, what=f"{name} being ready")
        assert _ask(port, "/health/live")[1]["status"] == "alive"
        text = httpx.get(f"http://{HOST}:{port}/metrics").text
        families = {family.name for family in text_string_to_metric_families(text)}
        assert {"hybridci_build_info", "process_resident_memory_bytes", *OURS[name]} <= families
        assert AGENT_KEY not in text
        assert _ask(port, "/secrets")[0] == 404
        assert httpx.head(f"http://{HOST}:{port}/metrics").content == b""
        assert httpx.get(f"http://{HOST}:{port}/metrics", headers={"Host": "evil.example"}).status_code == 421


def test_a_worker_that_waits_is_alive_and_says_for_what(processes: Processes) -> None:
    port = free_port()
    processes.start("worker", more={PLACES["worker"]: f"{HOST}:{port}", "TEMPORAL_ADDRESS": f"{HOST}:9"})
    wait_until(lambda: _ask(port, "/health/live")[0] == 200, seconds=60, what="a worker that is alive")
    status, said = _ask(port, "/health/ready")
    assert (status, said["status"]) == (503, "not ready")
    assert {"temporal", "worker"} <= set(said["wrong"])


@pytest.mark.parametrize("name", list(PLACES))
def test_a_place_that_cannot_be_used_is_named(processes: Processes, surroundings: Surroundings, name: str) -> None:
    own = {"PATH": "/usr/bin:/bin", **OWN_CODE, **processes.environment(name)}
    done = run([name], env={**own, PLACES[name]: "anywhere"})
    assert (done.returncode, done.stdout) == (2, "")
    assert PLACES[name] in done.stderr
    assert "Traceback" not in done.stderr
    taken = surroundings.environments["api"]["DYNAMODB_ENDPOINT_URL"].removeprefix("http://")
    done = run([name], env={**own, PLACES[name]: taken})
    assert done.returncode == 2
    assert f"{PLACES[name]}: cannot listen on {taken}" in done.stderr
    assert "Traceback" not in done.stderr


def _ask(port: int, path: str) -> tuple[int, dict[str, Any]]:
    try:
        answer = httpx.get(f"http://{HOST}:{port}{path}", timeout=15)
    except httpx.TransportError:
        return 0, {}
    return answer.status_code, answer.json()
