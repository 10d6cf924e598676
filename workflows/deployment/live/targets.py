"""What a rollback goes back to: one pure choice among the versions that were live in an environment.

Deliberately not here: whether that one can be had (``activities.deployments.readiness``).
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from workflows.contracts.deployments.environments import LiveVersion


@dataclass(frozen=True, slots=True)
class WayBack:
    """``forward``: it is not what was live before, nor before that: going there is a roll forward."""

    target: LiveVersion
    forward: bool = False


def choose(
    history: Sequence[LiveVersion],
    present: str,
    previous: LiveVersion | None,
    *,
    to_version: str | None = None,
    to_commit: str | None = None,
    banned: Set[str] = frozenset(),
) -> WayBack | None:
    """The target, None when there is none.

    ``history``: newest first. ``present``: the deployment that is gone back from; ``previous``: what was live before
    it. Nothing named: the next one before it that is not ``banned`` (deployment ids). A named one is whatever was ever
    live.
    """
    others = [live for live in history if live.deployment_id != present]
    if previous is not None and all(live.deployment_id != previous.deployment_id for live in others):
        others = [previous, *others]
    way = list(_before(others, previous))
    if to_version is None and to_commit is None:
        allowed = (live for live in way if live.deployment_id not in banned)
        return next((WayBack(live) for live in allowed), None)
    named = (live for live in others if to_version in {None, live.version} and to_commit in {None, live.git_commit_sha})
    target = next(named, None)
    if target is None:
        return None
    return WayBack(target, forward=all(live.deployment_id != target.deployment_id for live in way))


def previous_of(history: Sequence[LiveVersion], present: str, version_before: str | None) -> LiveVersion | None:
    """What was live before ``present``, which is or was live itself.

    By what its entry says; in a history of before entries said it, by ``version_before`` (as the deployment's record
    has it), else the next older entry.
    """
    own = next((live for live in history if live.deployment_id == present), None)
    others = [live for live in history if live.deployment_id != present]
    if own is not None and own.before is not None:  # "": nothing
        return next((live for live in others if live.deployment_id == own.before), None)
    if version_before is None:
        return None
    named = next((live for live in others if live.version == version_before), None)
    if named is not None or own is None:
        return named
    return next(iter(history[list(history).index(own) + 1 :]), None)


def _before(others: Sequence[LiveVersion], previous: LiveVersion | None) -> Iterator[LiveVersion]:
    """The way back: what was live before, what was live before that, and so on; where that is not known, the older."""
    seen = set[str]()
    live = previous
    while live is not None and live.deployment_id not in seen:
        yield live
        seen.add(live.deployment_id)
        live = _next(others, live, seen)


def _next(others: Sequence[LiveVersion], live: LiveVersion, seen: Set[str]) -> LiveVersion | None:
    if live.before is not None:
        return next((each for each in others if each.deployment_id == live.before), None)
    place = next(
        (number for number, each in enumerate(others) if each.deployment_id == live.deployment_id), len(others)
    )
    return next((each for each in others[place + 1 :] if each.deployment_id not in seen), None)
