"""What a step can put in the place of the file that it was given."""

import os
from pathlib import Path

import pytest

from agent.steps.outputs import OutputsUnreadable, read_file


def test_what_is_no_file_is_neither_waited_for_nor_left_open(tmp_path: Path) -> None:
    folder, fifo = tmp_path / "folder", tmp_path / "fifo"
    folder.mkdir()
    os.mkfifo(fifo)
    writer = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        free = _next_descriptor()
        for path in (folder, fifo):
            with pytest.raises(OutputsUnreadable, match="something else in the place of the file"):
                read_file(path)
        assert _next_descriptor() == free
    finally:
        os.close(writer)


def _next_descriptor() -> int:
    handle = os.open("/dev/null", os.O_RDONLY)
    os.close(handle)
    return handle
