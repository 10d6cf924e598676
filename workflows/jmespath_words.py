"""Why a JMESPath expression cannot be read, or does not suit what it was given, in our own words and with the place.

Deliberately not here: compiling and evaluating, which ``api.webhooks.expressions`` and ``agent.metrics`` do.
"""

from collections.abc import Iterable
from typing import Any, Final

from jmespath.exceptions import (
    ArityError,
    EmptyExpressionError,
    IncompleteExpressionError,
    JMESPathTypeError,
    LexerError,
    ParseError,
    UnknownFunctionError,
)

_KINDS: Final = {
    "string": "text", "number": "a number", "boolean": "true or false", "array": "a list", "object": "a map",
    "null": "nothing", "expref": "an expression after &", "array-string": "a list of texts",
    "array-number": "a list of numbers", "str": "text", "int": "a number", "float": "a number", "bool": "true or false",
    "list": "a list", "dict": "a map", "NoneType": "nothing",
}  # fmt: skip
"""JMESPath's names of kinds, and Python's, which it uses for what stands in lists."""
_MOST_QUOTED: Final = 40


def unreadable_because(error: Exception) -> str:
    """Why an expression is none. What goes on behind "is no JMESPath expression: "."""
    if isinstance(error, EmptyExpressionError):
        return "it is empty"
    if isinstance(error, IncompleteExpressionError):
        return "it ends too early: something is missing at its end"
    if isinstance(error, LexerError):
        return _lexed(error)
    if isinstance(error, ParseError) and not isinstance(error, ArityError):
        at, token = _number(error.lex_position), _short(error.token_value)
        return f"column {at + 1}: {token!r} does not belong there" if token else f"column {at + 1}: it cannot go on so"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return "it cannot be read"


def failed_because(error: Exception) -> str:
    """Why a good expression has no value for what it was given. The value itself is not told."""
    if isinstance(error, JMESPathTypeError):
        wanted = _either(_kind(kind) for kind in error.expected_types)
        return f"{error.function_name}() was given {_kind(error.actual_type)}, and takes {wanted}"
    if isinstance(error, ArityError):
        return f"{error.function_name}() was given {error.actual_arity} values, and takes {error.expected_arity}"
    if isinstance(error, UnknownFunctionError):
        return "it calls a function that does not exist"
    if isinstance(error, RecursionError):
        return "what it was given is nested too deep"
    if isinstance(error, ArithmeticError):
        return "a number is too large, or is divided by nothing"
    return "what it was given is of another kind than it takes"


def _lexed(error: LexerError) -> str:
    found: Any = error
    at, message = _number(found.lexer_position), str(found.message)
    if "literal" in message or "JSON" in message or "json" in message:
        return f"column {at + 1}: what stands in `…` must be JSON, and both ` must be there"
    if "delimiter" in message or "Unclosed" in message:
        return f"column {at + 1}: a quotation mark has no second one"
    return f"column {at + 1}: {_short(found.lexer_value)!r} means nothing there"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _kind(name: object) -> str:
    return _KINDS.get(str(name), "something else")


def _either(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))


def _short(value: object) -> str:
    return "" if value is None else str(value)[:_MOST_QUOTED]
