"""What makes another tool's event start a deployment of a service: branches, tags, workflows, checks, paths.

Patterns know ``*`` (anything but ``/``), ``**`` (anything) and ``?`` (one sign but ``/``); everything else stands for
itself, and the whole text must fit. Who leaves everything out gets the careful answer: a push to the service's branch
starts a deployment, and nothing else does.
Deliberately not here: judging an event by them (``api.webhooks.triggering.triggers``).
"""

import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StringConstraints, model_validator

from workflows.contracts.base import Frozen
from workflows.contracts.fields import Line, ShortLine

SKIP_WORDS: Final = ("[skip ci]", "[ci skip]", "[no ci]", "[skip deploy]")
MOST_WILDCARDS: Final = 9
"""In one pattern: a template names them by one digit."""
SHORTEST_POLL_SECONDS: Final = 60
_WILDCARD: Final = re.compile(r"\*\*|\*|\?")
_PLACE: Final = re.compile(r"\{([0-9])\}")


def _few_wildcards(pattern: str) -> str:
    if len(_WILDCARD.findall(pattern)) > MOST_WILDCARDS:
        raise ValueError(f"must have at most {MOST_WILDCARDS} wildcards")
    return pattern


def _known_places(template: str) -> str:
    rest = _PLACE.sub("", template)
    if "{" in rest or "}" in rest:
        raise ValueError("may hold {0} (all of the tag) and {1} to {9} (what its wildcards stood for), no other braces")
    return template


Pattern = Annotated[Line, StringConstraints(min_length=1, max_length=200), AfterValidator(_few_wildcards)]
VersionTemplate = Annotated[Line, StringConstraints(min_length=1, max_length=100), AfterValidator(_known_places)]


class TagTrigger(Frozen):
    """Tags that start a deployment, and the version that a tag stands for: ``{1}`` is what the first wildcard was.

    ``by``: whether the push of the tag starts it, only the release that is made of it, or whichever comes.
    """

    pattern: Pattern
    version: VersionTemplate = "{0}"
    by: Literal["push", "release", "either"] = "either"

    @model_validator(mode="after")
    def _has_what_it_names(self) -> Self:
        wildcards = len(_WILDCARD.findall(self.pattern))
        named = max((int(number) for number in _PLACE.findall(self.version)), default=0)
        if named > wildcards:
            raise ValueError(f"version names {{{named}}}, but the pattern {self.pattern} has {wildcards} wildcards")
        return self


class Triggers(Frozen):
    """What starts a deployment of a service.

    ``branches``: not given, the service's `git_ref`; an empty list, none. ``paths``: a push counts only when it changes
    one of these. ``workflows``: names of workflows, pipelines or jobs elsewhere; with any of them a push starts
    nothing, the success of one does. ``required_checks``: all of these must have been seen green for the commit.
    ``deployments``: environments at a forge whose deployment events start one here. ``prereleases``: also tags and
    releases that are marked so. ``skip_words``: in a pushed commit's message, upper or lower case. ``poll_seconds``:
    how often an agent looks at the branches for what no webhook told; without it, never.
    """

    branches: list[Pattern] | None = Field(default=None, max_length=50)
    tags: list[TagTrigger] = Field(default_factory=list[TagTrigger], max_length=50)
    paths: list[Pattern] = Field(default_factory=list[str], max_length=100)
    workflows: list[Pattern] = Field(default_factory=list[str], max_length=50)
    required_checks: list[ShortLine] = Field(default_factory=list[str], max_length=50)
    deployments: list[Pattern] = Field(default_factory=list[str], max_length=50)
    prereleases: StrictBool = False
    skip_words: list[ShortLine] = Field(default_factory=lambda: list(SKIP_WORDS), max_length=50)
    poll_seconds: int | None = Field(default=None, ge=SHORTEST_POLL_SECONDS, le=86_400)


CAREFUL: Final = Triggers()
"""Of a service that says nothing of triggers."""


def filled(template: str, parts: Sequence[str]) -> str:
    """The template with its places filled: ``parts`` are all of the tag, and what its wildcards were."""
    return _PLACE.sub(lambda found: parts[int(found[1])], template)
