"""A change of a service's policy that waits for a second person: show it, say yes, say no.

Who asked for it says yes to nothing, for nobody else either: there is no ``by`` here. Deliberately not here: which
changes wait (chain ``ApplyService``).
"""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.auth.origin import Origin, OriginDep
from api.http.accepted import ACCEPTED
from api.http.answers import json_answer
from api.http.bodies import json_body
from api.http.ids import KnownService
from api.services.ports import ServicePorts, ServicePortsDep
from api.services.schemas import ApprovePolicyRequest, RejectPolicyRequest
from api.services.stopped import require_still_stopped
from workflows.contracts.deployments.policy import DecidePolicyChange
from workflows.contracts.deployments.services import PolicyChange, Service
from workflows.contracts.errors import NotFound

router = APIRouter(prefix="/api/dashboard/services/{name}/policy-change", tags=["services"])


class WaitingPolicyChange(PolicyChange):
    """What waits, and in which version of the service: what is decided names it."""

    service_name: str
    version: int


@router.get("", response_model=WaitingPolicyChange, summary="Show a change of the policy that waits")
async def get_policy_change(name: KnownService, ports: ServicePortsDep) -> Response:
    """404 when none waits."""
    service = await ports.deployments.service(name)
    change = service.policy_change
    if change is None:
        raise NotFound(f"No change of {name}'s policy waits for a second person.")
    shown = WaitingPolicyChange(service_name=name, version=service.version, **dict(change))
    return json_answer(shown.model_dump_json().encode(), headers=_etag(service))


@router.post("/approve", response_model=Service, responses=ACCEPTED, summary="Say yes to another policy")
async def approve_policy_change(
    name: KnownService,
    request: Annotated[ApprovePolicyRequest, Depends(json_body(ApprovePolicyRequest))],
    ports: ServicePortsDep,
    origin: OriginDep,
) -> Response:
    """By another person than who asked for it. 409 when something else waits there by now."""
    return await _decide(ports, origin, name, request.version, request.reason, approve=True)


@router.post("/reject", response_model=Service, responses=ACCEPTED, summary="Say no to another policy")
async def reject_policy_change(
    name: KnownService,
    request: Annotated[RejectPolicyRequest, Depends(json_body(RejectPolicyRequest))],
    ports: ServicePortsDep,
    origin: OriginDep,
) -> Response:
    """By anybody who may change it; who asked for it takes it back so."""
    return await _decide(ports, origin, name, request.version, request.reason, approve=False)


async def _decide(
    ports: ServicePorts, origin: Origin, name: str, version: int, reason: str, *, approve: bool
) -> Response:
    service = await ports.deployments.service(name)  # raises NotFound
    if approve and service.policy_change is not None:
        await require_still_stopped(ports, origin.caller, name, service.spec, service.policy_change.spec)
    identity = ports.voucher.people.of(origin.caller.bearer)
    decision = DecidePolicyChange(
        name=name, version=version, approve=approve, reason=reason, identity=identity, **origin.fields()
    )
    service = await ports.deployment_client.decide_policy_change(decision)
    return json_answer(service.model_dump_json().encode(), headers=_etag(service))


def _etag(service: Service) -> dict[str, str]:
    return {"ETag": f'"{service.version}"'}
