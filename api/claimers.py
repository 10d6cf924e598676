"""What the registry says of agents that claim over HTTP: which queues they may poll, and why they may not at all.

An agent that never registered may claim too, if its key may: nobody sees it, and nobody can drain it. One that reports
failures of its own is kept away from jobs for a while, as agents with a Temporal worker keep themselves away.
Deliberately not here: the claim itself (``claims``), whose key may do what (``auth``).
"""

from dataclasses import dataclass
from typing import Final

from activities.clock import Clock
from api.heartbeats import Heartbeats
from api.roster import Roster
from workflows.contracts.agents import QUARANTINE_FIRST_SECONDS, QUARANTINE_LONGEST_SECONDS, Agent
from workflows.contracts.claims import ClaimRequest
from workflows.contracts.errors import InvalidState, NotFound
from workflows.contracts.ids import pool_queue
from workflows.contracts.statuses import Outcome

_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Quarantine:
    """``until`` in epoch milliseconds."""

    failures: int
    until: int


class Claimers:
    """For one API process: each counts the failures that were reported to it."""

    def __init__(self, roster: Roster, heartbeats: Heartbeats, *, clock: Clock) -> None:
        self._roster, self._heartbeats, self._clock = roster, heartbeats, clock
        self._quarantines: dict[str, _Quarantine] = {}

    async def queues(self, request: ClaimRequest) -> list[str]:
        """The pool's queue and those of the demands that the agent meets. Raises InvalidState and Unavailable."""
        agent = await self.admit(request)
        labels = {**agent.labels, **request.labels} if agent is not None else request.labels
        demands = (await self._roster.demands(request.pool)).met_by(labels)
        return [pool_queue(request.pool), *(pool_queue(request.pool, requires) for requires in demands)]

    async def admit(self, request: ClaimRequest) -> Agent | None:
        """The agent, when it is registered. Raises InvalidState when it may take no job now, and Unavailable."""
        now = self._clock()
        quarantine = self._quarantines.get(request.agent_id)
        if quarantine is not None and quarantine.until > now:
            raise _quarantined(request.agent_id, quarantine.failures, quarantine.until - now)
        try:
            agent = self._heartbeats.seen(await self._roster.agent(request.agent_id))
        except NotFound:
            return None
        _require_accepting(agent, request.pool, now)
        return agent

    def reported(self, agent_id: str, outcome: Outcome) -> None:
        """Count a failure of the agent's own; any other end but its own loss shows that it can run jobs."""
        if outcome is Outcome.AGENT_ERROR:
            known = self._quarantines.pop(agent_id, None)
            failures = 1 if known is None else known.failures + 1
            seconds = min(QUARANTINE_FIRST_SECONDS * 2 ** min(failures - 1, 20), QUARANTINE_LONGEST_SECONDS)
            self._quarantines[agent_id] = _Quarantine(failures, self._clock() + seconds * 1000)
            if len(self._quarantines) > _REMEMBERED:
                del self._quarantines[next(iter(self._quarantines))]
        elif outcome in {Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT}:
            self._quarantines.pop(agent_id, None)


def _require_accepting(agent: Agent, pool: str, now: int) -> None:
    name = agent.agent_id
    if agent.deregistered_at is not None:
        raise InvalidState(f"Agent {name} was deregistered: register it again with POST /api/agents/register.")
    if agent.pool != pool:
        raise InvalidState(
            f"Agent {name} is registered in pool {agent.pool}, not in {pool}: claim from its own pool, or register it"
            " again with the other one."
        )
    if agent.draining or (agent.beat is not None and agent.beat.draining):
        raise InvalidState(f"Agent {name} is draining: it may finish what it has and gets nothing new.")
    if agent.paused(now):
        until = f"for {(agent.paused_until - now) // 1000 + 1} s more" if agent.paused_until else "until it is resumed"
        raise InvalidState(f"Agent {name} is paused {until}{f' ({agent.note})' if agent.note else ''}.")
    if agent.beat is not None and agent.quarantined(now):
        raise _quarantined(name, agent.beat.quarantine_failures, (agent.beat.quarantined_until or now) - now)


def _quarantined(name: str, failures: int, millis: int) -> InvalidState:
    times = "once" if failures == 1 else f"{failures} times in a row"
    return InvalidState(
        f"Agent {name} is in quarantine for {millis // 1000 + 1} s more: it could not run jobs {times}. Look at its"
        " host; the first job that it runs ends this."
    )
