"""How an agent comes in: its record, and the token it works with from then on.

Deliberately not here: who may register which agent (the route) and the record itself (``AgentRegistry``).
"""

import logging
from typing import Final

from api.agents.ports import AgentPorts
from api.agents.schemas import Registered, agent_view
from api.auth.issuing import Issued, issue, revoke
from api.auth.origin import Origin
from api.auth.principal import Principal
from api.http.errors import ApiError, ProblemCode
from workflows.contracts.access import CredentialKind, Grant, Operation, Role
from workflows.contracts.agents import HEARTBEAT_SECONDS, Agent, AgentRegistration
from workflows.contracts.errors import FieldError, HybridCIError, NotFound, ValidationFailed

logger = logging.getLogger(__name__)

TOKEN_SECONDS: Final = 24 * 3600
GRACE_SECONDS: Final = 60
"""So long an agent's earlier token works beside the new one: requests may be under way."""
_TAKEN: Final = frozenset({"register", "healthy", "pools"})
"""Names that are addresses of their own below ``/api/agents``."""
_OTHERS: Final = frozenset({Role.ADMIN, Role.AGENT, "environment", "hybridci", "temporal", "workflow"})
"""Names that mean somebody else in the audit trail, where an agent is told by its own."""


async def register_agent(ports: AgentPorts, registration: AgentRegistration, origin: Origin) -> Registered:
    """Make the record and a token; the agent's earlier token ends.

    Raises Conflict while another host is alive under the name, ApiError forbidden when the name is that of an agent in
    a pool out of the caller's reach, ValidationFailed, Unavailable.
    """
    if registration.agent_id in _TAKEN | _OTHERS:
        what = "an address of the API" if registration.agent_id in _TAKEN else "somebody else in the audit trail"
        message = f"is {what}; give the agent another name"
        raise ValidationFailed(
            f"agent_id: {registration.agent_id} {message}.", [FieldError(field="agent_id", message=message)]
        )
    registry = ports.fleet.registry
    before = await registry.admit(registration)
    if before is not None and before.pool != registration.pool:
        _require_reach(origin.caller, before)
    issued = await _token(ports, registration, origin)
    token = issued.credential
    try:
        agent = await registry.register(registration, credential_id=token.credential_id, signed=origin.who())
    except HybridCIError:
        await end_token(ports, token.credential_id, origin)
        raise
    ports.fleet.changed(agent, began_anew=True)
    if before is not None:
        same = before.pool == agent.pool and before.instance == agent.instance
        await end_token(ports, before.credential_id, origin, grace_seconds=GRACE_SECONDS if same else 0)
    completed = await ports.reader.completed_by([agent.agent_id])
    return Registered(
        agent=agent_view(agent, ports.clock(), completed[agent.agent_id]),
        token=issued.token,
        token_expires_at=token.expires_at,
        heartbeat_seconds=HEARTBEAT_SECONDS,
        gateway=ports.gateway,
    )


async def end_token(ports: AgentPorts, credential_id: str | None, origin: Origin, *, grace_seconds: int = 0) -> None:
    """End an agent's token, if it had one that is still known. Raises Unavailable."""
    if credential_id is None:
        return
    try:
        await revoke(ports, credential_id, by=origin, grace_seconds=grace_seconds)
    except NotFound:
        logger.debug("the token has expired", extra={"credential_id": credential_id})


def _require_reach(caller: Principal, agent: Agent) -> None:
    """Taking a name ends the token of the agent that has it. One that is silent may only be cut off for a while."""
    if agent.deregistered_at is None and not caller.may(Operation.AGENT_WORK, pool=agent.pool):
        raise ApiError(
            ProblemCode.FORBIDDEN,
            f"Agent {agent.agent_id} is one of pool {agent.pool}, which {caller.id} does not reach. Give this agent a"
            " name of its own (--id or HYBRIDCI_AGENT_ID); if it is that agent and moves to another pool, have it"
            f" deregistered first: `hybridci agents deregister {agent.agent_id}`.",
        )


async def _token(ports: AgentPorts, registration: AgentRegistration, origin: Origin) -> Issued:
    return await issue(
        ports,
        kind=CredentialKind.AGENT,
        subject=registration.agent_id,
        name=f"agent {registration.agent_id}",
        grants=[Grant(role=Role.AGENT, pools=[registration.pool])],
        ttl_seconds=TOKEN_SECONDS,
        by=origin,
        agent_id=registration.agent_id,
        admission=origin.caller.admission,
    )
