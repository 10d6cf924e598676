"""Pools: what waits, who is there, how many agents there should be, and within which bounds.

``GET /api/agents/pools/{name}`` is what a scaler polls; KEDA's `metrics-api` trigger reads ``desired_agents`` there.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from api.agents.ports import AgentPortsDep
from api.agents.schemas import PoolViews, ScaleRequest, SealingKeysRequest
from api.auth.guard import Caller, require
from api.auth.origin import OriginDep
from api.http.answers import json_answer
from api.http.bodies import json_body
from workflows.contracts.access import Operation
from workflows.contracts.agents import PoolView
from workflows.contracts.fields import Name

router = APIRouter(prefix="/api/agents/pools", tags=["pools"])
PoolName = Annotated[Name, Path(description="The pool's name.")]


@router.get("", response_model=PoolViews, summary="List pools by name")
async def list_pools(ports: AgentPortsDep, caller: Caller) -> Response:
    """Every pool that an agent ever registered for, that was given bounds, or in which jobs wait."""
    views = await ports.fleet.pools.views()
    mine = [view for view in views if caller.may(Operation.READ, pool=view.name)]
    return json_answer(PoolViews(items=mine).model_dump_json().encode())


@router.get("/{name}", response_model=PoolView, summary="Show a pool")
async def get_pool(name: PoolName, ports: AgentPortsDep, caller: Caller) -> Response:
    """A second or two old at most, however many ask."""
    require(caller, Operation.READ, pool=name)
    return json_answer((await ports.fleet.pools.view(name)).model_dump_json().encode())


@router.post("/{name}/scale", response_model=PoolView, summary="Set a pool's bounds")
async def scale_pool(
    name: PoolName,
    asked: Annotated[ScaleRequest, Depends(json_body(ScaleRequest))],
    ports: AgentPortsDep,
    origin: OriginDep,
) -> Response:
    """How many agents a scaler may run, and how long a job may wait. The pool need not have an agent yet."""
    require(origin.caller, Operation.AGENTS_OPERATE, pool=name)
    await ports.fleet.registry.scale(name, asked.bounds(), signed=origin.who(asked.reason))
    ports.fleet.pools.changed(name)
    return json_answer((await ports.fleet.pools.view(name)).model_dump_json().encode())


@router.put("/{name}/sealing-keys", response_model=PoolView, summary="Pin the keys to which values are sealed")
async def pin_sealing_keys(
    name: PoolName,
    asked: Annotated[SealingKeysRequest, Depends(json_body(SealingKeysRequest))],
    ports: AgentPortsDep,
    origin: OriginDep,
) -> Response:
    """In place of those that were pinned. An agent only says which keys it has; `hybridci seal` uses none of these."""
    require(origin.caller, Operation.AGENTS_OPERATE, pool=name)
    keys = list(dict.fromkeys(asked.keys))
    await ports.fleet.registry.pin_sealing_keys(name, keys, signed=origin.who(asked.reason))
    ports.fleet.pools.changed(name)
    return json_answer((await ports.fleet.pools.view(name)).model_dump_json().encode())
