"""What is wrong with settings, a sentence for each bad variable, in our words and not in a library's.

Deliberately not here: requests, whose fields have words of their own (``contracts.errors``).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

_WORDS: Final[Mapping[str, str]] = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    "greater_than_equal": "must be {ge} or more",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "is not written as it must be ({pattern})",
    "ip_any_network": "must be addresses or networks, such as 10.0.0.0/8, with commas between",
    "string_too_long": "must have {max_length} characters at most",
    "string_too_short": "must have {min_length} characters at least",
}


def sentences(error: ValidationError) -> Sequence[str]:
    """One for each fault. Values are left out: they may be secrets."""
    return [_sentence(dict(fault)) for fault in error.errors(include_url=False, include_input=False)]


def _sentence(fault: Mapping[str, Any]) -> str:
    words = _WORDS.get(fault["type"])
    said = str(fault["msg"]).removeprefix("Value error, ") if words is None else words.format(**fault.get("ctx", {}))
    said = said.rstrip(".")
    if not fault["loc"]:
        return f"{said}."  # of several variables, which it names
    return f"{str(fault['loc'][0]).upper()} is wrong: {said}. Correct this environment variable."
