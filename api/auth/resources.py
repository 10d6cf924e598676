"""What a request is about: a service, a pool, or neither. Asked only for callers whose grants are limited.

From the path, or from the record that the path names; of a list, from the ``service_name`` or ``pool`` it is asked for.
Deliberately not here: bodies, which the routes check with ``guard.require``.
"""

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from api.auth.principal import Principal
from api.http.ids import known_deployment, known_id
from api.temporal.ports import RecordPorts
from api.temporal.recorded import seen_deployment, seen_job
from workflows.contracts.jobs import SERVICE_LABEL, Job

_SERVICE_PREFIXES: Final = ("/api/dashboard/services/{name}", "/api/dashboard/deployments/service/{name}")
_POOL_PREFIX: Final = "/api/agents/pools/{name}"


@dataclass(frozen=True, slots=True)
class Resource:
    """To which service and pool something belongs, if to any."""

    service: str | None = None
    pool: str | None = None

    def __str__(self) -> str:
        named = [f"{what} {name}" for what, name in (("service", self.service), ("pool", self.pool)) if name]
        return " in ".join(named) or "something of no service and no pool"


async def resource_of(request: Request, ports: RecordPorts, principal: Principal) -> Resource | None:
    """What the request is about; None when it is about everything. Raises NotFound, Unavailable."""
    template, path = request.scope["route"].path, request.path_params
    if template.startswith(_SERVICE_PREFIXES):
        return Resource(service=path["name"])
    if template.startswith(_POOL_PREFIX):
        return Resource(pool=path["name"])
    if "deployment_id" in path:
        seen = await seen_deployment(ports, await known_deployment(path["deployment_id"]))
        return Resource(service=seen.record.service_name)
    if "job_id" in path:
        return await _of_job(request, ports, principal)
    asked = Resource(request.query_params.get("service_name"), request.query_params.get("pool"))
    return None if asked == Resource() else asked


def job_resource(job: Job) -> Resource:
    """To what a job belongs."""
    return Resource(service=job.labels.get(SERVICE_LABEL), pool=job.pool)


async def _of_job(request: Request, ports: RecordPorts, principal: Principal) -> Resource:
    job_id = await known_id(request.path_params["job_id"])
    return job_resource((await seen_job(ports, job_id)).record)
