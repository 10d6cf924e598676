"""Patterns of files that a job keeps: ``{a,b}`` written out, ``!x`` for what is left out, and ``artifacts`` as a map.

Braces are written out where a job is taken: agents get plain patterns, and those of an earlier version work too. Groups
do not nest and are no ranges; who means a brace itself writes ``[{]``. Pure. Deliberately not here: how a pattern is
matched (``agent.artifacts.files``).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import product
from typing import Annotated, Any, Final, Literal, cast

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema

from workflows.contracts.base import Frozen
from workflows.contracts.fields import INCOMING, ArtifactGlob, relative_glob
from workflows.contracts.refusals.places import RULES_OF_ARTIFACTS, close_names
from workflows.contracts.workspace.expiry import Expiry

MAX_PATTERNS: Final = 100
_PARTS: Final = re.compile(r"\[[^\]/]+\]|\{[^{}]*\}|[^\[{}]+|.", re.DOTALL)
IfNone = Literal["fail", "warn", "ignore"]


class ArtifactRules(Frozen):
    """What else is said of a job's artifacts. ``if_none``: what it means when no file at all is found.

    ``expires``: how long they are kept after the job's end, in seconds. No agent has to know it.
    """

    if_none: IfNone = Field(
        default="warn", description="`fail`: a job that succeeded fails. `warn`: its log says so. `ignore`: nothing."
    )
    expires: Expiry | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="How long they are kept after the job's end, such as `7d`; the policy can say less, not more.",
    )

    def for_agents(self) -> "ArtifactRules":
        """What agents have to know of it."""
        return self.model_copy(update={"expires": None})


NO_RULES: Final = ArtifactRules()


def written_out(pattern: str) -> list[str]:
    """The patterns that one with ``{a,b}`` stands for. Raises ValueError for braces that mean nothing."""
    choices: list[Sequence[str]] = []
    for part in _PARTS.findall(pattern):
        if part in "{}":
            raise ValueError(f"has a {part!r} without its other half, or groups inside groups: write each pattern out")
        if part.startswith("{"):
            inside = part[1:-1].split(",")
            if len(inside) == 1:
                raise ValueError(
                    f"has {part!r}, which is no choice like '{{a,b}}', and variables are not replaced here: write the "
                    "name itself, or '[{]' for a brace"
                )
            choices.append(inside)
        else:
            choices.append([part])
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > MAX_PATTERNS:
        raise ValueError(f"stands for {count} patterns; at most {MAX_PATTERNS} are allowed")
    return list(dict.fromkeys("".join(each) for each in product(*choices)))


def means(pattern: str, path: str) -> bool:
    """Whether a pattern without ``!`` means this path: one segment each, ``**`` any number, a folder all below it.
    Names that begin with a dot are as good as others: it chooses among files that were kept.
    """
    parts = path.split("/")
    try:
        plain = written_out(pattern)
    except ValueError:
        plain = [pattern]
    return any(_fits([each for each in one.split("/") if each not in {"", "."}], parts) for one in plain)


def parts_of(pattern: str) -> int:
    """How many segments it has, with all that its braces stand for."""
    try:
        plain = written_out(pattern)
    except ValueError:
        plain = [pattern]
    return sum(one.count("/") + 1 for one in plain)


def _fits(segments: Sequence[str], parts: Sequence[str]) -> bool:
    """In time that grows with one times the other, whatever the words: all places in the pattern at once."""
    end = len(segments)
    at = _from(0, segments)
    for part in parts:
        if end in at:
            return True
        at = {
            place
            for before in at
            for place in (
                _from(before, segments)
                if segments[before] == "**"
                else _from(before + 1, segments)
                if fnmatchcase(part, segments[before])
                else ()
            )
        }
    return end in at


def _from(place: int, segments: Sequence[str]) -> set[int]:
    """This place, and those behind it that only ``**`` is before."""
    places = {place}
    while place < len(segments) and segments[place] == "**":
        place += 1
        places.add(place)
    return places


def excluded(pattern: str) -> str | None:
    """What a pattern like ``!x`` leaves out; None for one that takes files in."""
    return pattern[1:] if pattern.startswith("!") else None


def leaves_out(patterns: Iterable[str]) -> bool:
    """Whether there is one that leaves files out."""
    return any(excluded(pattern) is not None for pattern in patterns)


def with_rules_apart(fields: object) -> object:
    """A job's or a stage's fields with ``artifacts`` as a list, and beside it what its map said (``artifact_rules``).

    Raises ValueError for a map with other names, or when both forms are used.
    """
    if not isinstance(fields, Mapping):
        return fields
    given = cast(Mapping[str, Any], fields)
    if not isinstance(given.get("artifacts"), Mapping):
        return given
    said = cast(Mapping[str, Any], given["artifacts"])
    unknown = sorted(str(name) for name in said if name not in {"paths", *RULES_OF_ARTIFACTS})
    if unknown:
        meant = [name for each in unknown for name in close_names(each, ("paths", *RULES_OF_ARTIFACTS))[:1]]
        hint = (
            f"; did you mean {', '.join(meant)[:200]}?"
            if meant
            else f"; it knows paths and {', '.join(RULES_OF_ARTIFACTS)}"
        )
        raise ValueError(f"artifacts: has {', '.join(unknown)[:200]}{hint}")
    if "artifact_rules" in given:
        raise ValueError("artifacts: is a map, so artifact_rules must not be there as well")
    rules = {name: said[name] for name in RULES_OF_ARTIFACTS if name in said}
    if "paths" not in said:
        raise ValueError("artifacts: as a map it needs paths, a list of files to keep")
    return {**given, "artifacts": said["paths"], **({"artifact_rules": rules} if rules else {})}


def _usable_braces(pattern: str, info: ValidationInfo) -> str:
    """What was taken by an earlier version keeps the braces that it has."""
    if info.context is INCOMING:
        for each in written_out(pattern):
            relative_glob(each)
    return pattern


def _plain_globs(patterns: list[str], info: ValidationInfo) -> list[str]:
    plain: list[str] = []
    for pattern in patterns:
        try:
            plain += written_out(pattern)
        except ValueError:
            plain.append(pattern)
    plain = list(dict.fromkeys(plain))
    if info.context is INCOMING:
        if len(plain) > MAX_PATTERNS:
            raise ValueError(f"with {{a,b}} written out these are {len(plain)}; at most {MAX_PATTERNS} are allowed")
        if plain and leaves_out(plain) and all(leaves_out([each]) for each in plain):
            raise ValueError("only leave files out: name those to keep as well")
    return plain


ArtifactGlobs = Annotated[
    list[Annotated[ArtifactGlob, AfterValidator(_usable_braces)]],
    Field(max_length=MAX_PATTERNS),
    AfterValidator(_plain_globs),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 1024}, "maxItems": 100},
                {
                    "type": "object",
                    "properties": {
                        "paths": {"type": "array", "items": {"type": "string"}, "maxItems": 100},
                        "if_none": {"enum": ["fail", "warn", "ignore"], "default": "warn"},
                        "expires": {"type": ["string", "integer"], "examples": ["7d"]},
                    },
                    "required": ["paths"],
                    "additionalProperties": False,
                },
            ]
        },
        mode="validation",
    ),
]
