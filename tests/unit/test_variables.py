"""The page of variables is what the code reads."""

from pathlib import Path

import pytest

from api.cli.stack.children import AGENT_METRICS, Options, process_specs
from api.cli.stack.data_dir import DataDir
from tests.unit.variables import HOW_TO_RENEW, OTHERS, PAGE, REQUIRED, SETTINGS, fields_of, of, page


def test_the_page_is_what_the_code_reads() -> None:
    assert PAGE.read_text("utf-8") == page(), HOW_TO_RENEW


def test_every_variable_is_described() -> None:
    """A field of settings without a `description` is a row that says nothing."""
    classes = {each for process in SETTINGS.values() for each in process}
    bare = {f"{each.__name__}.{name}" for each in classes for name, field in fields_of(each) if not field.description}
    bare |= {name for name, variable in of("gateway").items() if not variable.meaning}
    assert bare == set()
    meanings = [variable.meaning for process in REQUIRED for variable in of(process).values()]
    meanings += [meaning for _, meaning in OTHERS.values()]
    assert [text for text in meanings if not text.endswith(".") or "|" in text or "\n" in text] == []


def test_settings_within_settings_are_no_variables() -> None:
    """`APPROVALS` stood there, which nobody sets."""
    assert {"APPROVALS", "STORES", "RETENTION"}.isdisjoint(of("worker"))


def test_defaults_are_as_somebody_would_write_them() -> None:
    """`HYBRIDCI_KEEP_METRICS=2592000` is refused, so the page must not say it."""
    assert of("api")["HYBRIDCI_KEEP_METRICS"].default == "`30d`"
    assert of("worker")["HYBRIDCI_ALLOW_UNVERIFIED"].default == "`false`"


def test_what_is_required_is_read() -> None:
    for process, required in REQUIRED.items():
        assert {name for name in required if not name.startswith("TEMPORAL_")} <= set(of(process))


OF_ANOTHER_STACK = {
    "api": {"HYBRIDCI_ADMIN_KEY", "HYBRIDCI_AGENT_KEY", "HYBRIDCI_SIGNING_KEY"},
    "worker": {"HYBRIDCI_SIGNING_KEY"},
    "agent": {
        "HYBRIDCI_AGENT_ID", "HYBRIDCI_AGENT_POOL", "HYBRIDCI_API_KEY", "HYBRIDCI_GATEWAY", "HYBRIDCI_GATEWAY_ADDRESS",
        "HYBRIDCI_GATEWAY_CA_FILE",
    },
    "gateway": {"HYBRIDCI_GATEWAY_KEY", "HYBRIDCI_GATEWAY_TLS"},
}  # fmt: skip
"""`up` has a key file for each key, and agents that reach Temporal without the gateway."""


def test_what_a_user_sets_for_a_process_is_heard_by_up_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`HYBRIDCI_AGENT_HOME=agent hybridci up` was without effect and without a word."""
    for process in REQUIRED:
        for name in of(process):
            monkeypatch.setenv(name, "said")
    specs = {spec.name: spec.env for spec in process_specs(Options(agents=1), DataDir(tmp_path))}
    deaf = {
        process: {name for name in of(process) if name.startswith("HYBRIDCI_") and name not in env}
        for process, env in (("api", specs["api"]), ("worker", specs["worker"]), ("agent", specs["agent-1"]))
    }
    deaf["gateway"] = {name for name in of("gateway") if name.startswith("HYBRIDCI_") and name not in specs["gateway"]}
    assert deaf == OF_ANOTHER_STACK
    assert specs["agent-1"]["HYBRIDCI_AGENT_HOME"] == "said"
    assert specs["agent-1"]["HYBRIDCI_AGENT_DIR"] == str(DataDir(tmp_path).agent(1))
    monkeypatch.setenv(AGENT_METRICS, "9102")
    agents = [
        spec.env[AGENT_METRICS] for spec in process_specs(Options(agents=2), DataDir(tmp_path)) if "agent" in spec.name
    ]
    assert agents == ["127.0.0.1:9102", "127.0.0.1:9103"]
    assert not [name for name in specs["api"] if name.startswith("HYBRIDCI_AGENT_H")]
