"""A value that cannot be used, of any variable of any process: one sentence that names it, and exit code 2.

In this process: what settings refuse. Files, which are read at the start, are refused there (``tests/e2e``).
"""

import re
from typing import Any

import pytest

from api.cli import processes
from tests.unit.variables import of

JUNK = "no such value / ?"
GIVEN = {"HYBRIDCI_GATEWAY_KEY": "k" * 40, "HYBRIDCI_GATEWAY_TLS": "off"}
ANY_TEXT = {
    "HYBRIDCI_ADMIN_OWNER", "HYBRIDCI_AGENT_REGION", "HYBRIDCI_ALLOWED_HOSTS", "JOB_FILTER_LABELS",
    "S3_BUCKET", "HYBRIDCI_AGENT_JOB_USER", "HYBRIDCI_GATEWAY_HOST", "HYBRIDCI_HOST",
}  # fmt: skip
"""Names that only their owner knows, and what is found not to be there when it is used."""
AT_THE_START = {
    "HYBRIDCI_AGENT_HOOKS",
    "HYBRIDCI_ACCESS_POLICY", "HYBRIDCI_ADMIN_KEY", "HYBRIDCI_AGENT_KEY", "HYBRIDCI_AGENT_DIR",
    "HYBRIDCI_AGENT_EXECUTOR",
    "HYBRIDCI_AGENT_GIT_PROTOCOLS", "HYBRIDCI_AGENT_LABELS", "HYBRIDCI_AGENT_PASS_ENV", "HYBRIDCI_AGENT_TEMP_DIR",
    "HYBRIDCI_API_KEY", "HYBRIDCI_DISK_FOLDERS", "HYBRIDCI_METRICS_DIR", "HYBRIDCI_PUBLIC_URL",
    "HYBRIDCI_SIGNING_KEY", "HYBRIDCI_STORAGE_FOLDER",
    "HYBRIDCI_WEBHOOK_MANIFESTS", "LOG_LEVEL", "HYBRIDCI_GATEWAY_TLS",
}  # fmt: skip
"""Read, or looked for, by the process before it works."""
LIBRARY = re.compile(r"Input should|Value error|String should|unable to|validation|pydantic", re.IGNORECASE)
CASES = [
    (process, variable)
    for process in ("api", "worker", "agent", "gateway")
    for variable in of(process)
    if not variable.endswith("_FILE") and not variable.startswith("DYNAMODB_TABLE_")
]


@pytest.mark.parametrize(("process", "variable"), CASES)
def test_junk_is_named(
    process: str, variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**GIVEN, variable: JUNK}.items():
        monkeypatch.setenv(name, value)
    found = processes.settings_or_none(processes.PROCESSES[process])
    if process == "api" and found is not None:
        found = processes.settings_or_none(processes.PROCESSES["stores"])  # which the API reads too
    said = capsys.readouterr().err
    if found is not None:
        assert variable in ANY_TEXT | AT_THE_START, f"{process} takes {variable}={JUNK!r}"
        return
    [line] = said.splitlines()
    assert variable in line
    assert JUNK not in line or "no age" in line
    assert LIBRARY.search(line) is None, line
    if "must be a number" in line:
        for no_number in ("inf", "nan", "-1"):
            monkeypatch.setenv(variable, no_number)
            assert processes.settings_or_none(processes.PROCESSES[process]) is None, no_number


_READ_AS = (float("inf"), 3)


@pytest.mark.parametrize("odd", ["nan", "inf", "1e999", "\u0663", "9" * 5000])
def test_what_is_no_number_anybody_means_is_named(
    odd: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python takes each of these for a number, or refuses it in words of its own."""
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    for process, variable in CASES:
        if variable in ANY_TEXT | AT_THE_START:
            continue
        with monkeypatch.context() as one:
            one.setenv(variable, odd)
            found: Any = processes.settings_or_none(processes.PROCESSES[process])
        said = capsys.readouterr().err
        names = getattr(found.__class__, "model_fields", None) or getattr(found.__class__, "__annotations__", {})
        values = [getattr(found, name) for name in names]
        taken = [value for value in values if isinstance(value, int | float) and value in _READ_AS]
        assert not taken, f"{process} takes {variable}={odd[:9]} as {taken}"
        assert "Exceeds the limit" not in said, variable
