"""What an agent says of itself, what is kept of it, and what a pool is.

An agent registers, then sends a heartbeat; whether it is well is worked out when somebody looks, from its last
heartbeat, so that nothing needs to run for a lost agent to be seen as lost. Times are epoch milliseconds.
Deliberately not here: what an agent runs (``attempts``) and how HTTP agents claim it (``claims``).
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from workflows.contracts.base import Frozen, Tolerant
from workflows.contracts.fields import Line, Millis, Name, ReportedLine, ShortLine
from workflows.contracts.ids import AGENT_ID_PATTERN, DEFAULT_POOL
from workflows.contracts.labels import LabelKey, LabelValue
from workflows.contracts.tasks import MAX_KINDS, KindName

HEARTBEAT_SECONDS: Final = 15
LATE_SECONDS: Final = 25
"""A heartbeat older than this is late: DEGRADED."""
OFFLINE_SECONDS: Final = 40
"""A heartbeat older than this: OFFLINE. With what a heartbeat waits to be stored, a lost agent shows within 45 s."""
SERVER_KEEPS_CONNECTIONS_SECONDS: Final = 75
"""So long the API keeps a connection that is idle."""
AGENT_KEEPS_CONNECTIONS_SECONDS: Final = 55
"""Several heartbeats long; below the server's and the 60 s of usual proxies, so that an idle connection is closed by
the agent and never under a request.
"""
STORE_WITHIN_SECONDS: Final = 3
"""So long at most the API collects heartbeats before it stores them together."""
MAX_SEQUENCE: Final = 2**53
MOST_AHEAD: Final = 1 << 36
"""A heartbeat's number may be so far ahead of the last one that was heard a moment ago. An agent counts from a new
multiple of 2**32 at each start, and starts less than 16 times in LATE_SECONDS.
"""
MEMORY_LIMIT_PERCENT: Final = 95.0
DISK_LIMIT_PERCENT: Final = 95.0
SKEW_LIMIT_SECONDS: Final = 30
"""A clock that is further off than a heartbeat's way can be: what the agent says of times is wrong."""
QUARANTINE_FIRST_SECONDS: Final = 10
QUARANTINE_LONGEST_SECONDS: Final = 3600
MAX_AGENT_LABELS: Final = 64
"""Without those that an agent has by what its version knows (``workspace.features``)."""
_MAX_ALL_LABELS: Final = MAX_AGENT_LABELS + 64

AgentName = Annotated[str, StringConstraints(pattern=AGENT_ID_PATTERN)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
PublicKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$")]
Note = Annotated[Line, StringConstraints(max_length=1024)]


class AgentStatus(StrEnum):
    """DEGRADED: its heartbeat is late, its disk or memory nearly full, its clock wrong, or it is quarantined.

    A busy CPU is none of these: an agent is there to work. DRAINING: it finishes what it runs.
    """

    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    OFFLINE = "OFFLINE"
    DRAINING = "DRAINING"


class AgentRegistration(Frozen):
    """``POST /api/agents/register``. ``instance``: a random word, made once for each state directory, that tells two
    hosts with one name apart. ``public_keys``: of the pool keys it can open sealed values with, newest first.
    ``tasks``: the kinds of questions it answers besides its jobs; none is left out, for an API that does not know them.
    """

    agent_id: AgentName
    instance: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
    pool: Name = DEFAULT_POOL
    capacity: int = Field(default=1, ge=1, le=1000)
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict[str, str], max_length=_MAX_ALL_LABELS)
    region: ShortLine = ""
    hostname: ShortLine = ""
    version: ShortLine = ""
    via: Annotated[str, StringConstraints(pattern=r"^(temporal|http)$")] = "temporal"
    public_keys: list[PublicKey] = Field(default_factory=list[str], max_length=8)
    tasks: list[KindName] = Field(default_factory=list[str], max_length=MAX_KINDS, exclude_if=lambda kinds: not kinds)


class Heartbeat(Frozen):
    """``POST /api/agents/{id}/heartbeat``. ``sequence`` grows with each: one that comes late changes nothing, and one
    that is more than MOST_AHEAD beyond the last is refused.

    ``at`` is the agent's clock, only to show how far it is off; the server's own decides. ``running``: job ids.
    """

    sequence: int = Field(ge=0, le=MAX_SEQUENCE)
    at: Millis | None = None
    cpu_percent: Percent | None = None
    memory_percent: Percent | None = None
    disk_percent: Percent | None = None
    load: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    running: list[Annotated[str, StringConstraints(max_length=64)]] = Field(default_factory=list[str], max_length=1000)
    accepting: bool = True
    draining: bool = False
    quarantined_until: Millis | None = None
    quarantine_failures: int = Field(default=0, ge=0)
    quarantine_reason: Annotated[ReportedLine, StringConstraints(max_length=1024)] | None = None
    version: ShortLine | None = None
    labels: dict[LabelKey, LabelValue] | None = Field(default=None, max_length=_MAX_ALL_LABELS)
    region: ShortLine | None = None


class HeartbeatAnswer(Tolerant):
    """What the agent is to do. ``accepting`` False: take nothing new; ``note`` says why. ``drain``: finish and end.

    ``requirements``: the demands for which jobs of its pool may wait and which it meets; it polls their queues too.
    """

    status: AgentStatus
    accepting: bool = True
    drain: bool = False
    note: str | None = None
    requirements: list[list[str]] = Field(default_factory=list[list[str]])
    heartbeat_seconds: int = HEARTBEAT_SECONDS


class AgentBeat(Tolerant):
    """The last heartbeat as it is kept. ``received_at`` by the server's clock, ``skew_ms`` is the agent's minus it."""

    agent_id: str
    pool: str
    instance: str = ""
    sequence: int
    received_at: Millis
    skew_ms: int | None = None
    cpu_percent: float | None = None
    memory_percent: float | None = None
    disk_percent: float | None = None
    load: float | None = None
    running: list[str] = Field(default_factory=list[str])
    accepting: bool = True
    draining: bool = False
    quarantined_until: Millis | None = None
    quarantine_failures: int = 0
    quarantine_reason: str | None = None


class Agent(Tolerant):
    """The record of an agent. ``revision`` grows with each write of the record; heartbeats are kept beside it.

    ``paused_until`` 0 means until somebody resumes it. ``credential_id`` is the token it was given.
    """

    agent_id: str
    instance: str
    pool: str
    capacity: int = 1
    labels: dict[str, str] = Field(default_factory=dict[str, str])
    region: str = ""
    hostname: str = ""
    version: str = ""
    via: str = "temporal"
    public_keys: list[str] = Field(default_factory=list[str])
    tasks: list[str] = Field(default_factory=list[str], exclude_if=lambda kinds: not kinds)
    registered_at: Millis
    registered_by: str = ""
    draining: bool = False
    paused_at: Millis | None = None
    paused_until: Millis | None = None
    note: str | None = None
    deregistered_at: Millis | None = None
    credential_id: str | None = None
    revision: int = 1
    beat: AgentBeat | None = None

    @property
    def seen_at(self) -> int:
        """When it was last heard of."""
        return max(self.registered_at, self.beat.received_at if self.beat is not None else 0)

    def paused(self, now: int) -> bool:
        """True as long as somebody's pause holds."""
        return self.paused_at is not None and (not self.paused_until or now < self.paused_until)

    def quarantined(self, now: int) -> bool:
        """True while it keeps away from work on which it failed."""
        return self.beat is not None and (self.beat.quarantined_until or 0) > now

    def status(self, now: int) -> AgentStatus:
        """How it is. ``now`` in epoch milliseconds, the server's clock."""
        silent = now - self.seen_at
        if self.deregistered_at is not None or silent > OFFLINE_SECONDS * 1000:
            return AgentStatus.OFFLINE
        if self.draining or (self.beat is not None and self.beat.draining):
            return AgentStatus.DRAINING
        if self.late(now) or self.over_limits() or self.quarantined(now) or self.skewed():
            return AgentStatus.DEGRADED
        return AgentStatus.HEALTHY

    def late(self, now: int) -> bool:
        """True when its heartbeat should have come by now."""
        return now - self.seen_at > LATE_SECONDS * 1000

    def skewed(self) -> bool:
        """True while its clock is too far from the server's, either way."""
        return self.beat is not None and abs(self.beat.skew_ms or 0) > SKEW_LIMIT_SECONDS * 1000

    def over_limits(self) -> list[str]:
        """The metrics that are over their limit, in words."""
        beat = self.beat
        if beat is None:
            return []
        measured = (
            ("memory", beat.memory_percent, MEMORY_LIMIT_PERCENT),
            ("disk", beat.disk_percent, DISK_LIMIT_PERCENT),
        )
        return [f"{name} {value:.0f} %" for name, value, limit in measured if value is not None and value > limit]

    def answers(self, kind: str, now: int) -> bool:
        """True when it can be asked such a question now. An agent over HTTP never is: it polls no task queue."""
        return self.via == "temporal" and kind in self.tasks and self.accepts(now)

    def accepts(self, now: int) -> bool:
        """True when it takes new jobs."""
        alive = self.status(now) in {AgentStatus.HEALTHY, AgentStatus.DEGRADED}
        return alive and not self.paused(now) and not self.quarantined(now)


class AgentQuery(Tolerant):
    """Which agents a list shows, by id."""

    pool: str | None = None
    limit: int = Field(default=50, ge=1, le=100)
    cursor: str | None = None


class AgentPage(Tolerant):
    """One page of agents, by id."""

    items: list[Agent]
    next_cursor: str | None = None


class PoolBounds(Frozen):
    """``POST /api/agents/pools/{name}/scale``: how many agents a scaler may run, and how long a job may wait.

    ``slots_per_agent`` is what a new agent would offer; None: as those that are there.
    """

    min_agents: int = Field(default=0, ge=0, le=10_000)
    max_agents: int = Field(default=10, ge=0, le=10_000)
    target_wait_seconds: int = Field(default=30, ge=1, le=86_400)
    slots_per_agent: int | None = Field(default=None, ge=1, le=1000)


class Pool(Tolerant):
    """What is kept of a pool. ``public_keys``: what the agents that registered last say, newest first.
    ``sealing_keys``: those that an operator has pinned, to which alone values are sealed; the first is used.
    """

    name: str
    bounds: PoolBounds | None = None
    public_keys: list[str] = Field(default_factory=list[str])
    sealing_keys: list[str] = Field(default_factory=list[str])
    created_at: Millis
    updated_at: Millis
    updated_by: str = ""
    revision: int = 1


class RequirementDemand(Tolerant):
    """A demand for labels for which jobs of a pool wait or waited lately."""

    requires: list[str]
    last_used_at: Millis
    waiting: int = 0
    agents: int = 0


class PoolView(Tolerant):
    """A pool as people and scalers see it. ``depth``: waiting jobs by priority. Times in seconds.

    ``desired_agents`` is what a scaler should run: enough slots for what runs and for the queue to be worked off within
    the wait target, inside the bounds.
    """

    name: str
    depth: dict[str, int] = Field(default_factory=dict[str, int])
    waiting: int = 0
    oldest_wait_seconds: float = 0
    agents: dict[str, int] = Field(default_factory=dict[str, int], description="Number of agents by status.")
    slots: int = 0
    busy: int = 0
    free: int = 0
    desired_agents: int = 0
    desired_slots: int = 0
    bounds: PoolBounds = PoolBounds()
    bounded: bool = Field(default=False, description="Somebody set the bounds; otherwise they are the defaults.")
    demands: list[RequirementDemand] = Field(default_factory=list[RequirementDemand])
    public_keys: list[str] = Field(default_factory=list[str], description="What its agents say; nobody vouches for it.")
    sealing_keys: list[str] = Field(default_factory=list[str], description="Pinned by an operator; the first is used.")
