"""Health, information, metrics."""

import asyncio
import logging
import platform
from collections import Counter

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.http.answers import json_answer
from api.http.errors import problem
from api.http.metrics import CONTENT_TYPE
from api.http.middleware import MAX_BODY_BYTES
from api.system.ports import ChecksDep, SystemPorts, SystemPortsDep
from api.system.schemas.health import Health, Info, Ready
from workflows.contracts.agents import PoolView
from workflows.contracts.attempts import MAX_ARTIFACT_BYTES, MAX_CHUNK_BYTES
from workflows.contracts.errors import ErrorCode, FieldError, HybridCIError
from workflows.version import product_version

logger = logging.getLogger(__name__)
public = APIRouter(tags=["core"])
"""Open to everybody: says nothing a port scan would not say."""
router = APIRouter(tags=["core"])


@public.get("/health", response_model=Health, summary="The process answers")
async def get_health() -> Response:
    """Asks no other service: for a supervisor that restarts what hangs."""
    return json_answer(Health(version=product_version()).model_dump_json().encode())


@public.get("/health/ready", response_model=Ready, summary="This process can do its work")
async def get_readiness(request: Request, checks: ChecksDep) -> Response:
    """503 names what this process needs and does not answer: Temporal, DynamoDB. For load balancers.

    What only the whole needs is named in ``degraded``; ``/health/system`` says more. Answers are up to 2 s old, of the
    whole up to 30 s.
    """
    down, unwell = await asyncio.gather(checks.needed(), checks.whole())
    if down:
        errors = [FieldError(field=name, message=reason) for name, reason in down.items()]
        return problem(request, ErrorCode.UNAVAILABLE, f"Not ready: no answer from {', '.join(down)}.", errors=errors)
    found = Ready(
        version=product_version(), checks=dict.fromkeys(checks.names_of_needed, "ok"), degraded=sorted(unwell)
    )
    return json_answer(found.model_dump_json().encode())


@router.get("/info", response_model=Info, summary="What this server is")
async def get_info(ports: SystemPortsDep) -> Response:
    """Version, environment and limits."""
    found = Info(
        version=product_version(),
        environment=ports.environment,
        python=platform.python_version(),
        max_body_bytes=MAX_BODY_BYTES,
        max_log_chunk_bytes=MAX_CHUNK_BYTES,
        max_artifact_bytes=MAX_ARTIFACT_BYTES,
    )
    return json_answer(found.model_dump_json().encode())


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"description": "Prometheus text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
    summary="Metrics for Prometheus",
)
async def get_metrics(ports: SystemPortsDep) -> Response:
    """Requests by route template, the queue, the pools (``hybridci_pool_*``, by which KEDA can scale agents), and what
    is stuck (``hybridci_stuck_workflows``).
    """
    stats, pools, stuck = await asyncio.gather(ports.reader.queue_stats(), _pools(ports), _stuck(ports))
    return Response(ports.metrics.render(stats, pools, stuck), media_type=CONTENT_TYPE)


async def _pools(ports: SystemPorts) -> list[PoolView]:
    """None while Temporal does not answer: the other numbers are needed just then."""
    try:
        return await ports.fleet.pools.views()
    except HybridCIError as error:
        logger.warning("the pools' numbers are missing", extra={"reason": error.message})
        return []


async def _stuck(ports: SystemPorts) -> dict[str, int] | None:
    """None while Temporal does not answer."""
    try:
        return Counter(each.workflow_type for each in await ports.repair_client.stuck())
    except HybridCIError as error:
        logger.warning("the number of stuck workflows is missing", extra={"reason": error.message})
        return None
