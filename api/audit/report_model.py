"""What a report on a service says, as JSON has it. Times are epoch milliseconds."""

from pydantic import Field

from workflows.contracts.base import Tolerant
from workflows.contracts.fields import Millis


class ReportLine(Tolerant):
    """One event, as the report tells it. ``marks``: what has to be known of it."""

    event_id: str
    at: Millis
    what: str
    by: str = ""
    via: str = ""
    environment: str | None = None
    version: str | None = None
    deployment_id: str | None = None
    reason: str | None = None
    message: str = ""
    marks: list[str] = Field(default_factory=list[str])


class ReportedStage(Tolerant):
    """Where a version came to, by its record: which checks its definition asked for there, and how it stands."""

    environment: str
    status: str
    deployed_at: Millis | None = None
    checks: list[str] = Field(default_factory=list[str])


class ReportedDeployment(Tolerant):
    """One deployment. ``recorded``: its record is there; otherwise the trail alone tells of it."""

    deployment_id: str
    version: str | None = None
    git_commit_sha: str | None = None
    git_ref: str | None = None
    git_author: str | None = None
    status: str | None = None
    started_by: str | None = None
    started_at: Millis | None = None
    started_via: str | None = None
    recorded: bool = True
    stages: list[ReportedStage] = Field(default_factory=list[ReportedStage])
    approvals: list[ReportLine] = Field(default_factory=list[ReportLine])
    checks: list[ReportLine] = Field(default_factory=list[ReportLine])
    came_to: list[ReportLine] = Field(default_factory=list[ReportLine])
    metrics: list[str] = Field(default_factory=list[str])
    remarks: list[str] = Field(default_factory=list[str])


class CoveringSeal(Tolerant):
    """The first seal that covers the report's newest event; ``number`` None: it is not sealed yet."""

    event_id: str
    number: int | None = None
    sealed_at: Millis | None = None
    hash: str | None = None
    key_id: str | None = None


class ServiceReport(Tolerant):
    """What the trail says of a service in a time. ``events``: of how many it is made; ``left_out``: what it lacks."""

    service: str
    since: Millis
    until: Millis
    made_at: Millis
    made_by: str
    events: int
    deployments: list[ReportedDeployment]
    exceptions: list[ReportLine]
    rollbacks: list[ReportLine]
    policy: list[ReportLine]
    access: list[ReportLine]
    seal: CoveringSeal | None = None
    left_out: list[str]
