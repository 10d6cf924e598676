"""What ``api.server`` relies on in uvicorn's server.

When it fails after an upgrade: uvicorn does not end by the signal it was told to end by any more, or notes signals
elsewhere. In the first case ``_Server.handle_exit`` may go; in the second look what it must not do. Or it starts in
another way, and what the application was built of is looked through for garbage again and again.
"""

import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from api import server


def test_uvicorn_still_notes_a_signal_to_die_by_and_ours_does_not() -> None:
    async def app(*_: object) -> None: ...

    config = uvicorn.Config(app, log_config=None)
    plain, ours = uvicorn.Server(config), vars(server)["_Server"](config, vars(server)["_Stop"]())
    for each in (plain, ours):
        each.handle_exit(signal.SIGTERM, None)
        assert each.should_exit
    assert vars(plain)["_captured_signals"] == [signal.SIGTERM]
    assert vars(ours)["_captured_signals"] == []


async def test_what_was_built_is_set_aside_once_it_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[bool] = []

    async def app(scope: dict[str, str], receive: Callable[[], Awaitable[object]], send: Callable[..., Any]) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        started.append(False)
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    monkeypatch.setattr(server, "loaded", lambda: started.append(True))
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="on")
    config.load()
    ours = vars(server)["_Server"](config, vars(server)["_Stop"]())
    ours.lifespan = config.lifespan_class(config)
    await ours.startup()
    assert started == [False, True]
    await ours.shutdown()
