"""What `hybridci status` asks the API for: the routes of the dashboard's first page, each at most once, at once.

What the caller's key may not see, and what does not answer now, is left out and named. Deliberately not here: what it
means (``needs``).
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from api.agents.schemas import AgentViews, PoolViews
from api.cli.client.connection import CliError
from api.cli.client.http import (
    DEAD_LETTERS,
    DEPLOYMENTS,
    JOBS,
    ApiClient,
    ApiRefused,
    KeyMayNot,
    Params,
    Unreachable,
)
from api.cli.commands.stuck import read_health
from api.needs import (
    ENDED,
    MOST_AGENTS,
    MOST_DEAD_LETTERS,
    MOST_OF_A_STATUS,
    MOST_SERVICES,
    MOST_WAITING,
    WAITING,
    Answered,
)
from workflows.contracts.deployments.deployment import DeploymentPage, DeploymentStatus, DeploymentSummary
from workflows.contracts.deployments.lanes import LanePage
from workflows.contracts.deployments.line import LineStop
from workflows.contracts.errors import FieldError
from workflows.contracts.jobs import JobSummary
from workflows.contracts.records import JobPage
from workflows.contracts.repairs import StuckWorkflow

_DASHBOARD: Final = "/api/dashboard"
_AT_ONCE: Final = 8
_RUNNING: Final = 15


@dataclass(slots=True)
class Gathered:
    """What there is. ``untold``: which part could not be told, and why."""

    summary: Mapping[str, Any] = field(default_factory=dict[str, Any])
    waiting: Sequence[DeploymentSummary] = ()
    ended: Sequence[DeploymentSummary] = ()
    dead: Sequence[JobSummary] = ()
    failed: Sequence[JobSummary] = ()
    running: Sequence[JobSummary] = ()
    stops: Sequence[LineStop] = ()
    lanes: LanePage = field(default_factory=lambda: LanePage(items=[]))
    agents: AgentViews = field(default_factory=lambda: AgentViews(items=[]))
    pools: PoolViews = field(default_factory=lambda: PoolViews(items=[]))
    health: Any = field(default_factory=dict[str, Any])
    person: Mapping[str, Any] = field(default_factory=dict[str, Any])
    approvals: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """By deployment: what is asked of people, of those that wait for an approval."""
    untold: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def told(self) -> Answered:
        """What the rules are asked with."""
        return Answered(
            unwell=[FieldError.model_validate(each) for each in self.health.get("errors", [])],
            stuck=[StuckWorkflow.model_validate(each) for each in self.health.get("items", [])],
            pools=self.pools.items,
            waiting=self.waiting,
            ended=self.ended,
            dead=self.dead,
            dead_letters=int(self.summary.get("jobs_dead_lettered", 0)),
            failed=self.failed,
            lanes=self.lanes.items,
            stops=self.stops,
            agents=self.agents.items,
        )


def gather(api: ApiClient) -> Gathered:
    """Ask for all of it. Raises CliError when nothing answers or the key is not known."""
    found = Gathered(person=api.request("POST", "/auth/validate"))
    asked: dict[str, Callable[[], Any]] = {
        "summary": lambda: api.get(f"{_DASHBOARD}/summary", {"recent_jobs": 0}),
        "waiting": lambda: waiting(api),
        "ended": lambda: _of_statuses(api, ENDED, {"limit": MOST_OF_A_STATUS}),
        "dead": lambda: _jobs(api, DEAD_LETTERS, {"limit": MOST_DEAD_LETTERS}),
        "failed": lambda: _jobs(api, JOBS, {"status": "failed", "limit": MOST_OF_A_STATUS}),
        "running": lambda: _jobs(api, f"{JOBS}/running", {"limit": _RUNNING}),
        "stops": lambda: [*_stops(api, "holds"), *_stops(api, "freezes")],
        "lanes": lambda: LanePage.model_validate(api.get(f"{_DASHBOARD}/lanes", {"limit": MOST_SERVICES})),
        "agents": lambda: AgentViews.model_validate(api.get("/api/agents", {"limit": MOST_AGENTS})),
        "pools": lambda: PoolViews.model_validate(api.get("/api/agents/pools")),
        "health": lambda: read_health(api),
    }
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = {name: pool.submit(_told, found, name, ask) for name, ask in asked.items()}
        for name, answer in answers.items():
            if (value := answer.result()) is not None:
                setattr(found, name, value)
        wanted = [each for each in found.waiting if each.waits_for]
        about = {each.deployment_id: f"{DEPLOYMENTS}/{each.deployment_id}/approval" for each in wanted}
        asks = {
            key: pool.submit(_told, found, "approvals", lambda path=path: api.get(path)) for key, path in about.items()
        }
        found.approvals = {key: ask.result() for key, ask in asks.items() if ask.result() is not None}
    return found


def _told(found: Gathered, name: str, ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Unreachable:
        raise
    except KeyMayNot:
        found.untold[name] = "your key may not see it"
    except CliError as error:
        found.untold[name] = error.message
    return None


def waiting(api: ApiClient) -> list[DeploymentSummary]:
    """Deployments that wait. An API of before that filter shows the newest, whether they do or not. Raises CliError."""
    try:
        return _of_statuses(api, WAITING, {"limit": MOST_WAITING, "waits": True})
    except ApiRefused as refused:
        if refused.status != HTTPStatus.UNPROCESSABLE_ENTITY:
            raise
        return _of_statuses(api, WAITING, {"limit": MOST_WAITING})


def _of_statuses(api: ApiClient, statuses: Sequence[DeploymentStatus], query: Params) -> list[DeploymentSummary]:
    pages = [api.get(DEPLOYMENTS, {**query, "status": status}) for status in statuses]
    return [each for page in pages for each in DeploymentPage.model_validate(page).items]


def _jobs(api: ApiClient, path: str, params: Params) -> list[JobSummary]:
    return JobPage.model_validate(api.get(path, params)).items


def _stops(api: ApiClient, kind: str) -> list[LineStop]:
    return [LineStop.model_validate(each) for each in api.get(f"{_DASHBOARD}/{kind}")["items"]]
