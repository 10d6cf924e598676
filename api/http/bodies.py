"""Reading bodies: bytes straight into a frozen model, so that nothing a client sends can surprise us later.

Pydantic's own parser bounds depth and number length and refuses lone surrogates and bytes that are not UTF-8; texts are
held to what ``fields.INCOMING`` asks. Types are strict: ``"3"`` and ``true`` are not numbers. YAML is read as the JSON
it stands for, so both are judged by the same rules. Deliberately not here: sizes (``middleware``) and streamed bodies.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from api.http.errors import ApiError, ProblemCode
from workflows.contracts.errors import FieldError, ValidationFailed, field_errors
from workflows.contracts.fields import INCOMING, misleading_in
from workflows.contracts.refusals.sentences import sentence
from workflows.yaml_text import MAX_YAML_BYTES, UnreadableYaml, yaml_to_json

M = TypeVar("M", bound=BaseModel)
MAX_DEPTH: Final = 20
"""Of free-form values; DynamoDB takes 32 levels in all."""

JSON_MEDIA: Final = "application/json"
YAML_MEDIA: Final = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")

BODY: Final = "hybridci_body"
"""The attribute by which ``api.openapi`` finds what a route reads: a ``Body``."""


@dataclass(frozen=True, slots=True)
class Body:
    """What a route reads."""

    model: type[BaseModel]
    optional: bool = False
    media: tuple[str, ...] = (JSON_MEDIA,)


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

    setattr(read, BODY, Body(model, optional))
    return read


def document_body(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """The same for a body in JSON or, when its content type says so, in YAML. A YAML body above its limit is 413."""

    async def read(request: Request) -> M:
        raw = await request.body()
        if _media_of(request) in YAML_MEDIA:
            if len(raw) > MAX_YAML_BYTES:
                raise ApiError(ProblemCode.TOO_LARGE, f"At most {MAX_YAML_BYTES} bytes of YAML are taken here.")
            raw = await asyncio.to_thread(_json_of, raw)  # others are answered meanwhile
        else:
            _require_json(request, *YAML_MEDIA)
        return parse(model, raw)

    setattr(read, BODY, Body(model, media=(JSON_MEDIA, YAML_MEDIA[0])))  # the registered one; all are taken
    return read


def parse(model: type[M], raw: bytes) -> M:
    """Bytes as a model. Raises ApiError malformed_body and ValidationFailed."""
    if not raw:
        raise _malformed("The body is empty; a JSON object is needed.")
    try:
        return model.__pydantic_validator__.validate_json(raw, strict=True, context=INCOMING)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise _malformed(f"The body {sentence(first)}.") from None
        raise validation_failed(field_errors(error, nameless="body")) from None


def validation_failed(errors: list[FieldError]) -> ValidationFailed:
    """The refusal that names every bad field."""
    names = ", ".join(error.field for error in errors[:10])
    return ValidationFailed(f"Correct these fields and send the request again: {names}.", errors)


def free_form_errors(values: dict[str, Any], prefix: str) -> list[FieldError]:
    """What is wrong with values of any shape: nested too deep, a number that JSON cannot say, a text that misleads."""
    return list(_walk(values, prefix, 1))


def _walk(value: object, path: str, depth: int) -> Iterator[FieldError]:
    if isinstance(value, float) and not math.isfinite(value):
        yield FieldError(field=path, message="must be a finite number")
    elif isinstance(value, str):
        if (wrong := misleading_in(value, lines=True)) is not None:
            yield FieldError(field=path, message=wrong)
    elif isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            yield FieldError(field=path, message=f"is nested deeper than {MAX_DEPTH} levels")
            return
        pairs: list[tuple[object, object]] = list(value.items() if isinstance(value, dict) else enumerate(value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        for key, child in pairs:
            if isinstance(key, str) and (wrong := misleading_in(key, lines=False)) is not None:
                yield FieldError(field=path, message=f"one of its names {wrong}")
            yield from _walk(child, f"{path}.{key}", depth + 1)


def _json_of(raw: bytes) -> bytes:
    try:
        return yaml_to_json(raw)
    except UnreadableYaml as error:
        raise _malformed(f"The YAML cannot be read: {error}.") from None


def _media_of(request: Request) -> str | None:
    declared = request.headers.get("content-type")
    return None if declared is None else declared.split(";", 1)[0].strip().lower()


def _require_json(request: Request, *others: str) -> None:
    """A body that does not say what it is, is JSON. ``others`` are named in the refusal."""
    media = _media_of(request)
    if media is None or media == JSON_MEDIA or (media.startswith("application/") and media.endswith("+json")):
        return
    instead = f" or YAML as {others[0]!r}" if others else ""
    raise ApiError(
        ProblemCode.UNSUPPORTED_MEDIA_TYPE,
        f"The body is declared as {media[:100]!r}; send JSON with 'Content-Type: {JSON_MEDIA}'{instead}.",
        headers={"Accept": ", ".join((JSON_MEDIA, *others))},
    )


def _malformed(reason: str) -> ApiError:
    return ApiError(ProblemCode.MALFORMED_BODY, reason, errors=[FieldError(field="body", message=reason)])
