"""Everything one API process knows of agents and pools, put together.

Deliberately not here: what routes answer (``routes.agents``, ``routes.pools``).
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from activities.agents.registry import AgentRegistry
from activities.clock import Clock, epoch_millis
from activities.jobs.readers import JobReader
from api.agents.heartbeats import Heartbeats
from api.agents.pool_views import PoolQueues, PoolReader
from api.agents.roster import Roster
from api.agents.waiting import is_waiting, takes, waits_for, waits_for_its_agent
from workflows.contracts.agents import Agent
from workflows.contracts.errors import HybridCIError
from workflows.contracts.jobs import Job

logger = logging.getLogger(__name__)
_WAIT_SECONDS: Final = 1.0
"""A job is shown without what it waits for rather than late."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The registry, and what is kept of it in memory."""

    registry: AgentRegistry
    roster: Roster
    heartbeats: Heartbeats
    pools: PoolReader
    clock: Clock

    @classmethod
    def of(
        cls,
        registry: AgentRegistry,
        jobs: JobReader,
        queues: Callable[[], PoolQueues],
        *,
        clock: Clock = epoch_millis,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> "Fleet":
        """On a registry; ``queues`` raises Unavailable as long as Temporal was never reached."""
        roster = Roster(registry, clock=monotonic)
        heartbeats = Heartbeats(registry, roster, clock=clock)
        return cls(
            registry, roster, heartbeats, PoolReader(registry, roster, heartbeats, jobs, queues, clock=clock), clock
        )

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Heartbeats are stored while the context is entered, and the last of them when it is left."""
        storing = asyncio.create_task(self.heartbeats.run(), name="store heartbeats")
        try:
            yield
        finally:
            storing.cancel()
            with suppress(asyncio.CancelledError):
                await storing
            try:
                await self.heartbeats.flush()
            except HybridCIError as error:  # they come again, to whichever process is there then
                logger.warning("the last heartbeats were not stored", extra={"error": error.message})

    def changed(self, agent: Agent, *, began_anew: bool = False) -> None:
        """This process wrote the agent's record; ``began_anew``: what it said before counts no more."""
        if began_anew:
            self.heartbeats.registered(agent.agent_id)
        self.roster.changed(agent)
        self.pools.changed(agent.pool)

    async def waits_for(self, job: Job) -> str | None:
        """Why no agent takes a job that is queued, or None. Never late and never an error: it is a help only."""
        now = self.clock()
        if not is_waiting(job, now):
            return None
        if (waits := waits_for_its_agent(job, now)) is not None:
            return waits
        try:
            agents = await asyncio.wait_for(self.roster.agents(job.pool), _WAIT_SECONDS)
        except (HybridCIError, TimeoutError) as error:
            logger.info("not told what a job waits for", extra={"job_id": job.job_id, "error": str(error)})
            return None
        # Of a large pool some agent near the beginning can take nearly every job.
        if any(takes(self.heartbeats.seen(agent), job, now) for agent in agents):
            return None
        return waits_for(job, [self.heartbeats.seen(agent) for agent in agents], now)
