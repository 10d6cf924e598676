"""Links of the line: what a chain does with the one record of all wide freezes and holds; first what they hand on."""

from collections.abc import Callable
from typing import Final, TypedDict

from codeuchain import Context

from activities.chaining.links import StoreLink, require
from activities.stores.interfaces.environments import LineStore
from workflows.contracts.deployments.line import LineChange, LineChanged, LineState
from workflows.contracts.errors import FieldError, Unavailable, ValidationFailed
from workflows.line.change import Changed, let_go, stopped

_TRIES: Final = 20


class LineContext(TypedDict, total=False):
    """What the chains of the line hand on. ``change_id`` tells a change that is tried again."""

    change: LineChange
    change_id: str
    changed: LineChanged
    line: LineState


class ChangeLine:
    """``change`` and ``change_id`` → ``changed``. Raises ValidationFailed, InvalidState, Unavailable."""

    def __init__(self, store: LineStore, *, clock: Callable[[], int]) -> None:
        self._store, self._clock = store, clock

    async def call(self, ctx: Context[LineContext]) -> Context[LineContext]:
        """Optimistic: reads the line, and again when another change came between."""
        change, change_id = require(ctx, "change", LineChange), require(ctx, "change_id", str)
        for _ in range(_TRIES):
            line = await self._store.get()
            if change_id in line.changes:  # stored before its answer was lost; whom it concerned is not known any more
                return ctx.insert("changed", LineChanged(line=line, scopes=[]))
            made = _made(line, change, change_id, self._clock())
            if await self._store.put(made.line, [made.event]):
                return ctx.insert("changed", LineChanged(line=made.line, scopes=made.scopes))
        raise Unavailable("The line changes faster than this change can be stored. Ask for it again.")


class RetrieveLine(StoreLink[LineStore]):
    """Nothing → ``line``. Raises Unavailable."""

    async def call(self, ctx: Context[LineContext]) -> Context[LineContext]:
        """A consistent read."""
        return ctx.insert("line", await self._store.get())


def _made(line: LineState, change: LineChange, change_id: str, now: int) -> Changed:
    if change.stop is not None:
        return stopped(line, change.stop, change_id, now)
    if change.go is not None:
        return let_go(line, change.go, change_id, now)
    raise ValidationFailed("Nothing was changed.", [FieldError(field="stop", message="or `go` must be given")])
