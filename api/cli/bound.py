"""A process that ends with whoever started it, also when that was killed: it alone holds the other end of our input.

For what the demo and the benchmark start, so that neither leaves a stack behind that runs for good.
"""

import os
import signal
import threading
import time
from typing import Final

VARIABLE: Final = "HYBRIDCI_ENDS_WITH_STARTER"
_STDIN: Final = 0
_GENTLE_SECONDS: Final = 2.0


def watch_starter() -> None:
    """Stop when the standard input ends, if whoever started us wants that. It does not concern what we start."""
    if os.environ.pop(VARIABLE, None):
        threading.Thread(target=_wait, name="starter", daemon=True).start()


def _wait() -> None:
    while os.read(_STDIN, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GENTLE_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)  # nobody is there any more to whom what still runs matters
