"""When agents are started and stopped, and how others are told: the scalers without a server."""

import http.server
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.cli.scaling.decision import Steady
from api.cli.scaling.hooks import CommandHook, HookFailed, ScaleChange, WebhookHook
from api.cli.scaling.monitored import Look, MonitoredScaler
from api.cli.scaling.scaler import PoolScaler
from api.cli.stack.child import ChildSpec
from api.cli.stack.children import Options
from api.cli.stack.data_dir import DataDir
from api.cli.stack.local_scaler import LocalScaler
from workflows.contracts.agents import PoolBounds, PoolView
from workflows.monitoring.address import MonitoringAddress
from workflows.monitoring.listener import ListenerError


def view(desired: int, agents: dict[str, int] | None = None, *, least: int = 0, most: int = 9) -> PoolView:
    bounds = PoolBounds(min_agents=least, max_agents=most)
    return PoolView(name="linux", desired_agents=desired, agents=agents or {}, bounds=bounds, waiting=7)


def test_up_at_once_and_down_only_when_it_lasts() -> None:
    steady = Steady(60)

    def settled(desired: int, now: float) -> int:
        return steady.settle(desired, now, least=1, most=5)

    assert [settled(2, 0), settled(4, 5), settled(0, 10), settled(3, 30), settled(0, 64)] == [2, 4, 4, 4, 4]
    assert [settled(0, 66), settled(0, 89), settled(0, 91)] == [3, 3, 1], "the bounds hold when nothing is wanted"
    assert settled(99, 92) == 5
    assert steady.settle(0, 93, least=0, most=2) == 2, "a lowered bound does not wait"


class Hook:
    def __init__(self) -> None:
        self.told: list[ScaleChange] = []
        self.failing = False

    def __call__(self, change: ScaleChange) -> None:
        if self.failing:
            raise HookFailed("no")
        self.told.append(change)

    def numbers(self) -> list[int]:
        return [change.desired_agents for change in self.told]


def test_a_hook_is_told_of_changes_and_again_when_nothing_comes_of_it() -> None:
    hook = Hook()
    scaler = PoolScaler(hook, cooldown=60, repeat=300)
    assert scaler.step(view(1, {"HEALTHY": 1}), 0) is None, "it is so already"
    assert scaler.step(view(3, {"HEALTHY": 1, "OFFLINE": 5, "DRAINING": 1}), 10) is not None
    assert (hook.told[0].current_agents, hook.told[0].desired_agents, hook.told[0].waiting) == (1, 3, 7)
    scaler.step(view(3, {"HEALTHY": 1}), 25)
    scaler.step(view(3, {"HEALTHY": 2, "DEGRADED": 1}), 40)
    assert hook.numbers() == [3]
    scaler.step(view(3, {"HEALTHY": 2}), 340)
    assert hook.numbers() == [3, 3], "one was lost and nobody replaced it"
    scaler.step(view(1, {"HEALTHY": 3}), 350)
    scaler.step(view(1, {"HEALTHY": 3}), 420)
    assert hook.numbers() == [3, 3, 1]


def test_a_hook_that_failed_is_told_the_next_time() -> None:
    hook = Hook()
    scaler = PoolScaler(hook, cooldown=0, repeat=300)
    hook.failing = True
    with pytest.raises(HookFailed):
        scaler.step(view(2), 0)
    hook.failing = False
    assert scaler.step(view(2), 15) is not None
    assert hook.numbers() == [2]


def test_a_command_finds_the_numbers_and_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDCI_API_KEY", "of-the-scaler")
    monkeypatch.setenv("CLOUD", "its-own")
    change = ScaleChange.of(view(4, {"HEALTHY": 1}, least=1), 4)
    CommandHook(f"env > {tmp_path}/found", 10)(change)
    found = dict(line.split("=", 1) for line in (tmp_path / "found").read_text().splitlines() if "=" in line)
    told = {name.removeprefix("HYBRIDCI_"): value for name, value in found.items() if name.startswith("HYBRIDCI_")}
    assert told | {"OLDEST_WAIT_SECONDS": ""} == {
        "POOL": "linux", "DESIRED_AGENTS": "4", "CURRENT_AGENTS": "1", "DESIRED_SLOTS": "0", "SLOTS": "0",
        "BUSY": "0", "FREE": "0", "WAITING": "7", "OLDEST_WAIT_SECONDS": "", "MIN_AGENTS": "1", "MAX_AGENTS": "9",
    }  # fmt: skip
    assert found["CLOUD"] == "its-own"


def test_a_command_that_fails_or_hangs_is_told(tmp_path: Path) -> None:
    change = ScaleChange.of(view(1), 1)
    with pytest.raises(HookFailed, match="exit code 3"):
        CommandHook("exit 3", 10)(change)
    with pytest.raises(HookFailed, match="was killed"):
        CommandHook("sleep 600 & sleep 600", 0.2)(change)


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[tuple[dict[str, Any], str | None]]]]:
    got: list[tuple[dict[str, Any], str | None]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append((body, self.headers["Authorization"]))
            self.send_response(500 if body["pool"] == "broken" else 204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/scale", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_webhook_gets_the_numbers_as_json(receiver: tuple[str, list[tuple[dict[str, Any], str | None]]]) -> None:
    url, got = receiver
    WebhookHook(url, "s3cret", 5)(ScaleChange.of(view(4, {"HEALTHY": 1}), 4))
    ((body, authorization),) = got
    assert (body["pool"], body["desired_agents"], body["current_agents"], body["waiting"]) == ("linux", 4, 1, 7)
    assert authorization == "Bearer s3cret"
    broken = ScaleChange.of(view(1).model_copy(update={"name": "broken"}), 1)
    with pytest.raises(HookFailed, match="answered 500"):
        WebhookHook(url, None, 5)(broken)
    with pytest.raises(HookFailed, match="ConnectError"):
        WebhookHook("http://127.0.0.1:1/", "s3cret", 5)(broken)


class Children:
    """Our interface of ``Supervisor``; what is retired stays until the test lets it go."""

    def __init__(self) -> None:
        self.all = ["api", "agent-1"]
        self.retired: list[str] = []

    def start(self, specs: Iterable[ChildSpec]) -> None:
        self.all += [spec.name for spec in specs]

    def retire(self, name: str) -> None:
        self.retired.append(name)

    def gone(self, name: str) -> None:
        self.all.remove(name)
        self.retired.remove(name)

    def names(self) -> Sequence[str]:
        return self.all

    def staying(self) -> Sequence[str]:
        return [name for name in self.all if name not in self.retired]


class Scaled(LocalScaler):
    """Answers are the test's; time is the test's."""

    def __init__(self, folder: Path) -> None:
        self.children, self.said = Children(), list[str]()
        self.time = 0.0
        self.view: dict[str, Any] | None = None
        self.busy: dict[str, int] = {}
        self.data = DataDir(folder)
        options = Options(scale_down_seconds=60)
        super().__init__(options, self.data, self.children, self.said.append, clock=lambda: self.time)

    async def ask(self, path: str) -> Any | None:
        if "pools" in path:
            return self.view
        items = [{"agent_id": name, "status": "HEALTHY", "busy": busy} for name, busy in self.busy.items()]
        return {"items": items}

    async def see(self, desired: int, *, bounded: bool = True, most: int = 9, after: float = 1) -> None:
        self.time += after
        bounds = {"min_agents": 0, "max_agents": most}
        self.view = {"bounded": bounded, "desired_agents": desired, "waiting": 5, "bounds": bounds}
        await self.look()

    def known(self, name: str, agent_id: str, busy: int) -> None:
        folder = self.data.agent(int(name.rpartition("-")[2]))
        folder.mkdir(parents=True)
        (folder / "agent-id").write_text(f"{agent_id}\n")
        self.busy[agent_id] = busy


async def test_without_bounds_or_answer_local_agents_are_left_alone(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path)
    await scaled.see(5, bounded=False)
    scaled.view = None
    await scaled.look()
    assert (scaled.children.all, scaled.children.retired, scaled.said) == (["api", "agent-1"], [], [])


async def test_local_agents_are_started_and_the_idle_ones_retired(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path)
    await scaled.see(3)
    assert scaled.children.all == ["api", "agent-1", "agent-2", "agent-3"]
    assert scaled.said == ["Pool default wants 3 agents (5 jobs wait): agent-2, agent-3 started."]
    for name, busy in (("agent-1", 0), ("agent-2", 2), ("agent-3", 0)):
        scaled.known(name, f"default-{name}", busy)
    await scaled.see(1)
    assert scaled.children.retired == [], "not before the cooldown"
    await scaled.see(1, after=61)
    assert scaled.children.retired == ["agent-3", "agent-1"], "the busy one stays"
    await scaled.see(2)
    assert scaled.children.staying() == ["api", "agent-2", "agent-4"], "a number that is still draining is not reused"
    scaled.children.gone("agent-1")
    await scaled.see(3)
    assert scaled.children.staying() == ["api", "agent-2", "agent-4", "agent-1"]


async def test_agents_elsewhere_count_and_the_upper_bound_holds_at_once(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path)
    scaled.known("agent-1", "default-here", 0)
    scaled.busy["default-elsewhere"] = 4
    await scaled.see(3)
    assert scaled.children.staying() == ["api", "agent-1", "agent-2"]
    await scaled.see(3, most=1)
    assert scaled.children.staying() == ["api"], "one is elsewhere, and one is allowed"


async def test_one_machine_runs_only_so_many(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path)
    await scaled.see(5000, most=9999)
    assert len(scaled.children.staying()) == 1 + 64


async def test_a_scaler_says_what_fails() -> None:
    clock = [100.0]
    monitored = MonitoredScaler(["linux", "gpu"], 15, lambda _: 2, lambda: clock[0])

    async def wrong() -> dict[str, str]:
        return {name: why for name, check in monitored.parts.items() if (why := await check()) is not None}

    assert await wrong() == {"work": "it has not looked at a pool yet"}
    monitored.looked("linux", Look.WELL)
    monitored.looked("gpu", Look.API)
    assert await wrong() == {"api": "the API did not answer, or refused, for gpu: what the scaler prints says why"}
    monitored.looked("gpu", Look.HOOK)
    assert list(await wrong()) == ["hook"]
    monitored.looked("gpu", Look.WELL)
    assert await wrong() == {}
    clock[0] += 136
    assert await wrong() == {"work": "it has not looked at a pool for 136 s"}


def test_a_scaler_answers_where_it_was_told_to() -> None:
    monitored, second = (MonitoredScaler(["linux"], 15, lambda _: 3) for _ in range(2))
    port = monitored.listen(MonitoringAddress("127.0.0.1", 0))
    try:
        monitored.looked("linux", Look.WELL)
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=60).text
        assert 'hybridci_scaler_wanted_agents{pool="linux"} 3.0' in text
        assert 'hybridci_scaler_looks_total{outcome="well",pool="linux"} 1.0' in text
        ready = httpx.get(f"http://127.0.0.1:{port}/health/ready", trust_env=False, timeout=60)
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        with pytest.raises(ListenerError, match="HYBRIDCI_SCALER_METRICS_ADDRESS: cannot listen on"):
            second.listen(MonitoringAddress("127.0.0.1", port))
    finally:
        monitored.close()
        second.close()
