"""How a process of ours starts light and ends at once: what Python does by default costs a third of its start.

Measured: `up` took 12 s of CPU to start and stop and takes 8; a command of the command line took 0.7 and takes 0.5.
"""

import gc
import logging
import os
import sys
from typing import Any, Final, NoReturn, cast

_UNUSED: Final = ("grpc", "httpx._main")
"""Loaded by the SDK and by httpx when they are there, and of use to neither: gRPC's Python library, a command line."""
_USUAL: Final = gc.get_threshold()
_SELDOM: Final = 100_000
"""New objects between two looks for garbage."""


def load_less(*, grpc: bool = False) -> None:
    """Before anything is imported. What is never used is not loaded (``grpc``: that is used), garbage is looked for
    seldom, for what is loaded stays, and pydantic looks for no plugins among all that is installed.
    """
    gc.set_threshold(_SELDOM)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    for module in _UNUSED[grpc:]:
        sys.modules.setdefault(module, cast(Any, None))


def loaded() -> None:
    """What has been loaded is never looked at again for garbage, and from now on Python looks as often as usual."""
    gc.freeze()
    gc.set_threshold(*_USUAL)


def leave(code: int) -> NoReturn:
    """End this process, whose work is done, without taking its interpreter apart.

    That takes up to half a second of CPU for nothing, and the Temporal SDK can crash in it when calls were in flight as
    the event loop closed (SDK issue 300). Output that cannot be written makes the exit code 1 at least.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 1
    os._exit(code)
