"""How a process ends: at once, with its exit code, and with all it had to say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from api.cli import processes
processes.PROCESSES["worker"] = processes.Process("own", "Settings", "own")
import atexit
atexit.register(print, "the interpreter was taken apart")
processes.leave(processes.run_process("worker"))
"""


@pytest.mark.parametrize(
    ("body", "code", "out", "err"),
    [
        ("print('done', end='')\n    return 0", 0, "done", ""),
        ("print('refused', end='')\n    return 2", 2, "refused", ""),
        ("raise KeyError('what')", 1, "", "KeyError: 'what'"),
    ],
)
def test_a_process_leaves_at_once_with_its_code_and_its_output(
    tmp_path: Path, body: str, code: int, out: str, err: str
) -> None:
    (tmp_path / "own.py").write_text(f"class Settings: ...\n\ndef run(settings):\n    {body}\n")
    own = {**os.environ, "TEMPORAL_ADDRESS": "127.0.0.1:9"}
    command = [sys.executable, "-c", _RUN, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=own)
    assert (done.returncode, done.stdout) == (code, out)
    assert done.stderr.strip().splitlines()[-1:] == ([err] if err else [])
