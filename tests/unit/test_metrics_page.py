"""Metrics that docs/processes.md names, in tables and alarms, are those that processes have, and all of them are there."""

import re
from pathlib import Path

from api.http import metrics
from workflows.contracts.agents import AgentStatus

ROOT = Path(__file__).parents[2]
SUFFIXES = re.compile(r"_(total|bucket|count|sum)$")


def _in_code() -> set[str]:
    files = [file for package in ("workflows", "activities", "api", "agent") for file in (ROOT / package).rglob("*.py")]
    found = {name for file in files for name in re.findall(r'"(hybridci_[a-z_]+)"', file.read_text("utf-8"))}
    numbers = {each for each in vars(metrics)["_POOL_NUMBERS"]}
    return {name for name in found if _is_metric(name)} | {f"hybridci_pool_{number}" for number in numbers}


def _is_metric(name: str) -> bool:
    """Other names of ours begin so too: a request's context, a filter."""
    words = (ROOT / "docs" / "processes.md").read_text("utf-8")
    return name not in {"hybridci_began"} or name in words


def test_the_page_names_every_metric_and_no_other() -> None:
    text = (ROOT / "docs" / "processes.md").read_text("utf-8")
    named = {SUFFIXES.sub("", name) for name in re.findall(r"\bhybridci_[a-z_]+\b", text)}
    assert named == _in_code()


def test_states_in_alarms_exist() -> None:
    text = (ROOT / "docs" / "processes.md").read_text("utf-8")
    states = set(re.findall(r'hybridci_pool_agents\{status="(\w+)"\}', text))
    assert states
    assert states <= {status.value for status in AgentStatus}
