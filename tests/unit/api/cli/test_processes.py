"""A process that is told to stop while it loads: no failure, wherever in an import that comes."""

import subprocess
import sys

import pytest

_LOADS: str = """
import os, signal
from api.cli.processes import stop_cleanly_while_loading

class Named:
    def __set_name__(self, owner, name):  # Python makes a RuntimeError of every exception that comes out of this
        os.kill(os.getpid(), signal.{signal})

stop_cleanly_while_loading()
try:
    class Holder:
        named = Named()
except ImportError:  # as code does that goes on without a package
    pass
print("went on")
"""


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT"])
def test_it_ends_with_0_and_says_nothing(signal: str) -> None:
    done = subprocess.run([sys.executable, "-c", _LOADS.format(signal=signal)], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
