"""What waits for a person, what broke and what to do about each: the rows of `hybridci status`. Pure.

Which deployments, stops, dead letters and agents ask for somebody is decided in ``api.needs``, where the dashboard asks
too; here each gets the command that goes on with it, and an approval is told from one that the caller may not give.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.cli.commands.overview.gathering import Gathered
from api.cli.output import age, short_id
from api.needs import Ask, AskKind, Broken, asks_of, broken_of, unwell_agents
from workflows.contracts.agents import AgentStatus

_ORDER: Final = (
    (AskKind.PART, AskKind.STUCK, AskKind.POOL),
    (AskKind.ROLLBACK, AskKind.DECISION, AskKind.WAITS),
    (AskKind.DEAD_LETTERS,),
    (AskKind.HOLD, AskKind.FREEZE),
)
_APPROVAL: Final = "approval"


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
    asks = asks_of(found.told, now)
    groups = [[_need(ask, found) for ask in asks if ask.kind in kinds] for kinds in _ORDER]
    return [need for group in groups for need in sorted(group, key=lambda need: need.kind != _APPROVAL)]


def broke(found: Gathered, now: int) -> list[Need]:
    """What ended badly in the last 24 hours, newest first."""
    return [_broken(row) for row in broken_of(found.told, now)]


def agents_of(found: Gathered) -> list[Need]:
    """Agents that somebody should look at."""
    return [
        Need("agent", each.agent_id, "; ".join(each.words), f"agents show {each.agent_id}", each.last_heartbeat,
             urgent=each.status is not AgentStatus.HEALTHY)
        for each in unwell_agents(found.agents.items)
    ]  # fmt: skip


def _broken(row: Broken) -> Need:
    short, words = short_id(row.name), f"{row.status.lower().replace('_', ' ')}: {row.words}".rstrip(": ")
    if row.job:
        return Need("job", row.title, words, f"job logs {short}", row.at, urgent=False)
    return Need("deployment", f"{row.title} {short}", words, f"deploy show {short}", row.at, urgent=False)


def _need(ask: Ask, found: Gathered) -> Need:
    match ask.kind:
        case AskKind.PART:
            return Need(ask.kind, ask.title, ask.words, "doctor")
        case AskKind.STUCK:
            command = ask.name.removeprefix("hybridci ")
            return Need(ask.kind, ask.title, ask.words, command if command != ask.name else "health")
        case AskKind.POOL:
            return Need(ask.kind, f"pool {ask.title}", ask.words, f"pool show {ask.name}")
        case AskKind.DEAD_LETTERS:
            title = f"dead letters, {ask.title}"
            return Need(ask.kind, title, ask.words, f"dlq list --cause {ask.name}", ask.since)
        case AskKind.HOLD | AskKind.FREEZE:
            return _of_stop(ask)
        case AskKind.ROLLBACK | AskKind.DECISION | AskKind.WAITS:
            return _of_deployment(ask, found.approvals.get(ask.name) or {})


def _of_deployment(ask: Ask, approval: Mapping[str, Any]) -> Need:
    short, title = short_id(ask.name), f"{ask.title} {short_id(ask.name)}"
    if ask.kind is AskKind.ROLLBACK:
        return Need(ask.kind, title, f"its rollback failed: {ask.words}", f"deploy show {short}", ask.since)
    if ask.kind is AskKind.DECISION:
        return Need(ask.kind, title, ask.words, f"deploy show {short}", ask.since)
    if not approval.get("waits"):
        return Need(ask.kind, title, f"{ask.label}: {ask.words}", f"deploy show {short}", ask.since, urgent=False)
    if approval["you_may"]:
        words = f"{ask.label}: {approval.get('missing') or ask.words}; yours would count"
        return Need(_APPROVAL, title, words, f"deploy approve {short}", ask.since)
    words = f"{ask.label}: {ask.words}; not yours: {approval.get('why_not') or 'somebody else has to'}"
    return Need(ask.kind, title, words, f"deploy approval {short}", ask.since, urgent=False)


def _of_stop(ask: Ask) -> Need:
    if ask.environment:
        words = f"on hold by {ask.by}: {ask.words}" if ask.words else f"on hold by {ask.by}"
        return Need(ask.kind, ask.title, words, f"deploy release {ask.name} -e {ask.environment}", ask.since)
    until, urgent = f", ends {age(ask.ends_at)}" if ask.ends_at else "", ask.kind is AskKind.HOLD
    return Need(ask.kind, f"{ask.kind} {ask.title}", f"{ask.words}{until}", f"{ask.kind} list", ask.since, urgent)
