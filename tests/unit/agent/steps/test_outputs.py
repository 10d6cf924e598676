"""What a step left in the place of its files."""

import os
from pathlib import Path

import pytest

from agent.steps.outputs import OutputsUnreadable, read_file


def test_a_pipe_that_somebody_still_writes_into_is_no_file(tmp_path: Path) -> None:
    """There is nothing to read and no end: it was an error of the agent's, and so of the whole attempt."""
    pipe = tmp_path / "output"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    try:
        with pytest.raises(OutputsUnreadable, match="no file any more"):
            read_file(pipe)
    finally:
        os.close(writer)
