"""What all routes share: answers as they are, paging, and no parameter that is lost in silence."""

from collections import Counter
from typing import Annotated, Any, Final

from fastapi import Depends, Query
from fastapi.dependencies.models import Dependant
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from workflows.contracts.base import Frozen
from workflows.contracts.errors import FieldError, ValidationFailed

JSON: Final = "application/json"
PENDING_HEADER: Final = "Record-Pending"
"""On what is shown as its workflow has it, because the store has not taken its record yet."""
REPEATABLE: Final = frozenset({"label"})
"""Parameters that are lists, wherever there are such."""
Limit = Annotated[int, Field(ge=1, le=100)]
Cursor = Annotated[str, Field(min_length=1, max_length=4096)]


class PageQuery(Frozen):
    """Paging: ``cursor`` is the ``next_cursor`` of the page before."""

    limit: Limit = 50
    cursor: Cursor | None = None


Paging = Annotated[PageQuery, Query()]


def json_answer(content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Bytes that are JSON already: FastAPI would validate and encode a model a second time."""
    return Response(content, status, headers, JSON)


def pending_headers(*, recorded: bool) -> dict[str, str] | None:
    """How an answer says that nobody has recorded yet what it shows."""
    return None if recorded else {PENDING_HEADER: "true"}


async def refuse_parameters(request: Request) -> None:
    """Refuse query parameters that would be lost in silence: given twice, or to a route that takes none.

    A route that takes some has them in a model that forbids what it does not know. Raises ValidationFailed.
    """
    if not request.scope["query_string"]:
        return
    given = [name for name, _ in request.query_params.multi_items()]
    dependant = getattr(request.scope["route"], "dependant", None)
    if isinstance(dependant, Dependant) and _takes_parameters(dependant):
        counts = Counter(name for name in given if name not in REPEATABLE)
        wrong, what = [name for name, count in counts.items() if count > 1], "is given more than once"
    else:
        wrong, what = given, "is not a parameter of this address"
    if wrong:
        errors = [FieldError(field=name, message=what) for name in dict.fromkeys(wrong)]
        names = ", ".join(error.field for error in errors[:10])
        raise ValidationFailed(f"Correct these parameters: {names}.", errors)


def _takes_parameters(dependant: Dependant) -> bool:
    return bool(dependant.query_params) or any(_takes_parameters(inner) for inner in dependant.dependencies)


PARAMETERS: Final[Any] = Depends(refuse_parameters)
