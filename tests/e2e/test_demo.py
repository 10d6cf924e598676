"""`hybridci demo`: the machines and the shop by themselves, then the whole story as people see it."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from api.cli.demo.control import ask_server
from api.cli.demo.demo_service import BAD, FIRST, GOOD, Shop, definition, make_repository
from api.cli.demo.machine import running_servers
from api.cli.demo.visitors import Visitors
from tests.e2e.stack import HYBRIDCI
from tests.servers import wait_until
from workflows.contracts.services import ApprovalPolicy, ServiceSpec


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
    assert target.run("health", GOOD).returncode == 1, "another version than the one that was deployed"


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
    wait_until(lambda: target.versions() == [FIRST, FIRST], seconds=10, what="the server's return")
    link = tmp_path / "home" / "server-1" / "current"
    link.unlink()
    link.symlink_to(broken)
    log = tmp_path / "home" / "server-1" / "log"
    wait_until(lambda: "it does not start" in log.read_text(), seconds=10, what="the try")
    assert target.versions() == [FIRST, FIRST]


def test_the_definition_names_everything(shop: Shop, tmp_path: Path) -> None:
    text = definition(
        shop, {"staging": tmp_path / "s", "production": tmp_path / "p"}, {"staging": [1], "production": [2, 3]}
    )
    spec = ServiceSpec.model_validate(yaml.safe_load(text))
    staging, production = spec.environments
    assert (staging.env["SHOP_PORTS"], production.env["SHOP_PORTS"]) == ("1", "2 3")
    assert production.approval == ApprovalPolicy(required=1)
    assert spec.git_repo == f"file://{shop.folder}"
