"""Metrics that docs/processes.md names, in tables and alarms, are those that processes have, all of them."""

import re
from pathlib import Path

from api.http import metrics
from workflows.contracts.agents import AgentStatus

ROOT = Path(__file__).parents[2]
FILES = (
    "activities/monitored.py",
    "agent/monitored.py",
    "api/cli/scaling/monitored.py",
    "api/gateway/monitored.py",
    "api/http/metrics.py",
    "workflows/monitoring/figures.py",
)
SUFFIXES = re.compile(r"_(total|bucket|count|sum)$")


def _in_code() -> set[str]:
    found = {name for file in FILES for name in re.findall(r'"(hybridci_[a-z_]+)"', (ROOT / file).read_text("utf-8"))}
    return found | {f"hybridci_pool_{number}" for number in vars(metrics)["_POOL_NUMBERS"]}


def test_the_page_names_every_metric_and_no_other() -> None:
    text = (ROOT / "docs" / "processes.md").read_text("utf-8")
    named = {SUFFIXES.sub("", name) for name in re.findall(r"\bhybridci_[a-z_]+\b", text)}
    assert named == _in_code()


def test_states_in_alarms_exist() -> None:
    text = (ROOT / "docs" / "processes.md").read_text("utf-8")
    states = set(re.findall(r'hybridci_pool_agents\{status="(\w+)"\}', text))
    assert states
    assert states <= {status.value for status in AgentStatus}
