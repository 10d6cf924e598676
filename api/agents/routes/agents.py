"""Agents: register, heartbeat, list, look at, drain, pause, resume, deregister.

An agent's own requests ask for ``agent:work``; one with a token of its own speaks for itself only. Deliberately not
here: what an agent delivers for its attempts (``attempts.routes.delivery``) and pools (``pools``).
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from api.agents.lean import LeanRoute, reads
from api.agents.ports import AgentPorts, AgentPortsDep
from api.agents.registration import end_token, register_agent
from api.agents.schemas import (
    AgentView,
    AgentViews,
    PauseRequest,
    ReasonRequest,
    Registered,
    StatusRequest,
    agent_view,
)
from api.auth.guard import Caller, require
from api.auth.origin import Origin, OriginDep
from api.auth.principal import Principal
from api.http.answers import PageQuery, json_answer
from api.http.bodies import json_body
from api.http.errors import ApiError, ProblemCode
from api.ports import services_of
from workflows.contracts.access import Operation
from workflows.contracts.agents import Agent, AgentQuery, AgentRegistration, AgentStatus, Heartbeat, HeartbeatAnswer
from workflows.contracts.fields import Name

router = APIRouter(prefix="/api/agents", tags=["agents"])
often = APIRouter(prefix="/api/agents", tags=["agents"], route_class=LeanRoute)
"""What ten thousand agents send 670 times a second; included before all others, which are asked one after another."""
_read_heartbeat: Final = json_body(Heartbeat)
_CREATED: Final = 201


class AgentListQuery(PageQuery):
    """Which agents a list shows. A page filtered by status can be short while there are more."""

    pool: Name | None = None
    status: AgentStatus | None = None


class HealthyQuery(PageQuery):
    """Of which pool; default all."""

    pool: Name | None = None


@router.post(
    "/register",
    name="register_agent",
    status_code=_CREATED,
    response_model=Registered,
    summary="Register an agent",
)
async def register(
    registration: Annotated[AgentRegistration, Depends(json_body(AgentRegistration))],
    ports: AgentPortsDep,
    origin: OriginDep,
) -> Response:
    """With the pool's key, or again with the agent's own token. The answer holds the token it works with from now on;
    409 while another host is alive under this name.
    """
    _itself(origin.caller, registration.agent_id)
    require(origin.caller, Operation.AGENT_WORK, pool=registration.pool)
    answer = await register_agent(ports, registration, origin)
    return json_answer(answer.model_dump_json().encode(), _CREATED)


router.post("", name="create_agent", status_code=_CREATED, response_model=Registered, summary="Register an agent")(
    register
)


@router.get("", response_model=AgentViews, summary="List agents by id")
async def list_agents(listing: Annotated[AgentListQuery, Query()], ports: AgentPortsDep, caller: Caller) -> Response:
    """With how they are at this moment. Go on until ``next_cursor`` is null."""
    query = AgentQuery(pool=listing.pool, limit=listing.limit, cursor=listing.cursor)
    page = await ports.fleet.registry.list(query)
    views = await _views(ports, caller, page.items)
    chosen = [view for view in views if listing.status in (None, view.status)]
    return json_answer(AgentViews(items=chosen, next_cursor=page.next_cursor).model_dump_json().encode())


@router.get("/healthy", response_model=AgentViews, summary="List the healthy agents by id")
async def list_healthy_agents(
    listing: Annotated[HealthyQuery, Query()], ports: AgentPortsDep, caller: Caller
) -> Response:
    """Those of which nothing is wrong; ``accepting`` tells whether one takes jobs now. The cursor is an agent's id."""
    members = await ports.fleet.registry.members(listing.pool)
    after = listing.cursor or ""
    now = ports.clock()
    members = [each for each in members if each.agent_id > after]
    healthy = [each for each in _seen(ports, caller, members) if each.status(now) is AgentStatus.HEALTHY]
    items, more = await _shown(ports, healthy[: listing.limit]), len(healthy) > listing.limit
    page = AgentViews(items=items, next_cursor=items[-1].agent_id if more else None)
    return json_answer(page.model_dump_json().encode())


@router.get("/{agent_id}", response_model=AgentView, summary="Show an agent")
async def get_agent(agent_id: str, ports: AgentPortsDep, caller: Caller) -> Response:
    """How it is, what it runs, why it takes nothing."""
    agent = await ports.fleet.registry.get(agent_id)
    require(caller, Operation.READ, pool=agent.pool)
    return await _answer(ports, agent)


@often.post("/{agent_id}/heartbeat", response_model=HeartbeatAnswer, summary="An agent is alive")
@reads(_read_heartbeat)
async def agent_heartbeat(request: Request, agent_id: str) -> Response:
    """Every 15 s. The answer says whether to take new jobs, and which demands for labels to look for. 404: register."""
    ports = services_of(request)
    caller: Principal = request.scope["principal"]
    _itself(caller, agent_id)
    beat = await _read_heartbeat(request)
    own = caller.credential_id if caller.agent_id is not None else None
    heartbeats = ports.fleet.heartbeats
    agent = await heartbeats.agent(agent_id, own)
    require(caller, Operation.AGENT_WORK, pool=agent.pool)
    return json_answer((await heartbeats.take(agent, beat, own)).model_dump_json().encode())


@router.post("/{agent_id}/deregister", response_model=AgentView, summary="An agent has ended")
async def deregister_agent(
    agent_id: str,
    asked: Annotated[ReasonRequest, Depends(json_body(ReasonRequest, optional=True))],
    ports: AgentPortsDep,
    origin: OriginDep,
) -> Response:
    """It says so itself when it ends: it is OFFLINE at once, its name is free and its token ends."""
    _itself(origin.caller, agent_id)
    return await _deregister(ports, origin, agent_id, asked, Operation.AGENT_WORK)


@router.delete("/{agent_id}", response_model=AgentView, summary="Deregister an agent")
async def delete_agent(
    agent_id: str,
    asked: Annotated[ReasonRequest, Depends(json_body(ReasonRequest, optional=True))],
    ports: AgentPortsDep,
    origin: OriginDep,
) -> Response:
    """Somebody knows that it is gone. One that is alive loses its token, and is back when its pool's key lets it in."""
    return await _deregister(ports, origin, agent_id, asked, Operation.AGENTS_OPERATE)


@router.post("/{agent_id}/drain", response_model=AgentView, summary="Let an agent finish and end")
async def drain_agent(
    agent_id: str,
    asked: Annotated[ReasonRequest, Depends(json_body(ReasonRequest, optional=True))],
    ports: AgentPortsDep,
    origin: OriginDep,
) -> Response:
    """It takes nothing new, finishes what it runs and ends. It learns so with its next heartbeat's answer."""
    await _operable(ports, origin, agent_id)
    signed = origin.who(asked.reason)
    return await _changed(ports, await ports.fleet.registry.drain(agent_id, signed=signed))


@router.post("/{agent_id}/pause", response_model=AgentView, summary="Let an agent take nothing new")
async def pause_agent(
    agent_id: str,
    asked: Annotated[PauseRequest, Depends(json_body(PauseRequest, optional=True))],
    ports: AgentPortsDep,
    origin: OriginDep,
) -> Response:
    """For ``seconds``, or until somebody resumes it; what it runs goes on. A second pause replaces the first."""
    await _operable(ports, origin, agent_id)
    signed = origin.who(asked.note)
    agent = await ports.fleet.registry.pause(agent_id, note=asked.note or "", seconds=asked.seconds, signed=signed)
    return await _changed(ports, agent)


@router.post("/{agent_id}/resume", response_model=AgentView, summary="Let an agent take jobs again")
async def resume_agent(
    agent_id: str,
    asked: Annotated[ReasonRequest, Depends(json_body(ReasonRequest, optional=True))],
    ports: AgentPortsDep,
    origin: OriginDep,
) -> Response:
    """After a pause or a drain; an agent that has already ended must be started."""
    await _operable(ports, origin, agent_id)
    signed = origin.who(asked.reason)
    return await _changed(ports, await ports.fleet.registry.resume(agent_id, signed=signed))


@router.patch("/{agent_id}/status", response_model=AgentView, summary="Say how an agent is to be")
async def set_agent_status(
    agent_id: str,
    asked: Annotated[StatusRequest, Depends(json_body(StatusRequest))],
    ports: AgentPortsDep,
    origin: OriginDep,
) -> Response:
    """HEALTHY resumes it, DRAINING drains it, OFFLINE deregisters it; DEGRADED is only ever found out."""
    await _operable(ports, origin, agent_id)
    signed = origin.who(asked.reason)
    agent = await ports.fleet.registry.set_status(agent_id, asked.status, signed=signed)
    if agent.deregistered_at is not None:
        await end_token(ports, agent.credential_id, origin)
    return await _changed(ports, agent)


async def _deregister(
    ports: AgentPorts, origin: Origin, agent_id: str, asked: ReasonRequest, operation: Operation
) -> Response:
    present = await ports.fleet.registry.get(agent_id)
    require(origin.caller, operation, pool=present.pool)
    agent = await ports.fleet.registry.deregister(agent_id, signed=origin.who(asked.reason))
    await end_token(ports, agent.credential_id, origin)
    return await _changed(ports, agent)


async def _operable(ports: AgentPorts, origin: Origin, agent_id: str) -> None:
    """Raises NotFound, ApiError forbidden."""
    agent = await ports.fleet.registry.get(agent_id)
    require(origin.caller, Operation.AGENTS_OPERATE, pool=agent.pool)


def _itself(caller: Principal, agent_id: str) -> None:
    """A token of one agent speaks for no other. Raises ApiError forbidden."""
    if caller.agent_id is not None and caller.agent_id != agent_id:
        raise ApiError(
            ProblemCode.FORBIDDEN,
            f"This token was given to agent {caller.agent_id} and speaks for no other. Register this agent with the"
            " key of its pool.",
        )


async def _views(ports: AgentPorts, caller: Principal, agents: list[Agent]) -> list[AgentView]:
    return await _shown(ports, _seen(ports, caller, agents))


def _seen(ports: AgentPorts, caller: Principal, agents: list[Agent]) -> list[Agent]:
    """As far as the caller may see them, with their last heartbeats."""
    heartbeats = ports.fleet.heartbeats
    return [heartbeats.seen(agent) for agent in agents if caller.may(Operation.READ, pool=agent.pool)]


async def _shown(ports: AgentPorts, agents: list[Agent]) -> list[AgentView]:
    now, completed = ports.clock(), await ports.reader.completed_by([agent.agent_id for agent in agents])
    return [agent_view(agent, now, completed[agent.agent_id]) for agent in agents]


async def _changed(ports: AgentPorts, agent: Agent) -> Response:
    ports.fleet.changed(agent, began_anew=agent.deregistered_at is not None)
    return await _answer(ports, agent)


async def _answer(ports: AgentPorts, agent: Agent) -> Response:
    (view,) = await _shown(ports, [ports.fleet.heartbeats.seen(agent)])
    return json_answer(view.model_dump_json().encode())
