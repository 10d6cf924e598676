"""What ``api.server`` relies on in uvicorn's server.

When it fails after an upgrade: uvicorn does not end by the signal it was told to end by any more, or notes signals
elsewhere. In the first case ``_Server.handle_exit`` may go; in the second look what it must not do.
"""

import signal

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
