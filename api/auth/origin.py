"""Whence a command comes, and the signature that it carries into the audit trail.

The names of commands' models are the contracts'; what of them a caller may fill in is in ``api.schemas``.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from api.auth.guard import Caller
from api.auth.idempotency import IdempotencyKey, update_id_for
from api.auth.principal import Principal
from api.http.bodies import validation_failed
from api.http.errors import ApiError, ProblemCode
from api.ports import services_of
from workflows.contracts.access import Operation
from workflows.contracts.errors import field_errors
from workflows.contracts.who import WhoAndWhy

C = TypeVar("C", bound=BaseModel)
_NAMES_NOBODY: Final = (
    "Nobody acts for somebody else here (`by`, --as): whoever it is uses their own key or signs in. `hybridci up` on "
    "one's own machine allows it (HYBRIDCI_ALLOW_SELF_APPROVAL)."
)
CLI_USER_AGENT: Final = "hybridci/"


@dataclass(frozen=True, slots=True)
class Origin:
    """A request, as far as it says who asks: the caller, the means (``api`` or ``cli``), the address.

    ``key``: its Idempotency-Key, for commands. ``may_name``: an admin may name somebody else. What goes on from here is
    the contracts' ``Who``.
    """

    caller: Principal
    via: str
    address: str | None
    key: str | None = None
    may_name: bool = False

    def fields(self, acts_for: str | None = None) -> dict[str, Any]:
        """The fields of a command that carry it to a workflow; ``acts_for``: whom an admin says to act for, which is
        told and never counts as theirs.
        """
        by = self.caller.id if acts_for is None else f"{self.caller.id} for {acts_for}"
        key_id = self.caller.key_id or self.caller.credential_id
        return {"by": by, "via": self.via, "address": self.address, "role": self.caller.role, "key_id": key_id}

    def update_id(self, command: BaseModel) -> str | None:
        """Under which its workflow does this command once; None when each request is one of its own."""
        return update_id_for(self.caller, self.key, command)

    def who(self, reason: str | None = None) -> WhoAndWhy:
        """For a change that goes to a store and not to a workflow."""
        return WhoAndWhy(**self.fields(), reason=reason)


async def origin_of(request: Request, caller: Caller) -> Origin:
    """The origin of a guarded request."""
    return origin_for(request, caller)


def origin_for(request: Request, caller: Principal) -> Origin:
    """The origin of a request of whom the route itself has found out."""
    may_name = services_of(request).voucher.allow_self_approval
    return Origin(caller, via_of(request), address_of(request), may_name=may_name)


def via_of(request: Request) -> str:
    """``cli``, ``dashboard`` or ``api``."""
    if "inside" in request.scope:
        return "dashboard"
    return "cli" if request.headers.get("user-agent", "").startswith(CLI_USER_AGENT) else "api"


def address_of(request: Request) -> str | None:
    """Whence the request came."""
    return request.client.host if request.client is not None else None


async def command_origin_of(request: Request, caller: Caller, idempotency_key: IdempotencyKey = None) -> Origin:
    """The origin of a command to a workflow, which takes it once under one key."""
    return replace(origin_for(request, caller), key=idempotency_key)


OriginDep = Annotated[Origin, Depends(origin_of)]
CommandOriginDep = Annotated[Origin, Depends(command_origin_of)]


def signed(
    kind: type[C], request: BaseModel, origin: Origin, *, without: frozenset[str] = frozenset(), **more: Any
) -> C:
    """The request as the contract's command, signed; ``more`` are fields that the server fills in, ``without`` those
    of the request that it has made them of.

    ``by`` in the request names the person for whom an admin acts. Raises ApiError forbidden when somebody else names
    one, or nobody may here; ValidationFailed where the contract is stricter.
    """
    fields = request.model_dump(exclude_unset=True, exclude=set(without))
    named = fields.pop("by", None)
    if named is not None and not origin.caller.unlimited(Operation.ACT_FOR):
        raise ApiError(ProblemCode.FORBIDDEN, "Only an admin may act for somebody else; leave `by` out.")
    if named is not None and not origin.may_name:
        raise ApiError(ProblemCode.FORBIDDEN, _NAMES_NOBODY)
    try:
        return kind.model_validate({**fields, **more, **origin.fields(named)})
    except ValidationError as error:
        raise validation_failed(field_errors(error, nameless="body")) from None
