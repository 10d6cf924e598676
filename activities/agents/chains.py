"""Chains of agents. Logged at DEBUG: what is asked often, and heartbeats, which come every few seconds."""

from collections.abc import Sequence
from logging import DEBUG
from typing import Final

from codeuchain import Middleware

from activities.agents.links import (
    AdmitAgent,
    DeregisterAgent,
    DrainAgent,
    ForgetGoneAgents,
    ListAgents,
    ListPoolAgents,
    PauseAgent,
    RecordHeartbeats,
    RegisterAgent,
    ResumeAgent,
    RetrieveAgent,
    UpdateAgentStatus,
)
from activities.chaining.chains import NamedChain, build_chain, chain_of
from activities.clock import Clock, epoch_millis
from activities.pools.links import NotePool
from activities.stores.interfaces.agents import AgentStore


def build_register_agent_chain(
    store: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``registration``, ``signed`` and ``credential_id`` in, ``agent`` out."""
    return build_chain("RegisterAgent", [RegisterAgent(store, clock=clock), NotePool(store, clock=clock)], middleware)


def build_list_pool_agents_chain(
    store: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``pool`` in, ``agents`` out: all agents of a pool, or of every pool."""
    links = [ListPoolAgents(store), ForgetGoneAgents(store, clock=clock)]
    return build_chain("ListPoolAgents", links, middleware, level=DEBUG)


build_admit_agent_chain: Final = chain_of(AdmitAgent, level=DEBUG)
build_record_heartbeats_chain: Final = chain_of(RecordHeartbeats, level=DEBUG)
build_update_agent_status_chain: Final = chain_of(UpdateAgentStatus)
build_drain_agent_chain: Final = chain_of(DrainAgent)
build_pause_agent_chain: Final = chain_of(PauseAgent)
build_resume_agent_chain: Final = chain_of(ResumeAgent)
build_deregister_agent_chain: Final = chain_of(DeregisterAgent)
build_retrieve_agent_chain: Final = chain_of(RetrieveAgent, level=DEBUG)
build_list_agents_chain: Final = chain_of(ListAgents, level=DEBUG)
