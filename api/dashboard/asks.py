"""What waits for a person, and what broke: rows of the first page, worked out from what the API answered. Pure.

Deliberately not here: asking the API (``routes.overview``).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from api.dashboard.sentences import plainly
from api.wording import CANCELLED, counted
from workflows.contracts.agents import AgentStatus, PoolView
from workflows.contracts.deployments.deployment import DeploymentStatus, DeploymentSummary
from workflows.contracts.deployments.lanes import Lane
from workflows.contracts.deployments.line import LineStop
from workflows.contracts.jobs import JobSummary

ROLLBACK_FAILED: Final = "rollback_failed"
_UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Ask:
    """Something that waits. ``tone`` is a badge's; ``path`` leads to it; ``ends_at`` when it is over by itself."""

    tone: str
    kind: str
    title: str
    path: str
    words: str
    by: str = ""
    since: int | None = None
    ends_at: int | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """A job or a deployment that ended badly."""

    path: str
    title: str
    status: str
    words: str
    at: int


def asks_of_deployments(found: Iterable[DeploymentSummary]) -> list[Ask]:
    """Decisions and failed rollbacks first, then what waits for an approval or anything else; the oldest first."""
    asks = [ask for each in found if (ask := _ask_of(each)) is not None]
    return sorted(asks, key=lambda ask: (ask.tone != "bad", ask.since or 0))


def asks_of_stops(stops: Iterable[LineStop], now: int) -> list[Ask]:
    """Holds and freezes of many services that are in force."""
    return [
        Ask(
            "wait",
            str(stop.kind.value),
            stop.name,
            f"/freezes#stop-{stop.stop_id}",
            f"{stop.scope.words()}{f': {stop.reason}' if stop.reason else ''}",
            by=stop.by,
            since=stop.starts_at,
            ends_at=stop.ends_at,
        )
        for stop in stops
        if stop.in_force(now)
    ]


def asks_of_lanes(lanes: Iterable[Lane]) -> list[Ask]:
    """Environments that somebody holds."""
    return [
        Ask(
            "wait",
            "hold",
            f"{lane.service_name} {place.environment}",
            f"/services/{lane.service_name}",
            place.hold.reason,
            by=place.hold.by,
            since=place.hold.at,
        )
        for lane in lanes
        for place in lane.places
        if place.hold is not None
    ]


def asks_of_dead_letters(jobs: Sequence[JobSummary], total: int) -> list[Ask]:
    """One row for each cause among those that were read, the most frequent first."""
    causes = Counter(job.cause or _UNKNOWN for job in jobs)
    newest = {job.cause or _UNKNOWN: job for job in reversed(jobs)}
    asks: list[Ask] = []
    for cause, count in causes.most_common():
        of_all = f"{count} of {counted(total, 'dead letter')}" if total > count else counted(count, "dead letter")
        words = f"{of_all}; the last: {newest[cause].error_message or 'no message'}"
        title = cause.replace("_", " ")
        path = "/dead-letters" if cause == _UNKNOWN else f"/dead-letters?cause={quote(cause, safe='')}"
        asks.append(Ask("bad", "dead letters", title, path, words, since=newest[cause].completed_at))
    return asks


def asks_of_pools(pools: Iterable[PoolView]) -> list[Ask]:
    """Pools in which jobs wait and of which no agent is connected."""
    return [
        Ask(
            "bad",
            "no agent",
            pool.name,
            f"/jobs?pool={quote(pool.name, safe='')}&status=queued",
            f"{counted(pool.waiting, 'job waits', 'jobs wait')} in pool {pool.name} and no agent of it is connected."
            f" Start one: `hybridci agent --pool {pool.name}`, with a key of the pool (docs/agents.md).",
        )
        for pool in pools
        if unserved(pool)
    ]


def unserved(pool: PoolView) -> bool:
    """Jobs wait in it and none of its agents is connected."""
    return pool.waiting > 0 and not any(
        count for status, count in pool.agents.items() if status != AgentStatus.OFFLINE.value
    )


def broken(jobs: Iterable[JobSummary], deployments: Iterable[DeploymentSummary], since: int, most: int) -> list[Broken]:
    """What ended badly since then, newest first, at most so many. What somebody cancelled is not among it."""
    rows = [
        Broken(
            f"/jobs/{job.job_id}",
            f"{job.job_type} {job.job_id[:8]}",
            job.status.value,
            job.error_message or job.cause or "",
            job.completed_at or job.created_at,
        )
        for job in jobs
    ]
    rows += [
        Broken(
            f"/deployments/{each.deployment_id}",
            f"{each.service_name} {each.version}",
            each.status.value,
            each.error_message or each.cause or "",
            each.completed_at or each.updated_at,
        )
        for each in deployments
        if each.cause != CANCELLED
    ]
    return sorted((row for row in rows if row.at >= since), key=lambda row: row.at, reverse=True)[:most]


def _ask_of(each: DeploymentSummary) -> Ask | None:
    title, path = f"{each.service_name} {each.version}", f"/deployments/{each.deployment_id}"
    if each.status is DeploymentStatus.FAILED:
        if each.cause != ROLLBACK_FAILED:
            return None
        return Ask("bad", "rollback failed", title, path, each.error_message or "", since=each.updated_at)
    if not each.waits_for:
        return None
    decide = each.status is DeploymentStatus.LIVE
    tone, kind = ("bad", "decide") if decide else ("wait", each.environment or "waits")
    return Ask(tone, kind, title, path, plainly(each.waits_for), by=each.git_author, since=each.updated_at)
