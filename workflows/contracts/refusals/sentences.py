"""One sentence for each kind of finding that pydantic knows, so that no message speaks of its insides.

A sentence goes on behind a field's name: ``steps.0.run: must be text, not a list``. Of the value its kind is told,
never the value itself. A test walks all kinds that pydantic lists. Deliberately not here: which field it is, and what
an unknown one may have been meant to be (``places``).
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from workflows.contracts.shapes import IN_WORDS

_TEXT: Final = "must be text"
_MAP: Final = "must be a map of fields"
_LIST: Final = "must be a list"
_BOOLEAN: Final = "must be true or false"
_WHOLE: Final = "must be a whole number"
_NUMBER: Final = "must be a number"
_DAY: Final = "must be a day such as 2026-12-24"
_TIME: Final = "must be a time such as 2026-12-24T18:00:00Z"
_PERIOD: Final = "must be a number of seconds"
_ADDRESS: Final = "must be an address such as https://example.com/path"
_ID: Final = "must be an id like 123e4567-e89b-42d3-a456-426614174000"
_NONE_OF_IT: Final = "has a form that is not taken"
_FIXED: Final = "cannot be changed"
_TOO_DEEP: Final = "is nested too deep"
_UNREADABLE: Final = "cannot be read"

SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is needed",
    "extra_forbidden": "is unknown here",
    "value_error": "{error}",
    "assertion_error": "{error}",
    "model_type": _MAP,
    "model_attributes_type": _MAP,
    "dataclass_type": _MAP,
    "dataclass_exact_type": _MAP,
    "dict_type": _MAP,
    "frozen_dict_type": _MAP,
    "ordered_dict_type": _MAP,
    "counter_type": _MAP,
    "mapping_type": _MAP,
    "invalid_key": "has a name that is no text",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "named_tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "deque_type": _LIST,
    "iterable_type": _LIST,
    "iteration_error": _LIST,
    "set_item_not_hashable": "cannot be a list or a map here",
    "too_short": "must have at least {min_length:entries}",
    "too_long": "must have at most {max_length:entries}",
    "string_type": _TEXT,
    "string_unicode": "must be valid UTF-8",
    "string_too_short": "must have at least {min_length:characters}",
    "string_too_long": "must have at most {max_length:characters}",
    "string_pattern_mismatch": "must be {pattern}",
    "string_not_ascii": "must have ASCII characters only",
    "bytes_type": _TEXT,
    "bytes_too_short": "must have at least {min_length:bytes}",
    "bytes_too_long": "must have at most {max_length:bytes}",
    "bytes_invalid_encoding": "must be valid {encoding}",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "is too large a number",
    "int_from_float": "must be a whole number, without a fraction",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "decimal_type": _NUMBER,
    "decimal_parsing": _NUMBER,
    "fraction_type": _NUMBER,
    "fraction_parsing": _NUMBER,
    "complex_type": _NUMBER,
    "complex_str_parsing": _NUMBER,
    "decimal_max_digits": "must have at most {max_digits:digits}",
    "decimal_max_places": "must have at most {decimal_places:digits} behind the point",
    "decimal_whole_digits": "must have at most {whole_digits:digits} before the point",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "multiple_of": "must be a multiple of {multiple_of}",
    "none_required": "must be left out",
    "union_tag_invalid": "must have as {discriminator} one of {expected_tags}",
    "union_tag_not_found": "needs {discriminator}, which says what kind it is",
    "json_invalid": "is no JSON: {error}",
    "json_type": "must be JSON in a text",
    "recursion_loop": _TOO_DEEP,
    "recursion_depth_exceeded": _TOO_DEEP,
    "date_type": _DAY,
    "date_parsing": _DAY,
    "date_from_datetime_parsing": _DAY,
    "date_from_datetime_inexact": "must be a day, without a time",
    "date_past": "must be a day that has gone",
    "date_future": "must be a day to come",
    "time_type": "must be a time of day such as 18:00:00",
    "time_parsing": "must be a time of day such as 18:00:00",
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_past": "must be a time that has gone",
    "datetime_future": "must be a time to come",
    "timezone_naive": "must be a time without a zone",
    "timezone_aware": "must be a time with its zone, such as 2026-12-24T18:00:00Z",
    "timezone_offset": "must be a time of another zone",
    "time_delta_type": _PERIOD,
    "time_delta_parsing": _PERIOD,
    "url_type": _ADDRESS,
    "url_parsing": _ADDRESS,
    "url_syntax_violation": _ADDRESS,
    "url_too_long": "must have at most {max_length:characters}",
    "url_scheme": "must be an address that begins with {expected_schemes}",
    "uuid_type": _ID,
    "uuid_parsing": _ID,
    "uuid_version": _ID,
    "frozen_field": _FIXED,
    "frozen_instance": _FIXED,
    "missing_argument": "is needed",
    "missing_keyword_only_argument": "is needed",
    "missing_positional_only_argument": "is needed",
    "unexpected_keyword_argument": "is unknown here",
    "unexpected_positional_argument": "is unknown here",
    "multiple_argument_values": "is given twice",
    "no_such_attribute": "is unknown here",
    "get_attribute_error": _UNREADABLE,
    "default_factory_not_called": "depends on another field, which is wrong",
    "needs_python_object": _NONE_OF_IT,
    "arguments_type": _NONE_OF_IT,
    "is_instance_of": _NONE_OF_IT,
    "is_subclass_of": _NONE_OF_IT,
    "callable_type": _NONE_OF_IT,
    "missing_sentinel_error": _NONE_OF_IT,
    "ellipsis_error": _NONE_OF_IT,
}
"""By pydantic's name of the finding. ``{x:noun}`` is a count with its noun; what else is in braces, the context's."""

_KINDS_MATTER: Final = frozenset({_TEXT, _MAP, _LIST, _BOOLEAN, _WHOLE, _NUMBER})
_OLD_BOOLEANS: Final = {
    **dict.fromkeys(("yes", "y", "on"), "true"),
    **dict.fromkeys(("no", "n", "off"), "false"),
}
"""Booleans for YAML 1.1, texts for YAML 1.2 and JSON."""
_SINGULAR: Final = {"entries": "entry", "characters": "character", "bytes": "byte", "digits": "digit"}
_PLACE: Final = re.compile(r"\{(\w+)(?::(\w+))?\}")
_JSON_PLACE: Final = re.compile(r"(.*?) at line ([0-9]+) column ([0-9]+)", re.DOTALL)
_JSON_FAULTS: Final[Mapping[str, str]] = {
    "EOF while parsing": "it ends too early",
    "expected value": "a value is missing",
    "expected ident": "a word there is none that JSON knows",
    "trailing characters": "something stands behind its end",
    "trailing comma": "a comma stands before the end of a list or object",
    "key must be a string": "a name must be in double quotes",
    "expected `:`": "a colon is missing behind a name",
    "expected `,` or `}`": "a comma or } is missing",
    "expected `,` or `]`": "a comma or ] is missing",
    "control character": "a text holds a line's end or another control character, which is written like \\n",
    "invalid escape": "a backslash is followed by a letter that means nothing",
    "lone leading surrogate": "a text holds half a character (a lone surrogate)",
    "unexpected end of hex escape": "a text holds half a character (a lone surrogate)",
    "invalid unicode code point": "it is not UTF-8",
    "number out of range": "a number is too large",
    "invalid number": "a number is written wrongly",
    "recursion limit exceeded": "it is nested too deep",
}


def sentence(finding: Mapping[str, Any]) -> str:
    """What is wrong, from one of pydantic's findings (``type``, ``ctx``, ``input``), without the field's name."""
    kind, context = str(finding["type"]), finding.get("ctx", {})
    template = SENTENCES.get(kind)
    if template is None:  # a kind that a validator of ours has made up brings its own words
        return str(finding["msg"])
    if kind in ("too_short", "too_long") and isinstance(finding.get("input"), str):
        template = SENTENCES[f"string_{kind}"]  # of a text that was looked at first, pydantic counts no characters
    if kind == "string_pattern_mismatch":
        pattern = str(context.get("pattern"))
        return f"must be {IN_WORDS[pattern]}" if pattern in IN_WORDS else f"must fit the pattern {pattern}"
    if kind == "json_invalid":
        return f"is no JSON: {json_fault(str(context.get('error')))}"
    said = _PLACE.sub(lambda found: _filled(context.get(found[1], "?"), found[2]), template)
    if "input" not in finding or said not in _KINDS_MATTER:
        return said
    return said + (_as_boolean(finding["input"]) if said == _BOOLEAN else _by_kind(kind, said, finding["input"]))


def json_fault(told: str) -> str:
    """Where a JSON text goes wrong, and why: from the parser's own line."""
    found = _JSON_PLACE.fullmatch(told)
    words = told if found is None else found[1]
    why = next((ours for theirs, ours in _JSON_FAULTS.items() if words.startswith(theirs)), "it cannot be read there")
    return why if found is None else f"line {found[2]}, column {found[3]}: {why}"


def _filled(value: object, noun: str | None) -> str:
    if noun is None:
        return str(value)
    return f"{value} {_SINGULAR[noun] if value == 1 else noun}"


def _as_boolean(given: object) -> str:
    meant = None
    if isinstance(given, str):
        word = given.lower()
        meant = word if word in ("true", "false") else _OLD_BOOLEANS.get(word)
    return f", not {_kind(given)}" if meant is None else f": write {meant} without quotes, not {given!r}"


def _by_kind(kind: str, said: str, given: object) -> str:
    """How to write it, or what stands there instead. The value itself may be secret."""
    if not kind.endswith("_type"):  # a variable or a part of an address, which is text always
        return ""
    if given is None:
        return ", and is empty"
    if said == _TEXT and isinstance(given, bool | int | float):
        return ": put it in quotes"
    if said in (_WHOLE, _NUMBER) and isinstance(given, str) and re.fullmatch(r"-?[0-9]{1,300}", given):
        return ": write it without quotes"
    told = _kind(given)
    return "" if told is None or said.endswith(told) else f", not {told}"


def _kind(given: object) -> str | None:
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (type(None), "nothing"), (bool, "true or false"), ((int, float), "a number"), (str, "text"),
        ((list, tuple), "a list"), (Mapping, "a map"),
    )  # fmt: skip
    return next((word for kind, word in kinds if isinstance(given, kind)), None)
