"""Whether a token's claims are what a rule of the access policy asks for. Pure.

Deliberately not here: the rules (``identity.policy``), whether a token is genuine (``identity.id_tokens``).
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

from pydantic import JsonValue

MAX_DEPTH: Final = 4
"""Levels of a match that are read."""
_MAX_CLAIM: Final = 4096
"""Characters of a claim that are compared; a longer one fits nothing."""
_CONTAINS: Final = "contains"
_LINE_ENDS: Final = r"\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029"
_BETWEEN: Final = ("", "/", ":")
"""What parts of a path or subject end at, and the ends of the whole."""


def comparable(claims: Mapping[str, Any]) -> dict[str, JsonValue]:
    """The claims as far as any policy can compare them: what fits no rule today fits none that is written tomorrow."""
    return cast(dict[str, JsonValue], _comparable(claims, 0))


def applies(match: Mapping[str, JsonValue], issuer: str, claims: Mapping[str, Any]) -> bool:
    """True when the claims of this issuer's token are what a rule asks for."""
    wanted = {name: pattern for name, pattern in match.items() if name != "issuer"}
    return match["issuer"] == issuer and _fits(wanted, claims)


def _fits(pattern: JsonValue | Mapping[str, JsonValue], claim: object) -> bool:
    """A map: every key fits; a list: one of these fits; else the claim is this. ``contains`` alone is of claims that
    are lists and of nothing else: one of it fits. A claim that is a list fits nothing but that: an issuer that starts
    to send several values must not open what was meant for one.
    """
    if isinstance(pattern, Mapping):
        if isinstance(claim, list):
            values = cast(list[object], claim)
            return set(pattern) == {_CONTAINS} and any(_fits(pattern[_CONTAINS], each) for each in values)
        if not isinstance(claim, Mapping):
            return False
        inside = cast(Mapping[str, object], claim)
        return set(pattern) != {_CONTAINS} and all(
            name in inside and _fits(each, inside[name]) for name, each in pattern.items()
        )
    if isinstance(pattern, list):
        return any(_fits(each, claim) for each in pattern)
    if not isinstance(claim, str | int):
        return False
    text = _text(claim)
    return len(text) <= _MAX_CLAIM and _glob(_text(pattern)).fullmatch(text) is not None


def _comparable(claim: object, depth: int) -> object:
    """None for what fits nothing."""
    if depth > MAX_DEPTH + 1:
        return None
    if isinstance(claim, Mapping):
        inside = {name: _comparable(each, depth + 1) for name, each in cast(Mapping[str, object], claim).items()}
        return {name: each for name, each in inside.items() if each is not None and _storable(name)}
    if isinstance(claim, list):
        values = (_comparable(each, depth + 1) for each in cast(list[object], claim))
        return [each for each in values if each is not None]
    if isinstance(claim, str):
        return claim if len(claim) <= _MAX_CLAIM and _storable(claim) else None
    return claim if isinstance(claim, int) else None


def _storable(text: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def _text(value: object) -> str:
    """As JSON says it: issuers write ``true`` and ``"true"`` for the same."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> re.Pattern[str]:
    """``*`` stands for anything without ``/`` and ``:``, so that no part of a path or subject slips into the next;
    ``**`` for anything. One that is a whole part, or all, stands for something: ``acme/*`` is not ``acme/``. Neither
    spans a line end: what is one line in the policy is one in the claim. Nothing else is special: names such as
    ``dependabot[bot]`` are themselves.
    """
    pieces = re.split(r"(\*+)", pattern)
    done: list[str] = []
    for number, piece in enumerate(pieces):
        if number % 2 == 0:
            done.append(re.escape(piece))
            continue
        whole = pieces[number - 1][-1:] in _BETWEEN and pieces[number + 1][:1] in _BETWEEN
        signs = f"[^/:{_LINE_ENDS}]" if piece == "*" else f"[^{_LINE_ENDS}]"
        done.append(f"{signs}{'+' if whole else '*'}")
    return re.compile("".join(done))
