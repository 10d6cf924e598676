"""What all routes share: answers as they are, paging, and no parameter that is lost in silence."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any, Final, get_args

from fastapi import Depends, Query
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from workflows.contracts.base import Frozen
from workflows.contracts.errors import FieldError, ValidationFailed

JSON: Final = "application/json"
PENDING_HEADER: Final = "Record-Pending"
"""On what is shown as its workflow has it, because the store has not taken its record yet."""
REPEATABLE: Final = frozenset({"label"})
"""Parameters that are lists, wherever there are such."""
_DIGITS: Final = re.compile(r"-?[0-9]+")
_WHOLE: Final[TypeAdapter[int]] = TypeAdapter(int)
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
    """Refuse query parameters that would be lost in silence: given twice, or to a route that takes none; and numbers,
    in the path too, that are not written in digits: pydantic reads ``1_000``, ``+1`` and ``1.0``.

    A route that takes some has them in a model that forbids what it does not know. Raises ValidationFailed.
    """
    dependant = getattr(request.scope["route"], "dependant", None)
    if isinstance(dependant, Dependant):
        odd = [name for name in _numbers(dependant) for value in _values(request, name) if _oddly_written(value)]
        if odd:
            _refuse(odd, "must be a whole number in digits")
    if not request.scope["query_string"]:
        return
    given = [name for name, _ in request.query_params.multi_items()]
    if isinstance(dependant, Dependant) and _takes_parameters(dependant):
        counts = Counter(name for name in given if name not in REPEATABLE)
        wrong, what = [name for name, count in counts.items() if count > 1], "is given more than once"
    else:
        wrong, what = given, "is not a parameter of this address"
    if wrong:
        _refuse(wrong, what)


def _refuse(names: list[str], what: str) -> None:
    errors = [FieldError(field=name, message=what) for name in dict.fromkeys(names)]
    said = ", ".join(error.field for error in errors[:10])
    raise ValidationFailed(f"Correct these parameters: {said}.", errors)


def _numbers(dependant: Dependant) -> Iterator[str]:
    """The names of all parameters, of the path and the query, that are whole numbers."""
    for field in (*dependant.path_params, *dependant.query_params):
        kind: Any = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _numbers_of(kind)
        elif _is_number(kind):
            yield field.alias
    for inner in dependant.dependencies:
        yield from _numbers(inner)


@lru_cache
def _numbers_of(model: type[BaseModel]) -> tuple[str, ...]:
    fields = model.model_fields.items()
    return tuple(field.alias or name for name, field in fields if _is_number(field.annotation))


def _is_number(kind: Any) -> bool:
    return kind is int or any(map(_is_number, get_args(kind)))


def _values(request: Request, name: str) -> list[str]:
    in_path = request.path_params.get(name)
    return request.query_params.getlist(name) if in_path is None else [str(in_path)]


def _oddly_written(value: str) -> bool:
    """True for what pydantic takes as a number and nobody else would."""
    if _DIGITS.fullmatch(value):
        return False
    try:
        _WHOLE.validate_python(value)
    except ValidationError:
        return False  # a word that may stand there, or what is told in better words
    return True


def _takes_parameters(dependant: Dependant) -> bool:
    return bool(dependant.query_params) or any(_takes_parameters(inner) for inner in dependant.dependencies)


PARAMETERS: Final[Any] = Depends(refuse_parameters)
