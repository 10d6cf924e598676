"""What waits for a person, what broke and what to do about each, from what the API answered. Pure.

Which deployments, stops and dead letters ask for somebody is decided where the dashboard decides it
(``api.dashboard.asks``); here each gets the command that goes on with it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.cli.commands.overview.gathering import Gathered
from api.cli.output import age, short_id
from api.dashboard.asks import (
    Ask,
    asks_of_dead_letters,
    asks_of_deployments,
    asks_of_lanes,
    asks_of_pools,
    asks_of_stops,
    broken,
)
from workflows.contracts.agents import AgentStatus
from workflows.contracts.repairs import StuckWorkflow

DAY_MS: Final = 86_400_000
_MOST_BROKEN: Final = 8


@dataclass(frozen=True, slots=True)
class Need:
    """A row. ``command``: what to do or to read next. ``kind``: approval, decision, rollback, dead_letters, hold,
    freeze, stuck, part, pool, agent, job, deployment. ``urgent``: a person is needed for it.
    """

    kind: str
    title: str
    words: str
    command: str
    at: int | None = None
    urgent: bool = True


def needs_of(found: Gathered, now: int) -> list[Need]:
    """What waits for somebody: what is wrong first, then what the caller can decide, then the rest."""
    pools = [_of_pool(ask) for ask in asks_of_pools(found.pools.items)]
    wrong = [*_unwell_parts(found), *_stuck(found), *pools]
    deployments = [_of_deployment(ask, found) for ask in asks_of_deployments([*found.waiting, *found.ended])]
    total = int(found.summary.get("jobs_dead_lettered", len(found.dead)))
    dead = [_dead_letters(ask) for ask in asks_of_dead_letters(found.dead, max(total, len(found.dead)))]
    stops = [_of_stop(ask) for ask in asks_of_stops(found.stops, now)]
    holds = [_of_hold(ask) for ask in asks_of_lanes(found.lanes.items)]
    deployments.sort(key=lambda need: need.kind != "approval")
    return [*wrong, *deployments, *dead, *holds, *stops]


def broke(found: Gathered, now: int) -> list[Need]:
    """What ended badly in the last 24 hours, newest first."""
    rows = broken([*found.failed, *found.dead], found.ended, now - DAY_MS, _MOST_BROKEN)
    return [_broken(row.path, row.title, row.status, row.words, row.at) for row in _once(rows)]


def agents_of(found: Gathered) -> list[Need]:
    """Agents that somebody should look at."""
    return [
        Need("agent", each.agent_id, "; ".join(each.words), f"agents show {each.agent_id}", each.last_heartbeat,
             urgent=each.status is not AgentStatus.HEALTHY)
        for each in found.agents.items
        if each.words and each.deregistered_at is None
    ]  # fmt: skip


def _once(rows: list[Any]) -> Iterator[Any]:
    seen: set[str] = set()
    for row in rows:
        if row.path not in seen:
            seen.add(row.path)
            yield row


def _broken(path: str, title: str, status: str, words: str, at: int) -> Need:
    kind, identity = path.strip("/").split("/")
    job = kind == "jobs"
    command = f"job logs {short_id(identity)}" if job else f"deploy show {short_id(identity)}"
    name = title if job else f"{title} {short_id(identity)}"
    return Need("job" if job else "deployment", name, f"{status.lower().replace('_', ' ')}: {words}".rstrip(": "),
                command, at, urgent=False)  # fmt: skip


def _unwell_parts(found: Gathered) -> list[Need]:
    return [Need("part", str(each["field"]), str(each["message"]), "doctor") for each in found.health.get("errors", [])]


def _stuck(found: Gathered) -> Iterator[Need]:
    for each in found.health.get("items", []):
        stuck = StuckWorkflow.model_validate(each)
        command = stuck.command.removeprefix("hybridci ")
        yield Need("stuck", str(stuck), "its workflow cannot go on", command if command != stuck.command else "health")


def _of_pool(ask: Ask) -> Need:
    return Need("pool", f"pool {ask.title}", ask.words, f"pool show {ask.title}")


def _of_deployment(ask: Ask, found: Gathered) -> Need:
    identity = ask.path.rpartition("/")[2]
    approval: Mapping[str, Any] = found.approvals.get(identity) or {}
    short, title = short_id(identity), f"{ask.title} {short_id(identity)}"
    if ask.kind == "rollback failed":
        return Need("rollback", title, f"its rollback failed: {ask.words}", f"deploy show {short}", ask.since)
    if ask.kind == "decide":
        return Need("decision", title, ask.words, f"deploy show {short}", ask.since)
    if not approval.get("waits"):
        return Need("waits", title, f"{ask.kind}: {ask.words}", f"deploy show {short}", ask.since, urgent=False)
    if approval["you_may"]:
        words = f"{ask.kind}: {approval.get('missing') or ask.words}; yours would count"
        return Need("approval", title, words, f"deploy approve {short}", ask.since)
    words = f"{ask.kind}: {ask.words}; not yours: {approval.get('why_not') or 'somebody else has to'}"
    return Need("waits", title, words, f"deploy approval {short}", ask.since, urgent=False)


def _dead_letters(ask: Ask) -> Need:
    cause = ask.title.replace(" ", "_")
    return Need("dead_letters", f"dead letters, {ask.title}", ask.words, f"dlq list --cause {cause}", ask.since)


def _of_hold(ask: Ask) -> Need:
    service, _, environment = ask.title.rpartition(" ")
    words = f"on hold by {ask.by}: {ask.words}" if ask.words else f"on hold by {ask.by}"
    return Need("hold", ask.title, words, f"deploy release {service} -e {environment}", ask.since)


def _of_stop(ask: Ask) -> Need:
    until = f", ends {age(ask.ends_at)}" if ask.ends_at else ""
    kind = "hold" if ask.kind == "hold" else "freeze"
    return Need(kind, f"{kind} {ask.title}", f"{ask.words}{until}", f"{kind} list", ask.since, urgent=kind == "hold")
