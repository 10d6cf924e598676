"""The dashboard's first page in numbers, from counters: the cost does not grow with jobs and deployments."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from api.http.answers import json_answer
from api.system.ports import SystemPortsDep
from api.system.schemas.summary import Summary
from workflows.contracts.base import Frozen
from workflows.contracts.deployments.deployment import ON_ITS_WAY, DeploymentQuery, DeploymentStatus

router = APIRouter(tags=["summary"])
_RECENT: Final = 5


class SummaryQuery(Frozen):
    """How much of what is newest."""

    recent_jobs: Annotated[int, Field(ge=0, le=_RECENT, description="So many of the newest jobs.")] = _RECENT


@router.get("/api/dashboard/summary", response_model=Summary, summary="The first page in numbers")
async def get_summary(ports: SystemPortsDep, wanted: Annotated[SummaryQuery, Query()]) -> Response:
    """Counters, and the five newest jobs and deployments. Days are in UTC."""
    today = datetime.fromtimestamp(ports.clock() / 1000, UTC).date().isoformat()
    jobs, stats, started_today, recent = await asyncio.gather(
        ports.reader.overview(wanted.recent_jobs),
        ports.deployments.stats(),
        ports.deployments.day_count(today),
        ports.deployments.list(DeploymentQuery(limit=_RECENT)),
    )
    found = Summary(
        **dict(jobs),
        total_deployments=stats.total,
        deployments_today=started_today,
        deployments_active=sum(stats.by_status.get(status, 0) for status in ON_ITS_WAY),
        deployments_staging=stats.by_status.get(DeploymentStatus.STAGING, 0),
        deployments_failed=stats.by_status.get(DeploymentStatus.FAILED, 0),
        deployments_by_status={status.value: count for status, count in stats.by_status.items() if count},
        recent_deployments=recent.items,
    )
    return json_answer(found.model_dump_json().encode())
