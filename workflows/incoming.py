"""What a workflow's handler makes of its input, which can be anything: Temporal's own CLI sends any number of payloads,
of any encoding. Pure.

A handler that raises fails its workflow's task again and again, before anything else can be said to it. So signals take
whatever comes and read it here (``read``), and updates refuse what is no command before it is taken (``takes``,
``checks``). Deliberately not here: what a message means.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

from pydantic import BaseModel, ValidationError
from temporalio.exceptions import ApplicationError

from workflows.contracts.errors import ErrorCode, fields_text

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")
LAST_MILLIS: Final = 253_402_300_799_000
"""The last moment of the year 9999: no clock and no timer knows a later one."""
_MAX_ID_CHARACTERS: Final = 512
"""Temporal takes no longer workflow id; a command with one would fail the task that gives it."""
_LONGEST_WHY: Final = 1000


def read(kind: type[M], given: Sequence[Any]) -> tuple[M | None, str | None]:
    """The message, or None and why it is none. ``given``: the handler's arguments, of which one is right."""
    if len(given) > 1:
        return None, f"input: one is taken, and these are {len(given)}"
    try:
        message = kind.model_validate(given[0] if given else None)
    except ValidationError as error:
        return None, fields_text(error, nameless="input")[:_LONGEST_WHY]
    why = odd_in(message.model_dump())
    return (message, None) if why is None else (None, why)


def odd_in(value: Any, path: str = "input") -> str | None:
    """What of a message could not be acted on: a time that is none, an id that no workflow can have. None: nothing."""
    if isinstance(value, Mapping):
        parts = [(f"{path}.{name}", each) for name, each in cast("Mapping[str, Any]", value).items()]
    elif isinstance(value, list):
        parts = [(f"{path}.{place}", each) for place, each in enumerate(cast("list[Any]", value))]
    elif path.endswith(("workflow_id", "deployment_id")) and isinstance(value, str):
        return (
            None if 0 < len(value) <= _MAX_ID_CHARACTERS else f"{path}: must have 1 to {_MAX_ID_CHARACTERS} characters"
        )
    else:
        return f"{path}: is out of range" if isinstance(value, int) and abs(value) > LAST_MILLIS else None
    return next((why for name, each in parts if (why := odd_in(each, name)) is not None), None)


def takes(kind: type[M]) -> Callable[[Callable[[Any, M], R]], Callable[..., R]]:
    """Decorate an update's handler, a coroutine, which is called with what its validator let through."""

    def decorate(handler: Callable[[Any, M], R]) -> Callable[..., R]:
        async def taking(self: object, *given: Any) -> Any:
            return await cast("Callable[[object, M], Awaitable[Any]]", handler)(self, kind.model_validate(given[0]))

        return cast("Callable[..., R]", _named_like(handler, taking))

    return decorate


def checks(kind: type[M]) -> Callable[[Callable[[Any, M], None]], Callable[..., None]]:
    """Decorate an update's validator: what is no such message is refused in words, and the rest judged. It raises
    ApplicationError.
    """

    def decorate(validator: Callable[[Any, M], None]) -> Callable[..., None]:
        def checking(self: object, *given: Any) -> None:
            message, why = read(kind, given)
            if message is None:
                text = f"The input must be one {kind.__name__}, as JSON; {why}."
                raise ApplicationError(text, type=ErrorCode.VALIDATION_FAILED, non_retryable=True)
            validator(self, message)

        return _named_like(validator, checking)

    return decorate


def _named_like(function: Callable[..., Any], wrapper: Callable[..., R]) -> Callable[..., R]:
    """Not ``functools.wraps``: the SDK would look through it. It takes an annotated ``self`` for one more input."""
    wrapper.__annotations__ = {name: kind for name, kind in wrapper.__annotations__.items() if name != "self"}
    wrapper.__name__, wrapper.__qualname__, wrapper.__doc__ = (
        function.__name__,
        function.__qualname__,
        function.__doc__,
    )
    return wrapper
