"""What ``activities.chaining`` makes good for in CodeUChain, and whether it is still needed.

When one fails after an upgrade: CodeUChain does by itself what it names, and that part of ``chains`` or ``middleware``
may go.
"""

from typing import Any

import pytest
from codeuchain import Chain, Context, Middleware


class Adds:
    def __init__(self, text: str) -> None:
        self._text = text

    async def call(self, ctx: Context[Any]) -> Context[Any]:
        return ctx.insert("text", (ctx.get("text") or "") + self._text)


class Fails:
    async def call(self, ctx: Context[Any]) -> Context[Any]:
        raise ValueError("no")


async def test_a_second_link_of_one_name_still_replaces_the_first_in_silence() -> None:
    """``build_chain`` refuses it."""
    chain: Chain[Any, Any] = Chain()
    chain.add_link(Adds("first"), "same")
    chain.add_link(Adds("second"), "same")
    assert (await chain.run(Context({}))).get("text") == "second"


async def test_on_an_error_middleware_is_still_not_told_the_link() -> None:
    """``Run.link`` knows which one was called last."""
    told: list[object] = []

    class Notes(Middleware):
        async def before(self, link: object | None, ctx: object) -> None:
            told.append(None if link is None else type(link).__name__)

        async def on_error(self, link: object | None, error: Exception, ctx: object) -> None:
            told.append(("error", link))

    chain: Chain[Any, Any] = Chain()
    chain.add_link(Fails(), "fails")
    chain.use_middleware(Notes())
    with pytest.raises(ValueError, match="no"):
        await chain.run(Context({}))
    assert told == [None, "Fails", ("error", None)]
