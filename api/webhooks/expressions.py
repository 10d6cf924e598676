"""JMESPath as manifests use it: compiled once with every mistake named, evaluated without surprises.

Beside JMESPath's own functions there are those of ``WebhookFunctions``; each of them answers null for null, so that a
field that a payload lacks needs no special care. An expression sees only the names it was compiled for.
"""

import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import jmespath
from jmespath import functions
from jmespath.exceptions import JMESPathError
from jmespath.visitor import Options

from api.moments import millis_of, moment_of
from workflows.contracts.refusals.places import close_names
from workflows.jmespath_words import failed_because, unreadable_because

MAX_EXPRESSION: Final = 4096
_SHORT_SHA: Final = 12
_TEXT: Final[Any] = {"types": ["string", "null"]}
_ANY: Final[Any] = {"types": []}
_NUMBER: Final[Any] = {"types": ["number"]}
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SCOPED: Final = frozenset(
    {"subexpression", "index_expression", "projection", "value_projection", "filter_projection", "flatten", "pipe"}
)
"""What stands right of these sees what is left of them, not the names an expression begins with."""


class BadExpression(Exception):
    """An expression that can never work; ``faults`` say what to correct."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class ExpressionFailed(Exception):
    """A good expression that this payload does not suit; the message says why."""


@dataclass(frozen=True, slots=True)
class Expression:
    """One compiled expression."""

    text: str
    _compiled: jmespath.parser.ParsedResult

    def value(self, names: Mapping[str, Any]) -> Any:
        """What it says about these names. Raises ExpressionFailed."""
        try:
            return self._compiled.search(names, _OPTIONS)
        except JMESPathError as error:
            raise ExpressionFailed(failed_because(error)) from error
        # jmespath lets Python's own errors through: contains('ab', `1`), ceil(1e999), a value nested too deep.
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
            raise ExpressionFailed(failed_because(error)) from error

    def holds(self, names: Mapping[str, Any]) -> bool:
        """Whether the value counts as true: everything but null, false and what is empty. Raises ExpressionFailed."""
        value = self.value(names)
        return value is not None and value is not False and value not in ("", [], {})


def compile_expression(text: str, names: frozenset[str]) -> Expression:
    """Raises BadExpression for syntax, unknown functions, wrong numbers of arguments, and names not among ``names``."""
    if len(text) > MAX_EXPRESSION:
        raise BadExpression([f"is {len(text)} characters long; at most {MAX_EXPRESSION} are allowed"])
    try:
        compiled = jmespath.compile(text)
    except (JMESPathError, ValueError, RecursionError) as error:
        raise BadExpression([f"is no JMESPath expression: {unreadable_because(error)}"]) from error
    tree = cast(Mapping[str, Any], compiled.parsed)
    faults = [*_unknown_functions(tree), *_unknown_names(tree, names), *_hasty_negations(tree)]
    if faults:
        raise BadExpression(faults)
    return Expression(text, compiled)


class WebhookFunctions(functions.Functions):
    """What manifests need and JMESPath has not. The method ``_func_x`` is the function ``x``."""

    @functions.signature(_TEXT)
    def _func_branch(self, ref: str | None) -> str | None:
        """``refs/heads/main`` → ``main``; null for anything else."""
        return _after(ref, "refs/heads/")

    @functions.signature(_TEXT)
    def _func_tag(self, ref: str | None) -> str | None:
        """``refs/tags/v1`` → ``v1``; null for anything else."""
        return _after(ref, "refs/tags/")

    @functions.signature(_TEXT)
    def _func_version(self, text: str | None) -> str | None:
        """The text as a version: what a version cannot hold becomes '-'."""
        if text is None:
            return None
        return re.sub(r"[^A-Za-z0-9._+-]", "-", text).lstrip("._+-")[:64] or None

    @functions.signature(_TEXT)
    def _func_short(self, sha: str | None) -> str | None:
        """The first 12 characters of a commit."""
        return None if sha is None else sha[:_SHORT_SHA]

    @functions.signature(_ANY)
    def _func_is_commit(self, value: Any) -> bool:
        """Whether this is a full commit id."""
        return isinstance(value, str) and _COMMIT.fullmatch(value) is not None

    @functions.signature(_TEXT)
    def _func_email(self, text: str | None) -> str | None:
        """``Ann <ann@example.com>`` → ``ann@example.com``; other text as it is."""
        if text is None:
            return None
        found = re.search(r"<([^<>\s]+)>\s*$", text[-512:])
        return found[1] if found else text

    @functions.signature(_TEXT)
    def _func_first_line(self, text: str | None) -> str | None:
        """The text up to its first line end."""
        return None if text is None else (text.splitlines() or [""])[0]

    @functions.signature(_TEXT)
    def _func_lower(self, text: str | None) -> str | None:
        """In lower case."""
        return None if text is None else text.lower()

    @functions.signature(_TEXT)
    def _func_slug(self, text: str | None) -> str | None:
        """``Check Out`` → ``check-out``: a title as a service's name."""
        return None if text is None else re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or None

    @functions.signature(_TEXT)
    def _func_words(self, text: str | None) -> list[str]:
        """The words between spaces; none for null."""
        return [] if text is None else text.split()

    @functions.signature(_TEXT, {"types": ["string"]})
    def _func_split(self, text: str | None, separator: str) -> list[str]:
        """The parts between separators; none for null."""
        return [] if text is None else text.split(separator)

    @functions.signature(_TEXT, {"types": ["string"]}, {"types": ["string"]})
    def _func_replace(self, text: str | None, old: str, new: str) -> str | None:
        """Every ``old`` replaced."""
        return None if text is None else text.replace(old, new)

    @functions.signature(_TEXT, {"types": ["string"]})
    def _func_glob(self, text: str | None, pattern: str) -> bool:
        """Whether the text matches a pattern of ``*``, ``?`` and ``[…]``."""
        return text is not None and fnmatch.fnmatchcase(text, pattern)

    @functions.signature(_TEXT)
    def _func_parse_json(self, text: str | None) -> Any:
        """What this JSON says; null when it is none."""
        if text is None:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return None

    @functions.signature(_ANY)
    def _func_millis(self, value: Any) -> int | None:
        """A time (ISO 8601, or seconds or milliseconds since the epoch) in milliseconds; null when it is none."""
        return _millis(value)

    @functions.signature(_NUMBER, _NUMBER)
    def _func_multiply(self, one: float, other: float) -> float:
        """The product, to turn percent into shares or seconds into milliseconds."""
        return one * other

    @functions.signature({"types": ["object", "null"]}, _TEXT)
    def _func_lookup(self, table: dict[str, Any] | None, key: str | None) -> Any:
        """The value of a key that is itself the result of an expression."""
        return None if table is None or key is None else table.get(key)


_OPTIONS: Final = Options(custom_functions=WebhookFunctions())


def _unknown_functions(node: Mapping[str, Any]) -> Iterator[str]:
    if node["type"] == "function_expression":
        name, given = str(node["value"]), len(node["children"])
        known = WebhookFunctions.FUNCTION_TABLE.get(name)
        if known is None:
            all_names = ", ".join(sorted(WebhookFunctions.FUNCTION_TABLE))
            meant = "".join(
                f"; did you mean {each}()?" for each in close_names(name, WebhookFunctions.FUNCTION_TABLE)[:1]
            )
            yield f"calls {name}(), which does not exist{meant or f'; there are {all_names}'}"
        else:
            wanted = len(known["signature"])
            open_ended = bool(known["signature"]) and known["signature"][-1].get("variadic", False)
            if given < wanted or (given > wanted and not open_ended):
                more = " or more" if open_ended else ""
                yield f"gives {name}() {given} arguments; it takes {wanted}{more}"
    for child in _children(node):
        yield from _unknown_functions(child)


def _unknown_names(node: Mapping[str, Any], names: frozenset[str]) -> Iterator[str]:
    """Names at the root of the expression that will never be there."""
    if node["type"] == "field" and node["value"] not in names:
        yield f"begins with {node['value']!r}, but there are only {', '.join(sorted(names))}"
    if node["type"] == "expref":
        return
    children = _children(node)
    for child in children[:1] if node["type"] in _SCOPED else children:
        yield from _unknown_names(child, names)


def _hasty_negations(node: Mapping[str, Any]) -> Iterator[str]:
    """JMESPath reads ``!a.b`` as ``(!a).b``, which is always null; nobody means that."""
    children = _children(node)
    if node["type"] in _SCOPED - {"pipe"} and children and children[0]["type"] == "not_expression":
        yield "negates only the first name after '!': write !(a.b) for a name with parts"
    for child in children:
        yield from _hasty_negations(child)


def _children(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A slice keeps numbers where others keep nodes."""
    return [child for child in node["children"] if isinstance(child, dict)]


def _after(ref: str | None, prefix: str) -> str | None:
    return ref[len(prefix) :] if ref is not None and ref.startswith(prefix) and len(ref) > len(prefix) else None


def _millis(value: Any) -> int | None:
    if isinstance(value, str):
        try:
            value = moment_of(value)
        except ValueError:
            return None
        return value if value >= 0 else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        return None
    return millis_of(value)
