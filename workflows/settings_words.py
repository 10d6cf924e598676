"""What is wrong with settings, a sentence for each bad variable, in our words and not in a library's.

Deliberately not here: requests, whose fields have words of their own (``contracts.errors``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from workflows.contracts.refusals.sentences import sentence


def sentences(error: ValidationError) -> Sequence[str]:
    """One for each fault. Values are left out: they may be secrets."""
    return [_sentence(dict(fault)) for fault in error.errors(include_url=False, include_input=False)]


def _sentence(fault: Mapping[str, Any]) -> str:
    said = sentence(fault).rstrip(".")
    if not fault["loc"]:
        return f"{said}."  # of several variables, which it names
    return f"{str(fault['loc'][0]).upper()} is wrong: {said}. Correct this environment variable."
