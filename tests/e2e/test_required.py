"""A process without what it needs says so in one sentence and ends with exit code 2, at once."""

import os
from pathlib import Path

import pytest

from tests.e2e.stack import run
from tests.servers import OWN_CODE, free_port
from tests.unit.variables import REQUIRED

_ALL = {
    "TEMPORAL_ADDRESS": "127.0.0.1:9",
    "DYNAMODB_ENDPOINT_URL": "http://127.0.0.1:9",
    "HYBRIDCI_ADMIN_KEY": "k" * 40,
    "HYBRIDCI_API_KEY": "k" * 40,
    "HYBRIDCI_GATEWAY_KEY": "k" * 40,
    "HYBRIDCI_GATEWAY_TLS": "off",
    "HYBRIDCI_GATEWAY_PORT": str(free_port()),
}
_MISSING = [
    (process, name)
    for process, required in REQUIRED.items()
    for name in required
    if (process, name) != ("agent", "TEMPORAL_ADDRESS")  # asked of the API first: tests/agent/test_process.py
]


@pytest.mark.parametrize(("process", "missing"), _MISSING)
def test_what_is_missing_is_named(process: str, missing: str, tmp_path: Path) -> None:
    given = {name: value for name, value in _ALL.items() if name != missing}
    done = run(
        [process], env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HYBRIDCI_PORT": "0", **OWN_CODE, **given}
    )
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert missing in line
