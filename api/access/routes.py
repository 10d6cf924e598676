"""API keys: make, list, show, rotate, revoke. A secret is in the answer that makes it, and never again.

The same addresses show and end sessions and tokens, by their ids. Nothing of this goes through a workflow.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from api.access.ports import AccessPorts, AccessPortsDep
from api.access.schemas import (
    KeyCreated,
    KeyList,
    KeyOut,
    KeyStatus,
    OwnerRequest,
    RotateRequest,
    key_created,
    key_out,
    status_of_key,
)
from api.auth.issuing import KeyHolder, claim, issue, revoke, rotate
from api.auth.origin import OriginDep
from api.auth.principal import Principal
from api.http.answers import PageQuery, json_answer
from api.http.bodies import json_body
from api.http.errors import ApiError, ProblemCode
from workflows.contracts.access import AdmittedBy, CredentialKind, Grant, KeyRequest
from workflows.contracts.errors import InvalidState, NotFound
from workflows.contracts.identity.people import Somebody, same_person

router = APIRouter(prefix="/api/access/keys", tags=["access"])
_ONCE: Final = {"Cache-Control": "no-store"}
KeyId = Annotated[str, Path(description="As lists show it; it is also the third part of the key.")]


class KeyListQuery(PageQuery):
    """Keys unless another kind is asked for."""

    kind: CredentialKind = CredentialKind.KEY


@router.post("", status_code=201, response_model=KeyCreated, summary="Make a key")
async def create_key(
    request: Annotated[KeyRequest, Depends(json_body(KeyRequest))], ports: AccessPortsDep, origin: OriginDep
) -> Response:
    """`key` is shown only in this answer. Nobody can give away more than they have."""
    _require_held(origin.caller, request.grants)
    maker = ports.voucher.people.of(origin.caller.bearer)
    by_default = None if request.machine else maker.person
    holder = KeyHolder(
        owner=request.owner or by_default,
        machine=request.machine or maker.machine,
        maker=maker.person,
        makers=sorted(maker.all_makers),
    )
    issued = await issue(
        ports,
        kind=CredentialKind.KEY,
        subject=f"key:{request.name}",
        name=request.name,
        grants=request.grants,
        ttl_seconds=request.expires_seconds,
        by=origin,
        holder=holder,
        admission=_behind(request, ports, origin.caller, maker),
    )
    created = key_created(issued.credential, issued.token, ports.clock())
    headers = {"Location": f"{router.prefix}/{created.key_id}", **_ONCE}
    return json_answer(created.model_dump_json().encode(), 201, headers)


@router.get("", response_model=KeyList, summary="List keys, newest first")
async def list_keys(listing: Annotated[KeyListQuery, Query()], ports: AccessPortsDep) -> Response:
    """Also those that ended lately."""
    page = await ports.access.list(listing.kind, limit=listing.limit, cursor=listing.cursor)
    now = ports.clock()
    keys = KeyList(items=[key_out(each, now) for each in page.items], next_cursor=page.next_cursor)
    return json_answer(keys.model_dump_json().encode())


@router.get("/{key_id}", response_model=KeyOut, summary="Show a key")
async def get_key(key_id: KeyId, ports: AccessPortsDep) -> Response:
    """All but its secret."""
    found = key_out(await ports.access.get(_known(key_id)), ports.clock())
    return json_answer(found.model_dump_json().encode())


@router.post("/{key_id}/rotate", status_code=201, response_model=KeyCreated, summary="Replace a key's secret")
async def rotate_key(
    key_id: KeyId,
    request: Annotated[RotateRequest, Depends(json_body(RotateRequest, optional=True))],
    ports: AccessPortsDep,
    origin: OriginDep,
) -> Response:
    """A new key with the same grants, for as long again; the old one works for `overlap_seconds` more."""
    old = await ports.access.get(_known(key_id))
    _require_held(origin.caller, old.grants)
    if old.kind is not CredentialKind.KEY:
        raise InvalidState(f"{key_id} is a {old.kind}, not a key: it is renewed by signing in or registering again.")
    status = status_of_key(old, ports.clock())
    if status is not KeyStatus.ACTIVE:
        instead = f"it was replaced by {old.replaced_by}: rotate that" if old.replaced_by else "make a new key"
        raise InvalidState(f"Key {key_id} is {status} and cannot be rotated; {instead}.")
    issued = await rotate(ports, old, overlap_seconds=request.overlap_seconds, by=origin)
    created = key_created(issued.credential, issued.token, ports.clock())
    headers = {"Location": f"{router.prefix}/{created.key_id}", **_ONCE}
    return json_answer(created.model_dump_json().encode(), 201, headers)


@router.post("/{key_id}/claim", response_model=KeyOut, summary="Say whose a key is")
async def claim_key(
    key_id: KeyId,
    request: Annotated[OwnerRequest, Depends(json_body(OwnerRequest))],
    ports: AccessPortsDep,
    origin: OriginDep,
) -> Response:
    """Of a key that was made before keys had owners; 409 for one that has one: make another key then."""
    claimed = await claim(ports, _known(key_id), owner=request.owner, machine=request.machine, by=origin)
    return json_answer(key_out(claimed, ports.clock()).model_dump_json().encode())


@router.delete("/{key_id}", response_model=KeyOut, summary="Revoke a key")
async def revoke_key(key_id: KeyId, ports: AccessPortsDep, origin: OriginDep) -> Response:
    """At once in this process, within 30 s in others. Also for sessions and tokens. Again: it stays revoked."""
    await revoke(ports, _known(key_id), by=origin)
    found = key_out(await ports.access.get(key_id), ports.clock())
    return json_answer(found.model_dump_json().encode())


def _behind(request: KeyRequest, ports: AccessPorts, caller: Principal, maker: Somebody) -> AdmittedBy | None:
    """The ID token behind a key: its maker's, of a workload's keys and of those that people make for themselves. A key
    for a machine or for somebody else outlives whoever made it.
    """
    for_maker = request.owner is None or same_person(ports.voucher.people.of_name(request.owner), maker)
    return caller.admission if maker.machine or (for_maker and not request.machine) else None


def _require_held(caller: Principal, grants: list[Grant]) -> None:
    """Raises ApiError forbidden for a grant that goes further than the caller's own."""
    beyond = [grant for grant in grants if not caller.holds(grant)]
    if beyond:
        raise ApiError(
            ProblemCode.FORBIDDEN,
            f"Nobody can give away more than they have: {caller.id} does not have the whole of the role"
            f" {beyond[0].role} for what this grant names. Narrow it, or ask an admin without limits.",
        )


def _known(key_id: str) -> str:
    """There can be no key of any other form. Raises NotFound."""
    if not (key_id.isascii() and key_id.isalnum() and len(key_id) <= 64):
        raise NotFound(f"There is no credential {key_id[:64]!r}: its id has letters and digits only.")
    return key_id
