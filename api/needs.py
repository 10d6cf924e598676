"""What waits for a person, what broke, and which agents need a look, from what the API answered. Pure.

One set of rules for the dashboard's first page and `hybridci status`, which draw the same rows: what the one shows as
waiting, the other does. Deliberately not here: asking the API (``dashboard.routes.overview``,
``cli.commands.overview.gathering``), commands and links' looks, and whether an approval would count, which depends on
who asks.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from api.agents.schemas import AgentView
from api.wording import CANCELLED, counted
from workflows.contracts.agents import AgentStatus, PoolView
from workflows.contracts.deployments.deployment import DeploymentStatus, DeploymentSummary
from workflows.contracts.deployments.lanes import Lane
from workflows.contracts.deployments.line import LineStop
from workflows.contracts.errors import FieldError
from workflows.contracts.jobs import JobSummary
from workflows.contracts.repairs import StuckWorkflow

WAITING: Final = (
    DeploymentStatus.PENDING,
    DeploymentStatus.STAGING,
    DeploymentStatus.STAGED,
    DeploymentStatus.PRODUCTION,
    DeploymentStatus.LIVE,
)
"""Deployments that can wait for somebody: some of those that are live wait for a person's decision."""
ENDED: Final = (DeploymentStatus.FAILED, DeploymentStatus.ROLLED_BACK)
MOST_WAITING: Final = 50
"""So many of each status are shown, of those that wait: the newest."""
MOST_OF_A_STATUS: Final = 15
"""So many of those that have ended, and of failed jobs, are looked at: the newest."""
MOST_DEAD_LETTERS: Final = 30
MOST_SERVICES: Final = 20
MOST_AGENTS: Final = 100
HOURS: Final = 24
"""What broke before is not shown."""
_MOST_BROKEN: Final = 8
_HOUR_MS: Final = 3_600_000
_ROLLBACK_FAILED: Final = "rollback_failed"
_UNKNOWN: Final = "unknown"


class AskKind(StrEnum):
    """What it is that waits."""

    PART = "part"
    STUCK = "stuck"
    POOL = "pool"
    ROLLBACK = "rollback"
    DECISION = "decision"
    WAITS = "waits"
    DEAD_LETTERS = "dead_letters"
    HOLD = "hold"
    FREEZE = "freeze"


_GENTLE: Final = frozenset({AskKind.WAITS, AskKind.HOLD, AskKind.FREEZE})


@dataclass(frozen=True, slots=True)
class Answered:
    """What the API answered; what could not be asked for is left out. ``dead_letters``: how many there are in all."""

    unwell: Sequence[FieldError] = ()
    stuck: Sequence[StuckWorkflow] = ()
    pools: Sequence[PoolView] = ()
    waiting: Sequence[DeploymentSummary] = ()
    ended: Sequence[DeploymentSummary] = ()
    dead: Sequence[JobSummary] = ()
    dead_letters: int = 0
    failed: Sequence[JobSummary] = ()
    lanes: Sequence[Lane] = ()
    stops: Sequence[LineStop] = ()
    agents: Sequence[AgentView] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """Something that waits. ``label`` says in a word what for, ``path`` leads to it, ``ends_at``: over by itself.

    ``name``: of the part, pool or service, the deployment's id, the cause of dead letters, what repairs a workflow.
    ``environment``: of a service's hold.
    """

    kind: AskKind
    label: str
    title: str
    path: str
    words: str
    name: str
    environment: str = ""
    by: str = ""
    since: int | None = None
    ends_at: int | None = None

    @property
    def wrong(self) -> bool:
        """Something is wrong, rather than waits as it should."""
        return self.kind not in _GENTLE

    @property
    def tone(self) -> str:
        """A badge's."""
        return "bad" if self.wrong else "wait"


@dataclass(frozen=True, slots=True)
class Broken:
    """A job or a deployment that ended badly. ``name`` is its id; ``title`` of a job has the beginning of it."""

    job: bool
    name: str
    title: str
    status: str
    words: str
    at: int

    @property
    def path(self) -> str:
        """Where it is shown."""
        return f"/{'jobs' if self.job else 'deployments'}/{self.name}"


def asks_of(found: Answered, now: int) -> list[Ask]:
    """What waits: what stops everything first, then each kind; of deployments what is wrong first, the oldest first."""
    return [
        *(Ask(AskKind.PART, "not well", each.field, "/", each.message, each.field) for each in found.unwell),
        *map(_of_stuck, found.stuck),
        *(_of_pool(pool) for pool in found.pools if unserved(pool)),
        *_of_deployments([*found.waiting, *found.ended]),
        *_of_dead_letters(found.dead, max(found.dead_letters, len(found.dead))),
        *_of_lanes(found.lanes),
        *(_of_stop(stop) for stop in found.stops if stop.in_force(now)),
    ]


def broken_of(found: Answered, now: int) -> list[Broken]:
    """What ended badly in the last hours, newest first, each once. What somebody cancelled is not among it."""
    rows = {row.path: row for row in (*map(_of_job, (*found.failed, *found.dead)), *_of_ended(found.ended))}
    since = now - HOURS * _HOUR_MS
    return sorted((row for row in rows.values() if row.at >= since), key=lambda row: -row.at)[:_MOST_BROKEN]


def unwell_agents(agents: Iterable[AgentView]) -> list[AgentView]:
    """Agents that somebody should look at; not those that were deregistered."""
    return [agent for agent in agents if agent.words and agent.deregistered_at is None]


def unserved(pool: PoolView) -> bool:
    """Jobs wait in it and none of its agents is connected."""
    return pool.waiting > 0 and not any(
        count for status, count in pool.agents.items() if status != AgentStatus.OFFLINE.value
    )


def _of_stuck(stuck: StuckWorkflow) -> Ask:
    path = (
        f"/jobs/{stuck.job_id}"
        if stuck.job_id
        else f"/deployments/{stuck.deployment_id}"
        if stuck.deployment_id
        else "/"
    )
    return Ask(AskKind.STUCK, "stuck", str(stuck), path, "its workflow cannot go on", stuck.command)


def _of_pool(pool: PoolView) -> Ask:
    words = (
        f"{counted(pool.waiting, 'job waits', 'jobs wait')} in pool {pool.name} and no agent of it is connected."
        f" Start one: `hybridci agent --pool {pool.name}`, with a key of the pool (docs/agents.md)."
    )
    path = f"/jobs?pool={quote(pool.name, safe='')}&status=queued"
    return Ask(AskKind.POOL, "no agent", pool.name, path, words, pool.name)


def _of_deployments(found: Iterable[DeploymentSummary]) -> list[Ask]:
    asks = [ask for each in found if (ask := _of_deployment(each)) is not None]
    return sorted(asks, key=lambda ask: (not ask.wrong, ask.since or 0))


def _of_deployment(each: DeploymentSummary) -> Ask | None:
    by = ""
    if each.status is DeploymentStatus.FAILED and each.cause == _ROLLBACK_FAILED:
        kind, label, words = AskKind.ROLLBACK, "rollback failed", each.error_message or ""
    elif each.status is DeploymentStatus.FAILED or not each.waits_for:
        return None
    elif each.status is DeploymentStatus.LIVE:
        kind, label, words, by = AskKind.DECISION, "decide", each.waits_for, each.git_author
    else:
        kind, label, words, by = AskKind.WAITS, each.environment or "waits", each.waits_for, each.git_author
    title, path = f"{each.service_name} {each.version}", f"/deployments/{each.deployment_id}"
    return Ask(kind, label, title, path, words, each.deployment_id, by=by, since=each.updated_at)


def _of_dead_letters(jobs: Sequence[JobSummary], total: int) -> Iterator[Ask]:
    """One for each cause among those that were read, the most frequent first."""
    causes = Counter(job.cause or _UNKNOWN for job in jobs)
    newest = {job.cause or _UNKNOWN: job for job in reversed(jobs)}
    for cause, count in causes.most_common():
        of_all = f"{count} of {counted(total, 'dead letter')}" if total > count else counted(count, "dead letter")
        words = f"{of_all}; the last: {newest[cause].error_message or 'no message'}"
        title, since = cause.replace("_", " "), newest[cause].completed_at
        path = "/dead-letters" if cause == _UNKNOWN else f"/dead-letters?cause={quote(cause, safe='')}"
        yield Ask(AskKind.DEAD_LETTERS, "dead letters", title, path, words, cause, since=since)


def _of_lanes(lanes: Iterable[Lane]) -> Iterator[Ask]:
    for lane in lanes:
        name = lane.service_name
        for place in lane.places:
            if place.hold is not None:
                title, hold = f"{name} {place.environment}", place.hold
                yield Ask(
                    AskKind.HOLD, "hold", title, f"/services/{name}", hold.reason, name, place.environment,
                    by=hold.by, since=hold.at,
                )  # fmt: skip


def _of_stop(stop: LineStop) -> Ask:
    words = f"{stop.scope.words()}{f': {stop.reason}' if stop.reason else ''}"
    kind = AskKind(stop.kind.value)
    return Ask(
        kind, kind.value, stop.name, f"/freezes#stop-{stop.stop_id}", words, stop.stop_id, by=stop.by,
        since=stop.starts_at, ends_at=stop.ends_at,
    )  # fmt: skip


def _of_job(job: JobSummary) -> Broken:
    title, at = f"{job.job_type} {job.job_id[:8]}", job.completed_at or job.created_at
    return Broken(True, job.job_id, title, job.status.value, job.error_message or job.cause or "", at)


def _of_ended(deployments: Iterable[DeploymentSummary]) -> Iterator[Broken]:
    for each in deployments:
        if each.cause != CANCELLED:
            title, words = f"{each.service_name} {each.version}", each.error_message or each.cause or ""
            at = each.completed_at or each.updated_at
            yield Broken(False, each.deployment_id, title, each.status.value, words, at)
