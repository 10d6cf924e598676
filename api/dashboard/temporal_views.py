"""Lists of the Temporal UI that are worth a bookmark: what each shows, and its query. Pure.

Deliberately not here: the attributes that the queries name (``workflows.contracts.search_attributes``).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from workflows.contracts.search_attributes import STATUS, WAITS_FOR_APPROVAL

_JOBS: Final = "`WorkflowType`='JobWorkflow'"
_DEPLOYMENTS: Final = "`WorkflowType`='DeploymentWorkflow'"
_OPEN: Final = "`ExecutionStatus`='Running'"
_BOTH: Final = "`WorkflowType` IN ('JobWorkflow', 'DeploymentWorkflow')"


@dataclass(frozen=True, slots=True)
class TemporalView:
    """``query`` as Temporal's list filter takes it, ``url`` where the UI shows it."""

    name: str
    words: str
    query: str
    url: str = ""


def temporal_views(workflows: str | None, now: int) -> list[TemporalView]:
    """All of them. ``workflows``: the UI's address of its list of workflows; ``now`` in epoch ms: today is UTC's."""
    today = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y-%m-%dT00:00:00Z")
    views = [
        TemporalView("Dead letters", "jobs that are parked", _of_status(_JOBS, "dead_lettered")),
        TemporalView(
            "Waiting approvals", "deployments that wait for a yes", _of_status(_DEPLOYMENTS, WAITS_FOR_APPROVAL)
        ),
        TemporalView(
            "Failed today",
            "jobs and deployments that closed as Failed since midnight UTC",
            f"{_BOTH} AND `ExecutionStatus`='Failed' AND `CloseTime` >= '{today}'",
        ),
        TemporalView("Live versions", "deployments that are live", _of_status(_DEPLOYMENTS, "live")),
        TemporalView("Running jobs", "jobs that an agent works on", _of_status(_JOBS, "running")),
    ]
    if workflows is None:
        return views
    return [
        TemporalView(each.name, each.words, each.query, f"{workflows}?query={quote(each.query, safe='')}")
        for each in views
    ]


def _of_status(kind: str, status: str) -> str:
    return f"{kind} AND {_OPEN} AND `{STATUS.name}`='{status}'"
