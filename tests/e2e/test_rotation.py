"""Keys are changed while requests come: none is refused, and afterwards the old key is."""

import secrets
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.separate import ADMIN_KEY, AGENT_KEY, Processes, Surroundings, surrounded
from tests.e2e.stack import repository
from tests.servers import http, wait_until

SERVICE = {
    "git_repo": "https://git.example/shop.git",
    "environments": [{"name": "production", "pool": "nowhere", "steps": [{"name": "ship", "run": "true"}]}],
}


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    with surrounded(tmp_path_factory.mktemp("rotation")) as found:
        yield found


@pytest.fixture
def processes(surroundings: Surroundings) -> Iterator[Processes]:
    processes = Processes(surroundings)
    yield processes
    processes.kill()


class Traffic:
    """Requests without a pause, from another thread, and what was answered other than well."""

    def __init__(self, request: Callable[[], httpx.Response]) -> None:
        self.refused: list[str] = []
        self.answered = 0
        self._request, self._end = request, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(30)

    def after(self, more: int) -> None:
        """Wait for so many further answers."""
        wanted = self.answered + more
        wait_until(lambda: self.answered >= wanted, seconds=60, what="answers")

    def _run(self) -> None:
        while not self._end.is_set():
            answer = self._request()
            self.answered += 1
            if answer.status_code >= 300:
                self.refused.append(f"{answer.status_code} {answer.text}")
            time.sleep(0.02)


def test_the_first_keys_are_changed_under_traffic(processes: Processes, surroundings: Surroundings) -> None:
    new = secrets.token_urlsafe(32)
    file = surroundings.folder / "admin.key"
    agent_file = _file(surroundings, "agent.key", AGENT_KEY)
    processes.start("api", more={"HYBRIDCI_AGENT_KEY": "", "HYBRIDCI_AGENT_KEY_FILE": str(agent_file)})
    processes.start("worker")
    for name in ("worker", "api"):
        processes.wait_ready(name)
    with http(surroundings.url) as client:

        def asks(key: str) -> httpx.Response:
            return client.get("/info", headers={"Authorization": f"Bearer {key}"})

        using = [ADMIN_KEY]
        with Traffic(lambda: asks(using[0])) as traffic:
            file.write_text(f"{ADMIN_KEY}\n{new}\n")
            wait_until(lambda: asks(new).status_code == 200, seconds=60, what="the new key being known")
            traffic.after(20)  # with the old one
            using[0] = new
            traffic.after(20)
            file.write_text(f"{new}\n")
            wait_until(lambda: asks(ADMIN_KEY).status_code == 401, seconds=60, what="the old key being refused")
            traffic.after(20)
            file.write_text("short\n")
            traffic.after(80)  # for longer than a second
            said = processes.log("api").read_text()
            assert "a changed file cannot be used" in said
            assert "HYBRIDCI_ADMIN_KEY_FILE" in said
            assert new not in said
        assert traffic.refused == []
    file.write_text(f"{ADMIN_KEY}\n")


def test_keys_that_processes_share_are_changed_one_process_after_the_other(
    processes: Processes, surroundings: Surroundings
) -> None:
    """The signing key and the codec's: the API has them first, then the worker, as if on two hosts."""
    signing = [secrets.token_urlsafe(32) for _ in range(2)]
    codec = [b64encode(secrets.token_bytes(32)).decode() for _ in range(2)]
    files = {name: (_file(surroundings, f"{name}.sign"), _file(surroundings, f"{name}.codec")) for name in _BOTH}

    def write(name: str, order: tuple[int, ...]) -> None:
        sign, seal = files[name]
        sign.write_text("".join(f"{signing[each]}\n" for each in order))
        kept = (
            order if 0 in order else (*order, 0)
        )  # what was sealed with the old one is read for as long as it is there
        seal.write_text("".join(f"{codec[each]}\n" for each in kept))

    (surroundings.folder / "admin.key").write_text(f"{ADMIN_KEY}\n")
    for name in _BOTH:
        write(name, (0,))
        sign, seal = files[name]
        processes.start(name, more={"HYBRIDCI_SIGNING_KEY_FILE": str(sign), "HYBRIDCI_CODEC_KEYS_FILE": str(seal)})
    for name in _BOTH:
        processes.wait_ready(name)
    repo = surroundings.folder / "shared-repo"
    job = {
        "job_type": "test", "git_repo": repo.as_uri(), "git_commit_sha": repository(repo), "pool": "nowhere",
        "git_author": "a@example.com", "steps": [{"name": "wait", "run": "true"}],
    }  # fmt: skip
    with http(surroundings.url, ADMIN_KEY) as client:
        numbers = iter(range(10_000))

        def changes() -> httpx.Response:
            """A service's change counts only when the worker knows the API's word; a job's record is sealed for it."""
            number = next(numbers)
            if number % 2:
                return client.post("/api/dashboard/jobs", json=job)
            return client.put(
                "/api/dashboard/services/shop", json={**SERVICE, "git_repo": f"https://x.example/{number}"}
            )

        with Traffic(changes) as traffic:
            for order in ((0, 1), (1, 0), (1,)):  # known everywhere, then used, then alone
                for name in _BOTH:
                    write(name, order)
                    traffic.after(10)
                    time.sleep(1.1)  # each looks once a second
            traffic.after(10)
        assert traffic.refused == []
        assert traffic.answered > 60


_BOTH = ("api", "worker")


def _file(surroundings: Surroundings, name: str, key: str = "") -> Path:
    file = surroundings.folder / name
    file.write_text(f"{key}\n")
    return file
