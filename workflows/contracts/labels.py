"""What a job may demand of an agent by its labels, and which agents meet it. Pure.

A requirement is ``os=linux`` (the label has this value), ``gpu=*`` (it is there, whatever its value), ``!spot`` (it is
not there) or ``!os=windows`` (it has not this value). All of a job's requirements must hold.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

_KEY: Final = r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?"
_VALUE: Final = r"[A-Za-z0-9]([A-Za-z0-9._:+-]{0,61}[A-Za-z0-9])?"
_REQUIREMENT: Final = re.compile(rf"^(?P<negated>!?)(?P<key>{_KEY})(=(?P<value>\*|{_VALUE}))?$")

LabelKey = Annotated[str, StringConstraints(pattern=f"^{_KEY}$")]
LabelValue = Annotated[str, StringConstraints(pattern=f"^({_VALUE})?$")]


def _requirement(text: str) -> str:
    """``gpu`` means ``gpu=*`` and is kept so, that equal demands look equal."""
    parts = _REQUIREMENT.match(text)
    if parts is None:
        raise ValueError("must look like `os=linux`, `gpu=*`, `!spot` or `!os=windows`")
    value = parts["value"]
    if parts["negated"] and value in {None, "*"}:
        return f"!{parts['key']}"
    return f"{parts['negated']}{parts['key']}={value or '*'}"


Requirement = Annotated[str, StringConstraints(max_length=130), AfterValidator(_requirement)]


def unmet(labels: Mapping[str, str], requires: Iterable[str]) -> list[str]:
    """The requirements that an agent with these labels does not meet."""
    return [requirement for requirement in requires if not _met(labels, requirement)]


def contradiction(requires: Sequence[str]) -> str | None:
    """Why no agent whatever could meet all of these, or None."""
    exact: dict[str, str] = {}
    for requirement in requires:
        key, _, value = requirement.partition("=")
        if requirement.startswith("!") or value == "*":
            continue
        if exact.setdefault(key, value) != value:
            return f"{key}={exact[key]} and {requirement} cannot both hold"
    for requirement in requires:
        key, _, value = requirement.removeprefix("!").partition("=")
        if not requirement.startswith("!"):
            continue
        wanted = [other for other in requires if other.partition("=")[0] == key]
        if (not value and wanted) or (value and f"{key}={value}" in requires):
            other = wanted[0] if not value else f"{key}={value}"
            return f"{other} and {requirement} cannot both hold"
    return None


def normalised(requires: Iterable[str]) -> list[str]:
    """Sorted and without repetition: equal demands share a queue."""
    return sorted(set(requires))


def _met(labels: Mapping[str, str], requirement: str) -> bool:
    negated = requirement.startswith("!")
    key, _, value = requirement.removeprefix("!").partition("=")
    there = key in labels if value in {"", "*"} else labels.get(key) == value
    return there is not negated
