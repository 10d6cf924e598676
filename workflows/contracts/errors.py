"""Errors that cross boundaries. Only a code and details survive a Temporal boundary; never match on message text.

HybridCIError
├── ValidationFailed      what was asked is malformed; ``details["errors"]`` names every bad field
├── NotFound              there is no such thing
├── RemovedByPolicy       it was there, and was removed by policy
├── InvalidState          the thing exists, but not in a state that allows this
├── Conflict              an idempotency key was used before with another request
└── Unavailable           a backing service did not answer; trying again later can help
    └── Accepted          it is taken for good, only its answer has not come (``accepted``)

Which HTTP status a code becomes is decided in ``api/http/errors.py`` alone.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Protocol

from workflows.contracts.base import Frozen
from workflows.contracts.fields import shortened
from workflows.contracts.shapes import IN_WORDS


class ErrorCode(StrEnum):
    """The ``type`` of an error on every boundary."""

    VALIDATION_FAILED = "validation_failed"
    NOT_FOUND = "not_found"
    REMOVED_BY_POLICY = "removed_by_policy"
    INVALID_STATE = "invalid_state"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"
    ACCEPTED = "accepted"


class FieldError(Frozen):
    """One bad field: its path with dots (``steps.0.run``) and what is wrong with it."""

    field: str
    message: str


class HybridCIError(Exception):
    """Base of all; ``retryable`` says whether the same call can succeed later."""

    code: ErrorCode
    retryable = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, Any] = details


class ValidationFailed(HybridCIError):
    """Malformed input."""

    code = ErrorCode.VALIDATION_FAILED

    def __init__(self, message: str, errors: Sequence[FieldError]) -> None:
        super().__init__(message, errors=[error.model_dump() for error in errors])
        self.errors = list(errors)


class NotFound(HybridCIError):
    """No such thing."""

    code = ErrorCode.NOT_FOUND


class RemovedByPolicy(HybridCIError):
    """It was there, and was removed by policy: no later try can help."""

    code = ErrorCode.REMOVED_BY_POLICY


class InvalidState(HybridCIError):
    """Not now."""

    code = ErrorCode.INVALID_STATE


class Conflict(HybridCIError):
    """The idempotency key stands for another request, or the record for another run of its workflow."""

    code = ErrorCode.CONFLICT


class Unavailable(HybridCIError):
    """A backing service did not answer."""

    code = ErrorCode.UNAVAILABLE
    retryable = True


ERRORS: Mapping[ErrorCode, type[HybridCIError]] = {
    ErrorCode.NOT_FOUND: NotFound,
    ErrorCode.REMOVED_BY_POLICY: RemovedByPolicy,
    ErrorCode.INVALID_STATE: InvalidState,
    ErrorCode.CONFLICT: Conflict,
    ErrorCode.UNAVAILABLE: Unavailable,
}


def error_from_code(code: str | None, message: str, details: Mapping[str, Any] | None = None) -> HybridCIError | None:
    """The error that a code from the other side of a boundary stands for, or None for an unknown code."""
    if code == ErrorCode.VALIDATION_FAILED:
        raw = (details or {}).get("errors", [])
        return ValidationFailed(message, [FieldError.model_validate(item) for item in raw])
    if code is None or code not in ERRORS:
        return None
    return ERRORS[ErrorCode(code)](message, **dict(details or {}))


MAX_FIELD_ERRORS: Final = 100
"""More are not told: somebody who has corrected a hundred asks again."""
_TOLD_IN_WORDS: Final = 5
_MAX_PATH_CHARACTERS: Final = 200
_MAX_MESSAGE_CHARACTERS: Final = 500


class Invalid(Protocol):
    """Pydantic's error, or a framework's that holds the same findings."""

    def errors(self) -> Sequence[Any]:
        """One mapping a finding: ``loc``, ``msg``, ``type``, ``input``."""
        ...


def field_errors(error: Invalid, *, inside: str = "", nameless: str = "") -> list[FieldError]:
    """What pydantic found wrong, one for each bad field, by its path below ``inside``.

    ``nameless`` is how the whole is called where no part of it is at fault. Values are left out: they do not belong in
    logs.
    """
    return [
        FieldError(
            field=shortened(_path(item["loc"], inside) or nameless, _MAX_PATH_CHARACTERS),
            message=shortened(_in_words(item).removeprefix("Value error, "), _MAX_MESSAGE_CHARACTERS),
        )
        for item in error.errors()[:MAX_FIELD_ERRORS]
    ]


def errors_text(errors: Sequence[FieldError]) -> str:
    """The first of them in one line, and how many more there are: the length of a record's text is bounded."""
    told = [f"{error.field}: {error.message}" if error.field else error.message for error in errors[:_TOLD_IN_WORDS]]
    more = f"; and {len(errors) - _TOLD_IN_WORDS} more" if len(errors) > _TOLD_IN_WORDS else ""
    return "; ".join(told) + more


def fields_text(error: Invalid, *, nameless: str = "") -> str:
    """The same in one line, in pydantic's own words: recorded workflows say them so."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or nameless}: {_message(item)}" for item in error.errors()[:MAX_FIELD_ERRORS]
    )


_OLD_BOOLEANS: Final = {
    **dict.fromkeys(("yes", "y", "on"), "true"),
    **dict.fromkeys(("no", "n", "off"), "false"),
}
"""Booleans for YAML 1.1, texts for YAML 1.2 and JSON."""


def _message(item: Mapping[str, Any]) -> str:
    given: object = item.get("input")
    meant = _OLD_BOOLEANS.get(given.lower()) if isinstance(given, str) else None
    if meant is None or item["type"] not in ("bool_type", "bool_parsing"):
        return str(item["msg"])
    return f"{item['msg']}: write {meant} without quotes, not {given!r}"


def _in_words(item: Mapping[str, Any]) -> str:
    words = IN_WORDS.get(str(item.get("ctx", {}).get("pattern")))
    return _message(item) if words is None else f"must be {words}. {_message(item)}"


def _path(loc: Sequence[int | str], inside: str) -> str:
    """``[key]`` is pydantic's word for a map's key; the key itself stands before it."""
    return ".".join([*([inside] if inside else []), *(str(part) for part in loc if part != "[key]")])
