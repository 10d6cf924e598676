"""How long a question to an agent behind the gateway takes, from the request to the answer in hand, in turns with the
raw floor. Each is one that the agent has not answered before, so that git is asked.
"""

import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from api.cli.benchmark.floor import Floor
from api.cli.benchmark.own_stack import OwnStack
from api.cli.benchmark.report import QuestionLatency, Times
from api.cli.benchmark.wire import AGENTS, Api, BenchmarkFailed
from api.cli.benchmark.work import REST_SECONDS, Repository
from api.cli.stack.launching import launch, stop, wait_ready

_POOL: Final = "benchmark-questions"
_PATH: Final = f"{AGENTS}/pools/{_POOL}/tasks"
_WARM_UP: Final = 5
_READY: Final = b" works for pool "
_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0
_FIRST_SECONDS: Final = 10.0


def measure_questions(
    stack: OwnStack, floor: Floor, repository: Repository, folder: Path, samples: int, say: Callable[[str], None]
) -> QuestionLatency:
    """``samples`` of each, one in turn. Raises BenchmarkFailed."""
    raw: list[float] = []
    ours: list[float] = []
    with _agent(stack, folder), stack.api() as api:
        _until_answered(api, repository)
        for number in range(-min(_WARM_UP, samples), samples):
            floor_ms = floor.sample()[1]
            time.sleep(REST_SECONDS)
            began = time.perf_counter()
            _ask(api, repository, number)
            if number >= 0:
                raw.append(floor_ms)
                ours.append((time.perf_counter() - began) * 1e3)
            time.sleep(REST_SECONDS)
            if number % 20 == 0:
                say(f"questions: {number} of {samples}")
    return QuestionLatency(floor=Times.of(raw), question=Times.of(ours))


def _ask(api: Api, repository: Repository, number: int) -> None:
    ref = f"refs/heads/new-{number}"  # another question, of the same commits
    question = {
        "kind": "ancestry",
        "git_repo": repository.url,
        "git_ref": ref,
        "ancestor": repository.sha,
        "descendant": repository.sha,
    }
    found = api.ask(_PATH, {"question": question})
    if found["outcome"] != "answered" or not found["answer"]["is_ancestor"]:
        raise BenchmarkFailed(f"A question was not answered: {found['outcome']}: {found['message']}")


def _until_answered(api: Api, repository: Repository) -> None:
    """The first one fetches the commit."""
    until = time.monotonic() + _FIRST_SECONDS
    while True:
        try:
            return _ask(api, repository, -_WARM_UP - 1)
        except BenchmarkFailed:
            if time.monotonic() > until:
                raise
            time.sleep(REST_SECONDS)


@contextmanager
def _agent(stack: OwnStack, folder: Path) -> Generator[subprocess.Popen[bytes]]:
    """One that reaches Temporal through the gateway only, as one on another machine."""
    given = stack.environment("agent-1")
    own = {
        "HYBRIDCI_AGENT_POOL": _POOL,
        "HYBRIDCI_AGENT_ID": "benchmark-questions",
        "HYBRIDCI_AGENT_DIR": str(folder / "agent"),
        "HYBRIDCI_GATEWAY": "on",
    }
    environment = {name: value for name, value in {**given, **own}.items() if not name.startswith("TEMPORAL_")}
    folder.mkdir()
    log = folder / "agent.log"
    process = launch(stack.agent_command(), log, env=environment, bound=True)
    try:
        wait_ready("The agent", process, lambda: _READY in log.read_bytes(), log=log, seconds=_READY_SECONDS)
        yield process
    finally:
        stop(process, seconds=_STOP_SECONDS)
