"""What an agent is told by its settings: labels, the way to Temporal; and who it is in its directory."""

from pathlib import Path

import pytest

from agent.control.identity import agent_id, start_instance
from agent.control.labels import agent_labels
from agent.control.registration import GatewayRoute
from agent.control.temporal import Route, route_of
from agent.settings import AgentSettings, SettingsError
from workflows.contracts.agents import AgentRegistration, Heartbeat
from workflows.contracts.workspace.features import FEATURES

NAMED = GatewayRoute(address="gateway.example:7243", ca_pem="the API's")


def settings(**fields: object) -> AgentSettings:
    return AgentSettings.model_validate(fields)


def test_the_systems_labels_are_there_and_the_owners_come_on_top() -> None:
    labels = agent_labels(settings(labels=" gpu=a100, ssd ,zone=eu-1a,, os=plan9"))
    assert labels["os"] == "plan9"
    assert labels["arch"]
    assert labels["arch"] not in {"x86_64", "aarch64"}
    assert {key: labels[key] for key in ("gpu", "ssd", "zone")} == {"gpu": "a100", "ssd": "", "zone": "eu-1a"}
    assert agent_labels(settings())["os"] in {"linux", "darwin"}


@pytest.mark.parametrize("text", ["a b=1", "=1", "gpu=a 100", "-x=1", f"{'k' * 64}=1", "gpu=ä"])
def test_what_is_no_label_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="HYBRIDCI_AGENT_LABELS has"):
        agent_labels(settings(labels=f"ok=1,{text}"))


def test_there_can_be_too_many_labels() -> None:
    with pytest.raises(SettingsError, match="at most 64"):
        agent_labels(settings(labels=",".join(f"l{number}" for number in range(63))))


def test_what_a_version_knows_takes_no_label_from_its_operator() -> None:
    labels = agent_labels(settings(labels=",".join(f"l{number}" for number in range(62))))
    assert len(labels) == 64 + len(FEATURES)
    registration = {"agent_id": "a", "instance": "i" * 8, "labels": labels}
    assert AgentRegistration.model_validate(registration).labels == labels
    assert Heartbeat(sequence=1, labels=labels).labels == labels


def test_a_gateway_is_used_where_it_is_named_and_temporal_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEMPORAL_ADDRESS", raising=False)
    assert route_of(settings(), None) is None
    assert route_of(settings(), NAMED) == Route("gateway.example:7243", b"the API's")
    assert route_of(settings(gateway="off"), NAMED) is None
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:7233")
    assert route_of(settings(), NAMED) is None
    assert route_of(settings(gateway="on"), NAMED) == Route("gateway.example:7243", b"the API's")
    assert route_of(settings(gateway_address="other:1"), NAMED) == Route("other:1", None)
    with pytest.raises(SettingsError, match="the API names no gateway"):
        route_of(settings(gateway="on"), None)


def test_the_gateways_authority_can_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(b"ours")
    route = route_of(settings(gateway="on", gateway_ca_file=file), NAMED)
    assert route == Route("gateway.example:7243", b"ours")
    with pytest.raises(SettingsError, match="HYBRIDCI_GATEWAY_CA_FILE"):
        route_of(settings(gateway="on", gateway_ca_file=tmp_path / "none"), NAMED)


def test_a_directory_is_one_instance_that_counts_its_starts(tmp_path: Path) -> None:
    first, second = start_instance(tmp_path), start_instance(tmp_path)
    assert (first.starts, second.starts, second.word) == (1, 2, first.word)
    (tmp_path / "agent-instance").write_text("torn")
    third = start_instance(tmp_path)
    assert (third.starts, third.word == first.word) == (1, False)


def test_a_long_pools_agent_still_has_a_valid_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "h" * 63)
    name = agent_id(settings(directory=tmp_path, pool="p" * 63))
    assert AgentRegistration(agent_id=name, instance="12345678").agent_id == name
    assert agent_id(settings(directory=tmp_path, pool="p" * 63)) == name
