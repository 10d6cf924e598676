"""What an edit made of a job, in words for the trail: a line for each value, before → after.

Values of variables are not told: they may hold secrets. Bounded, since an event is one item of its store.
"""

from collections.abc import Iterator
from typing import Final

from workflows.contracts.fields import shortened
from workflows.contracts.jobs import Job, RetryPolicy, Step

_PLAIN: Final = ("pool", "priority", "timeout_seconds", "git_commit_sha", "git_ref")
_MOST: Final = 40
_CHARACTERS: Final = 300
_NONE: Final = "nothing"


def differences(before: Job, after: Job) -> list[str]:
    """Each at most about 700 characters; 40 at most, and then how many more there are."""
    found = list(_differences(before, after))
    more = len(found) - _MOST
    return [*found[:_MOST], f"and {more} more"] if more > 0 else found


def _differences(before: Job, after: Job) -> Iterator[str]:
    for name in _PLAIN:
        yield from _line(name, getattr(before, name), getattr(after, name))
    yield from _line("requires", " ".join(before.requires), " ".join(after.requires))
    for name in RetryPolicy.model_fields:
        yield from _line(f"retry {name}", getattr(before.retry, name), getattr(after.retry, name))
    for name in sorted(before.env.keys() | after.env.keys()):
        if before.env.get(name) != after.env.get(name):
            yield f"env {name}: " + ("removed" if name not in after.env else "changed" if name in before.env else "set")
    for index in range(max(len(before.steps), len(after.steps))):
        yield from _step(index, before.steps[index : index + 1], after.steps[index : index + 1])


def _step(index: int, before: list[Step], after: list[Step]) -> Iterator[str]:
    name = (before or after)[0].name
    old, new = (step[0].run if step else None for step in (before, after))
    yield from _line(f"step {index + 1} ({name})", old, new)
    if before and after and old == new and before != after:
        yield f"step {index + 1} ({name}): other settings"


def _line(name: str, before: object, after: object) -> Iterator[str]:
    if before != after:
        yield f"{name}: {_value(before)} → {_value(after)}"


def _value(value: object) -> str:
    return _NONE if value is None or value == "" else shortened(str(value), _CHARACTERS)
