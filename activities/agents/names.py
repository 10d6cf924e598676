"""Whether an agent may register under a name: two hosts must never answer to one. Pure.

Deliberately not here: whether the caller may register agents at all (``api.auth``).
"""

from workflows.contracts.agents import OFFLINE_SECONDS, Agent, AgentRegistration, AgentStatus
from workflows.contracts.errors import Conflict, NotFound


def check_name(present: Agent | None, registration: AgentRegistration, now: int) -> None:
    """Raises Conflict while the name belongs to another instance, or another host, that is alive.

    A copied state directory gives two hosts one instance, so the host counts too.
    """
    if present is None or present.status(now) is AgentStatus.OFFLINE:
        return
    same_host = registration.hostname == present.hostname
    if registration.instance == present.instance and same_host:
        return
    agent_id, host = present.agent_id, present.hostname or "an unnamed host"
    silent = max(0, now - present.seen_at) // 1000
    who = (
        "Another agent" if registration.instance != present.instance else "An agent with a copy of this state directory"
    )
    raise Conflict(
        f"{who} is alive on {host} under the name {agent_id}, last heard of {silent} s ago. Give this agent a name of "
        f"its own (--id or HYBRIDCI_AGENT_ID) and a state directory of its own. If that other one was this agent "
        f"before, register again {OFFLINE_SECONDS} s after it was last heard of, or deregister it: "
        f"`hybridci agents deregister {agent_id}`.",
        agent_id=agent_id,
        hostname=present.hostname,
        seen_at=present.seen_at,
        retry_after_seconds=max(1, OFFLINE_SECONDS + 1 - silent),
    )


def no_such_agent(agent_id: str) -> NotFound:
    """The error for an agent that was never registered, or was forgotten."""
    return NotFound(
        f"There is no agent {agent_id[:128]}. An agent registers with POST /api/agents/register; "
        "`hybridci agents list` shows those that did.",
        agent_id=agent_id,
    )


def must_register(agent_id: str) -> NotFound:
    """The error for an agent at work that has no standing any more."""
    return NotFound(
        f"Agent {agent_id[:128]} is not registered, or was deregistered: register again with POST "
        "/api/agents/register, then go on.",
        agent_id=agent_id,
        register_again=True,
    )
