"""The contexts that chains of agents and pools hand on.

Deliberately not here: how they are read (``base.require``).
"""

from typing import TypedDict

from activities.agents.heartbeats import Received
from activities.events.signatures import Signature
from workflows.contracts.agents import (
    Agent,
    AgentPage,
    AgentQuery,
    AgentRegistration,
    AgentStatus,
    Pool,
    PoolBounds,
    RequirementDemand,
)


class AgentRegistrationContext(TypedDict, total=False):
    """Chains AdmitAgent and RegisterAgent. ``credential_id`` is absent for an agent that has no token of its own."""

    registration: AgentRegistration
    credential_id: str
    signed: Signature
    admitted: list[Agent]
    agent: Agent


class AgentChangeContext(TypedDict, total=False):
    """The chains that change an agent's record. ``note`` and ``seconds`` are for a pause."""

    agent_id: str
    signed: Signature
    note: str
    seconds: int
    status: AgentStatus
    agent: Agent


class HeartbeatContext(TypedDict, total=False):
    """Chain RecordHeartbeats. ``recorded`` are the agents with what is known of them now."""

    received: list[Received]
    recorded: list[Agent]


class AgentReadContext(TypedDict, total=False):
    """The read chains of agents: each uses its question and its answer. ``pool`` is absent for all pools."""

    agent_id: str
    agent: Agent
    query: AgentQuery
    page: AgentPage
    pool: str
    agents: list[Agent]


class PoolContext(TypedDict, total=False):
    """The chains of pools."""

    name: str
    bounds: PoolBounds
    signed: Signature
    pool: Pool
    pools: list[Pool]
    demands: list[RequirementDemand]
