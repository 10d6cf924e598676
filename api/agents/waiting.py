"""What a queued job waits for, in words, when that is more than its turn. Pure.

Deliberately not here: whose agents are asked (``fleet``), and a job's place in line, which nobody knows exactly.
"""

from collections.abc import Sequence

from workflows.contracts.agents import Agent, AgentStatus
from workflows.contracts.jobs import Job
from workflows.contracts.labels import unmet
from workflows.contracts.statuses import JobStatus
from workflows.contracts.workspace.lost import waited_for
from workflows.contracts.workspace.resume import RESUME_WAIT_SECONDS


def is_waiting(job: Job, now: int) -> bool:
    """True for a job that only lacks an agent: not for one whose next try is still to come."""
    return job.status in {JobStatus.PENDING, JobStatus.QUEUED} and (job.next_attempt_at or 0) <= now


def takes(agent: Agent, job: Job, now: int) -> bool:
    """True for an agent that could take the job at any moment."""
    return agent.accepts(now) and not unmet(agent.labels, job.requires)


def waits_for_its_agent(job: Job, now: int) -> str | None:
    """Why it waits although others are free: one agent has what it has done, and is given a while. Else None."""
    lost = waited_for(job)
    left = (job.queued_at or 0) / 1000 + RESUME_WAIT_SECONDS - now / 1000
    if lost is None or left <= 0:
        return None
    return f"waits for agent {lost.agent_id}, which has its finished steps; in {left:.0f} s any agent may begin it anew"


def waits_for(job: Job, agents: Sequence[Agent], now: int) -> str | None:
    """Why no agent of the job's pool takes it, or None when one may at any moment. ``agents``: all of its pool."""
    connected = [agent for agent in agents if agent.status(now) is not AgentStatus.OFFLINE]
    if not connected:
        return f"no agent of pool {job.pool} is connected"
    fitting = [agent for agent in connected if not unmet(agent.labels, job.requires)]
    demands = ", ".join(job.requires)
    if not fitting:
        return f"waits for an agent with {demands} in pool {job.pool}: {_none_of(len(connected), len(job.requires))}"
    if any(takes(agent, job, now) for agent in fitting):
        return None
    states = " or ".join(sorted({_state(agent, now) for agent in fitting}))
    return f"all agents of pool {job.pool}{f' with {demands}' if demands else ''} are {states}"


def _none_of(agents: int, demands: int) -> str:
    what = "it" if demands == 1 else "all of these"
    return f"1 agent there, without {what}" if agents == 1 else f"{agents} agents there, none has {what}"


def _state(agent: Agent, now: int) -> str:
    if agent.status(now) is AgentStatus.DRAINING:
        return "draining"
    return "paused" if agent.paused(now) else "quarantined"
