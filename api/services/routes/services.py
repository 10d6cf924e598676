"""Services: register, change, show, list. Each change makes a version; a running deployment keeps the one it has."""

import re
from contextlib import suppress
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Path, Query
from pydantic import Field
from starlette.responses import Response

from api.auth.guard import Caller
from api.auth.origin import OriginDep
from api.auth.principal import Principal
from api.auth.reach import within
from api.auth.resources import Resource
from api.http.accepted import AcceptedAnswer
from api.http.answers import PageQuery, json_answer
from api.http.bodies import document_body
from api.http.errors import ApiError, ProblemCode
from api.http.ids import KnownService
from api.identity.pools import pools_refused_to_service
from api.services.ports import ServicePorts, ServicePortsDep
from api.services.stopped import require_still_stopped
from workflows.contracts.access import Operation
from workflows.contracts.base import Frozen
from workflows.contracts.deployments.policy import policy_changes
from workflows.contracts.deployments.services import Service, ServiceName, ServicePage, ServiceSpec, ServiceWrite
from workflows.contracts.errors import FieldError, InvalidState, NotFound, Unavailable, ValidationFailed

router = APIRouter(prefix="/api/dashboard/services", tags=["services"])
_ETAG: Final = re.compile(r'"([0-9]{1,9})"')
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match", max_length=64, description='`"3"`: change it only while this is its version; `*`: if any.'
    ),
]
IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", max_length=64, description="`*`: register it only when there is none.")
]


class VersionQuery(Frozen):
    """Which of its definitions."""

    version: Annotated[int, Field(ge=1, le=10**9)] | None = Field(default=None, description="Default: the present one.")


class ServiceListQuery(PageQuery):
    """Which services."""

    archived: bool = Field(default=False, description="Archived ones too.")


@router.get("", response_model=ServicePage, summary="List services by name")
async def list_services(
    listing: Annotated[ServiceListQuery, Query()], ports: ServicePortsDep, caller: Caller
) -> Response:
    """Each with its present definition. Archived ones are left out unless they are asked for: a page can be short while
    there are more.
    """
    page = await ports.deployments.services(listing.limit, listing.cursor)
    shown = [item for item in page.items if listing.archived or item.archived is None]
    page = page.model_copy(update={"items": within(caller, shown, lambda item: Resource(service=item.name))})
    return json_answer(page.model_dump_json().encode())


@router.get("/{name}", response_model=Service, summary="Show a service")
async def get_service(name: KnownService, which: Annotated[VersionQuery, Query()], ports: ServicePortsDep) -> Response:
    """``ETag`` is its version, for ``If-Match``. 503 while an accepted registration has not reached the records."""
    try:
        return _answer(await ports.deployments.service(name, which.version))
    except NotFound:
        if await ports.deployment_client.registers(name):
            raise Unavailable(f"Service {name} is accepted, and its definition follows: ask again.") from None
        raise


@router.put(
    "/{name}",
    response_model=Service,
    responses={
        201: {"model": Service, "description": "It was registered."},
        202: {
            "model": Service | AcceptedAnswer,
            "description": "Another policy waits for a second person (the service with its `policy_change`); or it is"
            " accepted, but not stored yet.",
        },
    },
    summary="Register or change a service",
)
async def put_service(
    name: Annotated[ServiceName, Path()],
    spec: Annotated[ServiceSpec, Depends(document_body(ServiceSpec))],
    ports: ServicePortsDep,
    origin: OriginDep,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """As a whole, in JSON or YAML. The same definition again makes no new version.

    201 when it was not there before; 202 when it is accepted, but not stored yet, or when it changes the policy and the
    service asks for a second person. 412 when it has another version than ``If-Match`` says, or exists in spite of
    ``If-None-Match: *``. 403 when it changes the policy and the caller may not, or when a freeze or hold of many that
    they may not end would concern it no more.
    """
    if found := list(pools_refused_to_service(ports.pool_rules, name, spec)):
        raise ValidationFailed("The service names a pool that is not for it.", found)
    present = await _present(ports, name)
    if present is not None:
        await require_still_stopped(ports, origin.caller, name, present.spec, spec)
    expected = _expected_version(if_match, if_none_match, present)
    write = ServiceWrite(
        name=name,
        spec=spec,
        expected_version=_pinned(origin.caller, name, spec, present, expected),
        identity=ports.voucher.people.of(origin.caller.bearer),
        **origin.fields(),
    )
    if expected is not None and expected != (present.version if present is not None else 0):
        raise _precondition_failed(name, present)
    if present is None and expected is None:
        with suppress(InvalidState):  # somebody else has registered it meanwhile
            return _answer(
                await ports.deployment_client.apply_service(write.model_copy(update={"expected_version": 0})), 201
            )
    try:
        stored = await ports.deployment_client.apply_service(write)
    except InvalidState:
        now = await _present(ports, name)
        if expected is not None and expected != (now.version if now is not None else 0):
            raise _precondition_failed(name, now) from None
        raise
    waits = stored.policy_change is not None and stored.policy_change.spec == spec
    return _answer(stored, 202 if waits else 201 if expected == 0 else 200)


async def _present(ports: ServicePorts, name: str) -> Service | None:
    try:
        return await ports.deployments.service(name)
    except NotFound:
        return None


def _expected_version(if_match: str | None, if_none_match: str | None, present: Service | None) -> int | None:
    """0 stands for "there must be none". Raises ValidationFailed, and ApiError for ``If-Match: *`` of nothing."""
    if if_none_match is not None:
        if if_match is not None:
            raise _bad_header("If-None-Match", "cannot be sent together with If-Match")
        if if_none_match.strip() != "*":
            raise _bad_header("If-None-Match", "must be *")
        return 0
    if if_match is None:
        return None
    if if_match.strip() == "*":
        if present is None:
            raise ApiError(ProblemCode.PRECONDITION_FAILED, "There is no such service yet; leave If-Match out.")
        return present.version
    version = _ETAG.fullmatch(if_match.strip())
    if version is None or int(version[1]) == 0:
        raise _bad_header("If-Match", 'must be the ETag of a service, such as "3" with its quotes, or *')
    return int(version[1])


def _pinned(
    caller: Principal, name: str, spec: ServiceSpec, present: Service | None, expected: int | None
) -> int | None:
    """Which version the change is made of. Who may not change the policy changes the very version that was looked at:
    another could hold another policy. Raises ApiError forbidden.
    """
    if caller.may(Operation.SERVICES_POLICY, service=name):
        return expected
    changes = policy_changes(present.spec, spec) if present is not None else ["policy: a new service sets one"]
    if not changes and present is not None:
        _require_nothing_waits(caller, present)
        return present.version
    pairs = [change.partition(": ") for change in changes]
    raise ApiError(
        ProblemCode.FORBIDDEN,
        f"This changes the policy of {name}, which needs {Operation.SERVICES_POLICY}; {caller.id} may not do that for"
        f" {name}: leave it as it is.",
        errors=[FieldError(field=field, message=message or "differs") for field, _, message in pairs],
    )


def _require_nothing_waits(caller: Principal, present: Service) -> None:
    """A newer version drops a change of the policy that waits. Raises ApiError forbidden."""
    if present.policy_change is not None:
        raise ApiError(
            ProblemCode.FORBIDDEN,
            f"A change of {present.name}'s policy waits for a second person and would be dropped, which needs"
            f" {Operation.SERVICES_POLICY}; {caller.id} may not do that: wait until it is decided.",
        )


def _precondition_failed(name: str, present: Service | None) -> ApiError:
    found = "does not exist" if present is None else f"has version {present.version}, of {present.updated_by}"
    headers = {} if present is None else {"ETag": f'"{present.version}"'}
    return ApiError(
        ProblemCode.PRECONDITION_FAILED,
        f"Service {name} {found}: it is not what this change was made from. GET it, apply your change to that, and"
        " send it again.",
        headers=headers,
    )


def _bad_header(name: str, message: str) -> ValidationFailed:
    return ValidationFailed(f"{name} {message}.", [FieldError(field=name, message=message)])


def _answer(service: Service, status: int = 200) -> Response:
    headers = {"ETag": f'"{service.version}"'}
    if status == 201:
        headers["Location"] = f"{router.prefix}/{service.name}"
    if status == 202:
        headers["Location"] = f"{router.prefix}/{service.name}/policy-change"
    return json_answer(service.model_dump_json().encode(), status, headers)
