"""The one vocabulary in which all tools say what happened in a repository: what a manifest's ``trigger`` takes out of
a payload, so that one judge serves all of them.

A fact that a payload does not tell is None. Deliberately not here: what follows from them (``triggers``).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, cast

from pydantic import StringConstraints

from workflows.contracts.base import Frozen

SUCCESS: Final = "success"
_LONGEST: Final = 1024
_LONGEST_MESSAGE: Final = 8192
_MOST_PATHS: Final = 20_000

Expr = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class TriggerType(StrEnum):
    """What kind of thing happened."""

    PUSH = "push"
    TAG = "tag"
    RELEASE = "release"
    WORKFLOW = "workflow"
    """A workflow, pipeline or build ended."""
    CHECK = "check"
    """One of several checks of a commit ended."""
    DEPLOYMENT = "deployment"
    """Somebody asked a forge for a deployment there."""


class TriggerFacts(Frozen):
    """Of a manifest: which kind of event it is, and for each fact the expression that finds it.

    ``commit``: what it is about. ``name``: of the workflow or check. ``conclusion``: `success` when it was green.
    ``ref``: what a deployment names (a branch, a tag or a commit). ``fork``, ``pull_request``: it is of one.
    ``before``: what was there before a push. ``paths``: what a push changed, null where that is not complete.
    """

    type: TriggerType
    commit: Expr
    branch: Expr | None = None
    tag: Expr | None = None
    ref: Expr | None = None
    name: Expr | None = None
    conclusion: Expr | None = None
    environment: Expr | None = None
    prerelease: Expr | None = None
    draft: Expr | None = None
    fork: Expr | None = None
    pull_request: Expr | None = None
    default_branch: Expr | None = None
    message: Expr | None = None
    before: Expr | None = None
    paths: Expr | None = None


FACT_NAMES: Final = tuple(name for name in TriggerFacts.model_fields if name != "type")
_FLAGS: Final = frozenset({"prerelease", "draft", "fork", "pull_request"})


@dataclass(frozen=True, slots=True)
class Facts:
    """What a payload says, in the vocabulary of ``TriggerFacts``."""

    type: TriggerType
    commit: str | None = None
    branch: str | None = None
    tag: str | None = None
    ref: str | None = None
    name: str | None = None
    conclusion: str | None = None
    environment: str | None = None
    prerelease: bool | None = None
    draft: bool | None = None
    fork: bool | None = None
    pull_request: bool | None = None
    default_branch: str | None = None
    message: str | None = None
    before: str | None = None
    paths: tuple[str, ...] | None = None

    @classmethod
    def of(cls, kind: TriggerType, values: Mapping[str, Any]) -> "Facts":
        """From what the expressions found, whatever that is."""
        found = {name: _fact(name, value) for name, value in values.items()}
        return cls(kind, **found)

    @property
    def known(self) -> dict[str, Any]:
        """Those that the payload tells, for people."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def _fact(name: str, value: Any) -> Any:
    if name == "paths":
        return _paths(value)
    if name in _FLAGS:
        return None if value is None else value not in (False, "", [], {})
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)[: _LONGEST_MESSAGE if name == "message" else _LONGEST] or None


def _paths(value: Any) -> tuple[str, ...] | None:
    """None for anything but a list of names: also for none at all, since a push that changes nothing tells nothing."""
    if not isinstance(value, list):
        return None
    names = [each for each in cast("list[Any]", value) if isinstance(each, str) and each]
    return tuple(dict.fromkeys(names)) if 0 < len(names) <= _MOST_PATHS else None
