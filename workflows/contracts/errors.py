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
from workflows.contracts.refusals.places import another_was_meant, meant_instead, of_a_choice, shape_named, written_path
from workflows.contracts.refusals.sentences import sentence


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


def field_errors(error: Invalid, *, inside: str = "", nameless: str = "", shape: Any = None) -> list[FieldError]:
    """What pydantic found wrong, one for each bad field, by its path below ``inside``, in our own words.

    ``nameless`` is how the whole is called where no part of it is at fault. ``shape`` is what was read, where it is no
    model of ours: what a typing error may have been meant to be is looked up there. Values are left out: they do not
    belong in logs.
    """
    if shape is None:
        shape = shape_named(str(getattr(error, "title", "")))
    found: dict[tuple[str, object], FieldError] = {}
    items = error.errors()[:MAX_FIELD_ERRORS]
    for number, item in enumerate(items):
        loc = item["loc"]
        if another_was_meant(shape, item, items):
            continue
        path = ".".join([*([inside] if inside else []), *written_path(shape, loc)]) or nameless
        message = sentence(item)
        if item["type"] == "extra_forbidden":
            message += meant_instead(shape, loc)
        key = (path, None if of_a_choice(shape, loc) else number)
        if key in found and message not in found[key].message:  # each shape that was tried says why it is none
            message = f"{found[key].message}; or {message}"
        found[key] = FieldError(
            field=shortened(path, _MAX_PATH_CHARACTERS), message=shortened(message, _MAX_MESSAGE_CHARACTERS)
        )
    return list(found.values())


def errors_text(errors: Sequence[FieldError]) -> str:
    """The first of them in one line, and how many more there are: the length of a record's text is bounded."""
    told = [f"{error.field}: {error.message}" if error.field else error.message for error in errors[:_TOLD_IN_WORDS]]
    more = f"; and {len(errors) - _TOLD_IN_WORDS} more" if len(errors) > _TOLD_IN_WORDS else ""
    return "; ".join(told) + more


def fields_text(error: Invalid, *, nameless: str = "", shape: Any = None) -> str:
    """The same in one line."""
    found = field_errors(error, nameless=nameless, shape=shape)
    return "; ".join(f"{each.field}: {each.message}" for each in found)
