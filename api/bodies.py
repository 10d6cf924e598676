"""Reading JSON bodies: bytes straight into a frozen model, so that nothing a client sends can surprise us later.

Pydantic's own parser bounds depth and number length and refuses lone surrogates and bytes that are not UTF-8. Types are
strict: ``"3"`` and ``true`` are not numbers. Deliberately not here: sizes (``middleware``) and streamed bodies.
"""

import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from api.errors import ApiError, ProblemCode, field_errors
from workflows.contracts.errors import FieldError, ValidationFailed

M = TypeVar("M", bound=BaseModel)
MAX_DEPTH: Final = 20
"""Of free-form values; DynamoDB takes 32 levels in all."""

BODY_MODEL: Final = "body_model"
"""The attribute by which ``api.openapi`` finds what a route reads."""


def json_body(model: type[M], *, optional: bool = False) -> Callable[[Request], Awaitable[M]]:
    """A dependency that reads the body as ``model``; ``optional`` takes no body as a model of defaults.

    It raises ApiError (415, or 400 when the body is no JSON) and ValidationFailed naming every bad field.
    """

    async def read(request: Request) -> M:
        raw = await request.body()
        if not raw and optional:
            return model()
        _require_json(request)
        return parse(model, raw)

    setattr(read, BODY_MODEL, (model, optional))
    return read


def parse(model: type[M], raw: bytes) -> M:
    """Bytes as a model. Raises ApiError malformed_body and ValidationFailed."""
    if not raw:
        raise _malformed("The body is empty; a JSON object is needed.")
    try:
        return model.__pydantic_validator__.validate_json(raw, strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        if details[0]["type"] == "json_invalid":
            raise _malformed(details[0]["msg"]) from None
        raise validation_failed(field_errors(details)) from None


def validation_failed(errors: list[FieldError]) -> ValidationFailed:
    """The refusal that names every bad field."""
    names = ", ".join(error.field for error in errors[:10])
    return ValidationFailed(f"Correct these fields and send the request again: {names}.", errors)


def free_form_errors(values: dict[str, Any], prefix: str) -> list[FieldError]:
    """What is wrong with values of any shape: nested too deep, or a number that JSON cannot say."""
    return list(_walk(values, prefix, 1))


def _walk(value: object, path: str, depth: int) -> Iterator[FieldError]:
    if isinstance(value, float) and not math.isfinite(value):
        yield FieldError(field=path, message="must be a finite number")
    elif isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            yield FieldError(field=path, message=f"is nested deeper than {MAX_DEPTH} levels")
            return
        pairs: list[tuple[object, object]] = list(value.items() if isinstance(value, dict) else enumerate(value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        for key, child in pairs:
            yield from _walk(child, f"{path}.{key}", depth + 1)


def _require_json(request: Request) -> None:
    declared = request.headers.get("content-type")
    if declared is None:
        return
    kind = declared.split(";", 1)[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise ApiError(
            ProblemCode.UNSUPPORTED_MEDIA_TYPE,
            f"The body is declared as {kind[:100]!r}; send JSON with 'Content-Type: application/json'.",
            headers={"Accept": "application/json"},
        )


def _malformed(reason: str) -> ApiError:
    return ApiError(ProblemCode.MALFORMED_BODY, reason, errors=[FieldError(field="body", message=reason)])
