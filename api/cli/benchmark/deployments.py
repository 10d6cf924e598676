"""How fast a deployment's commands follow what is asked of it, in turns with the raw floor.

One sample is a whole story: a version goes live; the next one is started (→ staging's command), approved while the
first must hand production over (→ production's command), and rolled back (→ the rollback's command). Then the hold is
released.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from api.cli.benchmark.floor import Floor
from api.cli.benchmark.own_stack import OwnStack
from api.cli.benchmark.report import DeploymentLatency, Times
from api.cli.benchmark.wire import DEPLOYMENTS, SERVICES, Api, BenchmarkFailed
from api.cli.benchmark.work import MARK_NOW, REST_SECONDS, Repository, marked, until
from workflows.contracts.deployments.services import PRODUCTION, STAGING

T = TypeVar("T")
_WARM_UP: Final = 2
_SERVICE: Final = "benchmark"
_PLACE: Final = f"{SERVICES}/{_SERVICE}/environments/{PRODUCTION}"
_LOOK_SECONDS: Final = 0.01
"""Between two looks at a record, while nothing is measured."""


def measure_deployments(
    stack: OwnStack, floor: Floor, repository: Repository, folder: Path, samples: int, say: Callable[[str], None]
) -> DeploymentLatency:
    """``samples`` of each latency; commands leave their marks in ``folder``. Raises BenchmarkFailed."""
    with stack.api() as api:
        story = _Story(api, floor, repository, folder)
        story.begin()
        warm_up = min(_WARM_UP, samples)
        for number in range(-warm_up, samples):
            story.sample(number + warm_up)
            if number % 10 == 0:
                say(f"deployments: {number} of {samples}")
        return story.result(warm_up)


class _Story:
    """The samples, of one service."""

    def __init__(self, api: Api, floor: Floor, repository: Repository, marks: Path) -> None:
        self._api, self._floor, self._repository, self._marks = api, floor, repository, marks
        self._raw: list[float] = []
        self._start: list[float] = []
        self._approve: list[float] = []
        self._rollback: list[float] = []

    def begin(self) -> None:
        """Register the service."""
        self._marks.mkdir()
        self._api.register(_SERVICE, _service(self._repository, self._marks))

    def sample(self, number: int) -> None:
        """One of each latency."""
        version = f"{number}.1"
        before = self._deploy(f"{number}.0")
        self._until_asked(before)
        self._yes(before)
        self._until_live(before)
        identity = self._measure(self._start, f"{STAGING}-{version}", lambda: self._deploy(version))
        self._until_asked(identity)
        self._measure(self._approve, f"{PRODUCTION}-{version}", lambda: self._yes(identity))
        self._until_live(identity)
        self._measure(self._rollback, f"rollback-{version}", lambda: self._back(identity))
        self._until_live(before, back=True)
        self._api.tell(f"{_PLACE}/release", {"reason": "The next sample."})

    def result(self, warm_up: int) -> DeploymentLatency:
        """What was measured, without the warm-up."""
        return DeploymentLatency(
            floor=Times.of(self._raw[3 * warm_up :]),
            start=Times.of(self._start[warm_up:]),
            approve=Times.of(self._approve[warm_up:]),
            rollback=Times.of(self._rollback[warm_up:]),
        )

    def _measure(self, times: list[float], mark: str, ask: Callable[[], T]) -> T:
        """Milliseconds from the request to the command's first instruction, after one sample of the floor."""
        time.sleep(REST_SECONDS)
        self._raw.append(self._floor.sample()[0])
        time.sleep(REST_SECONDS)
        wall = time.time_ns()
        answer = ask()
        times.append((marked(self._marks / mark) - wall) / 1e6)
        return answer

    def _deploy(self, version: str) -> str:
        return self._api.deploy(
            {
                "service_name": _SERVICE,
                "version": version,
                "git_commit_sha": self._repository.sha,
                "git_author": "benchmark@example.com",
            },
            key=version,
        )

    def _yes(self, identity: str) -> None:
        self._api.tell(f"{DEPLOYMENTS}/{identity}/approve", {"comment": "Measured."})

    def _back(self, identity: str) -> None:
        self._api.tell(f"{DEPLOYMENTS}/{identity}/rollback", {"reason": "Measured."})

    def _until_asked(self, identity: str) -> None:
        """Until it waits for the approval of production."""

        def asked() -> bool:
            deployment = self._api.deployment(identity)
            if deployment.closed:
                raise BenchmarkFailed(f"Deployment {identity} is {deployment.status}: {deployment.error_message}")
            return deployment.environment == PRODUCTION and deployment.waits_for is not None

        until(asked, _LOOK_SECONDS, f"deployment {identity} to wait for its approval")

    def _until_live(self, identity: str, *, back: bool = False) -> None:
        """Until it is live in production. ``back``: brought back by a rollback, which sets a hold."""

        def live() -> bool:
            state = self._api.environment(_SERVICE, PRODUCTION)
            done = state.hold is not None if back else state.holder is not None and state.holder.live
            return done and state.live is not None and state.live.deployment_id == identity

        until(live, _LOOK_SECONDS, f"deployment {identity} to be live")


def _service(repository: Repository, marks: Path) -> dict[str, object]:
    def steps(name: str) -> list[dict[str, str]]:
        return [{"name": "mark", "run": MARK_NOW.format(f'"$MARKS/{name}"')}]

    roll_out = {"env": {"MARKS": str(marks)}, "steps": steps("$HYBRIDCI_ENVIRONMENT-$HYBRIDCI_VERSION")}
    # A rollback runs for the version that it brings back; the one before is the one that leaves.
    rollback = {"steps": steps("rollback-$HYBRIDCI_PREVIOUS_VERSION")}
    return {
        "git_repo": repository.url,
        "environments": [
            {"name": STAGING, **roll_out},
            {"name": PRODUCTION, **roll_out, "approval": {"required": 1}, "rollback": rollback},
        ],
    }
