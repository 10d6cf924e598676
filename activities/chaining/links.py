"""What every link shares: its shape, its store, and the way to read a context that fails loudly.

A link is stateless, takes store interfaces in its constructor, and stops its chain by raising a typed error:
CodeUChain has no other way, its predicates are stored and never read. ``Context.get`` answers None for an absent
key, so links read with ``require``.
"""

from typing import Any, Generic, Protocol, TypeVar

from codeuchain import Context

from activities.clock import Clock, epoch_millis

T = TypeVar("T")
S = TypeVar("S")


class Link(Protocol):
    """A link of our chains, by the shape that ``codeuchain.Chain`` calls."""

    async def call(self, ctx: Context[Any]) -> Context[Any]:
        """Answer a context with this link's result added. Raises contracts.errors to stop the chain."""
        ...


class StoreLink(Generic[S]):
    """A link over one store; ``clock`` is for those that keep a time or wait for one."""

    def __init__(self, store: S, *, clock: Clock = epoch_millis) -> None:
        self._store = store
        self._clock = clock


class ChainMiswiredError(TypeError):
    """A link did not find in its context what an earlier link or the caller owes it: a mistake in our code."""


def require(ctx: Context[Any], key: str, kind: type[T]) -> T:
    """The context's value of this key. Raises ChainMiswiredError when it is absent or of another type."""
    value = ctx.get(key)
    if not isinstance(value, kind):
        found = "nothing" if value is None else f"a {type(value).__name__}"
        raise ChainMiswiredError(
            f"the chain's context holds {found} under {key!r} where a {kind.__name__} is needed: "
            f"put the link that inserts {key!r} before this one, or pass it to run_chain"
        )
    return value
