"""`hybridci demo`: the machines and the shop by themselves, then the whole story as people see it."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from api.cli.demo.checks import DemoFailed, expect, wait_for
from api.cli.demo.control import ask_server
from api.cli.demo.demo_service import BAD, FIRST, GOOD, NEXT, Shop, definition, make_repository
from api.cli.demo.machine import running_servers
from api.cli.demo.visitors import Visitors
from api.cli.stack.launching import launch
from tests.e2e.stack import HYBRIDCI, Stack
from tests.servers import free_port, wait_until
from workflows.contracts.deployments.rules import ApprovalPolicy
from workflows.contracts.deployments.services import ServiceSpec


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return make_repository(tmp_path_factory.mktemp("shop") / "repository")


class Target:
    """An environment of two servers, and the shop's own tool on it."""

    def __init__(self, shop: Shop, folder: Path, home: Path, ports: list[int]) -> None:
        self._shop, self._folder, self._home, self.ports = shop, folder, home, ports

    def run(
        self, command: str, version: str, *, percent: int = 100, fence: int = 1
    ) -> subprocess.CompletedProcess[str]:
        workspace = self._folder / version
        if not workspace.exists():
            subprocess.run(["git", "clone", "-q", str(self._shop.folder), str(workspace)], check=True)
            subprocess.run(["git", "-C", str(workspace), "checkout", "-q", self._shop.commits[version]], check=True)
        env = {
            **os.environ, "SHOP_HOME": str(self._home), "SHOP_PORTS": " ".join(map(str, self.ports)),
            "HYBRIDCI_VERSION": version, "HYBRIDCI_ROLLOUT_PERCENT": str(percent), "HYBRIDCI_FENCE": str(fence),
        }  # fmt: skip
        words = ["python3", "deploy/shopctl.py", command]
        return subprocess.run(words, cwd=workspace, env=env, capture_output=True, text=True, timeout=30)

    def versions(self) -> list[object]:
        return [ask_server(port, "/version")[1]["version"] for port in self.ports]


@pytest.fixture
def target(shop: Shop, tmp_path: Path) -> Iterator[Target]:
    with running_servers(tmp_path / "home", 2) as ports:
        yield Target(shop, tmp_path, tmp_path / "home", ports)


def test_versions_are_switched_and_no_visitor_is_refused(target: Target) -> None:
    for version in (FIRST, BAD, GOOD):
        assert target.run("install", version).returncode == 0
    assert target.run("switch", FIRST).returncode == 0
    visitors = Visitors(target.ports)
    with visitors.visiting():
        for version in (GOOD, FIRST, GOOD, FIRST):
            half = target.run("switch", version, percent=50, fence=2)
            assert half.returncode == 0, half.stderr
            assert target.versions()[0] == version
            assert target.versions()[1] != version
            assert target.run("switch", version, fence=2).returncode == 0
            assert target.versions() == [version, version]
    seen = visitors.seen
    assert set(seen) == {(FIRST, 200), (GOOD, 200)}, seen
    assert target.run("health", FIRST).returncode == 0


def test_the_bad_version_is_healthy_and_fails_its_verification(target: Target) -> None:
    for version, verified in ((FIRST, 0), (BAD, 1), (GOOD, 0)):
        assert target.run("install", version).returncode == 0
        assert target.run("install", version).returncode == 0, "again changes nothing"
        assert target.run("switch", version).returncode == 0
        assert target.run("health", version).returncode == 0
        done = target.run("verify", version)
        assert done.returncode == verified, done.stdout
    assert ask_server(target.ports[0], "/price?orders=4") == (200, {"price": 18.5})


def test_the_target_refuses_an_older_turn(target: Target) -> None:
    assert target.run("install", FIRST).returncode == 0
    assert target.run("switch", FIRST, fence=8).returncode == 0
    late = target.run("switch", FIRST, fence=7)
    assert late.returncode == 1
    assert "Turn 7 is over: this environment has seen turn 8" in late.stderr


def test_a_commit_of_another_version_is_not_installed(target: Target, tmp_path: Path) -> None:
    target.run("install", FIRST)
    (tmp_path / FIRST).rename(tmp_path / "9.9")
    done = target.run("install", "9.9")
    assert done.returncode == 1
    assert f"This commit is version {FIRST}" in done.stderr


def test_a_server_that_dies_is_started_again_and_a_broken_version_replaces_nothing(
    target: Target, tmp_path: Path
) -> None:
    assert target.run("install", FIRST).returncode == 0
    assert target.run("switch", FIRST).returncode == 0
    victims = [child for child in psutil.Process().children() if "app.py" in " ".join(child.cmdline())]
    assert len(victims) == 2
    victims[0].kill()
    broken = tmp_path / "home" / "releases" / "broken"
    broken.mkdir()
    (broken / "app.py").write_text("raise SystemExit('it does not start')")
    wait_until(lambda: target.versions() == [FIRST, FIRST], seconds=60, what="the server's return")
    assert target.run("health", FIRST).returncode == 0
    link = tmp_path / "home" / "server-1" / "current"
    link.unlink()
    link.symlink_to(broken)
    log = tmp_path / "home" / "server-1" / "log"
    wait_until(lambda: "it does not start" in log.read_text(), seconds=60, what="the try")
    assert target.versions() == [FIRST, FIRST]


def test_the_definition_names_everything(shop: Shop, tmp_path: Path) -> None:
    text = definition(
        shop, "shop", {"staging": tmp_path / "s", "production": tmp_path / "p"}, {"staging": [1], "production": [2, 3]}
    )
    fields = yaml.safe_load(text)
    assert fields.pop("name") == "shop"
    spec = ServiceSpec.model_validate(fields)
    staging, production = spec.environments
    assert (staging.env["SHOP_PORTS"], production.env["SHOP_PORTS"]) == ("1", "2 3")
    assert production.approval == ApprovalPolicy(required=1)
    assert spec.git_repo == f"file://{shop.folder}"


class Demo:
    """`hybridci demo` as a process, with what it prints."""

    def __init__(self, folder: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.stack = Stack(folder)  # for what belongs to its data directory
        self._output = folder / "demo.out"
        command = [*HYBRIDCI, "demo", "--data-dir", str(self.stack.data), *options]
        self.process = launch(command, self._output, env=env)

    def text(self) -> str:
        return self._output.read_text()

    def wait_for(self, text: str, *, seconds: float = 60) -> None:
        wait_until(
            lambda: text in self.text() or self.process.poll() is not None,
            seconds=seconds,
            what=f"{text!r} in the demo",
        )
        assert text in self.text(), self.text()

    def end(self, seconds: float) -> int:
        return self.process.wait(seconds)


@pytest.fixture
def demos(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    def start(*options: str, env: dict[str, str] | None = None) -> Demo:
        started.append(Demo(tmp_path, *options, env=env))
        return started[-1]

    yield start
    for demo in started:
        if demo.process.poll() is None:
            demo.process.kill()
            demo.process.wait()
        demo.stack.kill_everything()


def test_the_whole_story_is_played_and_everything_is_stopped(demos: Callable[..., Demo]) -> None:
    demo = demos("--keep")
    demo.wait_for("Ctrl-C stops it all.", seconds=180)
    text = demo.text()
    assert "from the request to the first instruction of the rollback's command." in text
    found = re.search(r"All of it +(\d+) +(?:(\d+) min )?(\d+) s", text)
    assert found is not None, text
    checks, minutes, seconds = (int(number or 0) for number in found.groups())
    assert checks >= 20
    assert minutes * 60 + seconds < 150, "it takes less than 90 s; a busy machine must not fail the suite"
    assert demo.stack.processes(), "--keep"
    listed = json.loads(demo.stack.cli("deploy", "list", "--json").stdout)["items"]
    assert {item["version"]: item["status"] for item in listed if item["version"] != FIRST} == {
        BAD: "rolled_back",
        GOOD: "rolled_back",
        NEXT: "rolled_back",
    }
    demo.process.send_signal(signal.SIGINT)
    assert demo.end(30) == 0, demo.text()
    assert demo.stack.processes() == []
    assert "Traceback" not in demo.text()


@pytest.mark.parametrize(("when", "number"), [("A service is registered", signal.SIGINT), ("Starting", signal.SIGTERM)])
def test_a_demo_that_is_interrupted_leaves_nothing(
    demos: Callable[..., Demo], when: str, number: signal.Signals
) -> None:
    demo = demos()
    demo.wait_for(when)
    demo.process.send_signal(number)
    assert demo.end(40) == 130, demo.text()
    assert "Interrupted; everything is stopped." in demo.text()
    assert "Traceback" not in demo.text()
    assert demo.stack.processes() == []


def test_what_fails_is_told_and_everything_is_stopped(demos: Callable[..., Demo], tmp_path: Path) -> None:
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text("#!/bin/sh\necho the disk is full >&2; exit 3\n")
    git.chmod(0o755)
    demo = demos(env={**os.environ, "PATH": f"{git.parent}{os.pathsep}{os.environ['PATH']}"})
    assert demo.end(60) == 1
    for words in (
        "non-zero exit status 3",
        "the disk is full",
        "Everything is stopped.",
        str(demo.stack.data / "logs"),
    ):
        assert words in demo.text()
    assert "Traceback" not in demo.text()
    assert demo.stack.processes() == []


def test_a_stack_that_cannot_start_says_why(demos: Callable[..., Demo]) -> None:
    port = str(free_port())
    demo = demos("--api-port", port, "--ui-port", port)
    assert demo.end(30) == 2
    assert "give each part a port of its own" in demo.text()


def test_a_check_says_what_was_expected_and_seen() -> None:
    expect("The same", expected=1, seen=1)
    with pytest.raises(DemoFailed, match=r"The version\n  expected: 1.0\n  seen:     1.1"):
        expect("The version", expected="1.0", seen="1.1")
    numbers = iter(range(100))
    assert wait_for("A number", lambda: next(numbers), lambda seen: seen == 3, expected="3", seconds=10) == 3
    with pytest.raises(DemoFailed, match=r"Nothing \(waited 0 s\)\n  expected: something\n  seen:     False"):
        wait_for("Nothing", lambda: False, bool, expected="something", seconds=0)


def test_a_killed_demo_leaves_nothing_running(demos: Callable[..., Demo]) -> None:
    demo = demos("--keep")
    demo.wait_for("✓")
    left = psutil.Process(demo.process.pid).children(recursive=True)
    assert len(left) > 3
    demo.process.kill()
    demo.process.wait(10)
    wait_until(lambda: not any(each.is_running() for each in left), seconds=90, what="the end of all that it started")
