"""A service's report: what was deployed by whom, approved by whom, with which checks, exceptions, rollbacks, access.

Made of the audit trail alone, page by page, and of the records of the deployments that it names, for what the trail
does not say (commit, definition). Bounded: what is beyond is said to be left out.
Deliberately not here: its forms (``report_text``).
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final, cast

from activities.bounded import gather_bounded
from activities.evidence.covering import covering_seal
from api.audit.ports import EvidencePorts
from api.audit.report_kinds import APPROVALS, CHECKS, EXCEPTIONS, PLACES, ROLLBACKS
from api.audit.report_model import CoveringSeal, ReportedDeployment, ReportedStage, ReportLine, ServiceReport
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.audit.types import EventType
from workflows.contracts.deployments.deployment import Deployment, StageStatus
from workflows.contracts.errors import NotFound

MOST_EVENTS: Final = 20_000
MOST_PAGES: Final = 500
"""A page that a filter leaves little of costs up to 8 queries a shard."""
_MOST_LINES: Final = 5_000
_PAGE: Final = 100

_POLICY: Final = "service.policy_"


async def collect_report(
    ports: EvidencePorts, service: str, since: int, until: int, *, everything: bool, by: str
) -> ServiceReport:
    """The report. ``everything``: access of what concerns all services is told too. Raises Unavailable."""
    made = _Collected()
    async for event in _events(ports, EventQuery(service_name=service, since=since, until=until, limit=_PAGE), made):
        if made.count >= MOST_EVENTS:
            made.left_out.append(
                f"Only the newest {MOST_EVENTS} events of the service are in it: ask for a shorter time."
            )
            break
        made.take(event)
    async for event in _events(ports, EventQuery(action="access.", since=since, until=until, limit=_PAGE), made):
        touches = _touches(event, service)
        if touches == "service" or (touches == "all" and everything):
            made.take_access(event)
    if not everything:
        made.left_out.append("Access that concerns all services is not in it: the key that asked may not see that.")
    deployments = await _with_records(ports, made)
    newest = made.newest
    return ServiceReport(
        service=service,
        since=since,
        until=until,
        made_at=ports.clock(),
        made_by=by,
        events=made.count,
        deployments=deployments,
        exceptions=made.exceptions[::-1],
        rollbacks=made.rollbacks[::-1],
        policy=made.policy[::-1],
        access=made.access[::-1],
        seal=None if newest is None else await _seal_of(ports, newest),
        left_out=made.left_out,
    )


class _Collected:
    """What was read so far, newest first."""

    def __init__(self) -> None:
        self.count = 0
        self.newest: AuditEvent | None = None
        self.deployments: dict[str, ReportedDeployment] = {}
        self.exceptions: list[ReportLine] = []
        self.rollbacks: list[ReportLine] = []
        self.policy: list[ReportLine] = []
        self.access: list[ReportLine] = []
        self.left_out: list[str] = []

    def take(self, event: AuditEvent) -> None:
        """An event of the service."""
        self._count(event)
        line = _line(event)
        if event.deployment_id is not None and event.action.startswith("deployment."):
            self._take_deployment(event, line)
        if event.action in ROLLBACKS:
            self._put(self.rollbacks, line)
        if event.action.startswith(_POLICY):
            self._put(self.policy, line)
        if event.action in EXCEPTIONS or line.marks:
            self._put(self.exceptions, line)

    def take_access(self, event: AuditEvent) -> None:
        """An event of access."""
        self._count(event)
        self._put(self.access, _line(event))

    def _count(self, event: AuditEvent) -> None:
        self.count += 1
        if self.newest is None or (event.at, event.event_id) > (self.newest.at, self.newest.event_id):
            self.newest = event

    def _take_deployment(self, event: AuditEvent, line: ReportLine) -> None:
        key = event.deployment_id or ""
        known = self.deployments.get(key) or ReportedDeployment(deployment_id=key, version=event.version)
        if event.action == EventType.DEPLOYMENT_CREATED.value:
            started = {"started_by": event.by, "started_at": event.at, "started_via": event.via}
            known = known.model_copy(update={**started, "version": event.version or known.version})
        for actions, name in ((APPROVALS, "approvals"), (CHECKS, "checks"), (PLACES, "came_to")):
            if event.action in actions:
                lines = cast("list[ReportLine]", getattr(known, name))
                known = known.model_copy(update={name: [line, *lines]})
        self.deployments[key] = known

    def _put(self, lines: list[ReportLine], line: ReportLine) -> None:
        if len(lines) < _MOST_LINES:
            lines.append(line)
        elif len(lines) == _MOST_LINES:
            said = f"Of some kinds only the newest {_MOST_LINES} lines are in it."
            self.left_out += [] if said in self.left_out else [said]


async def _events(ports: EvidencePorts, query: EventQuery, made: "_Collected") -> AsyncGenerator[AuditEvent, None]:
    """Newest first, page by page, as many pages as one report may read."""
    for _ in range(MOST_PAGES):
        page = await ports.deployments.events(query)
        for event in page.items:
            yield event
        if page.next_cursor is None:
            return
        query = query.model_copy(update={"cursor": page.next_cursor})
    made.left_out.append(f"Only the newest events are in it: {MOST_PAGES} pages were read. Ask for a shorter time.")


async def _with_records(ports: EvidencePorts, made: _Collected) -> list[ReportedDeployment]:
    """With what the records say, oldest first. Raises Unavailable."""
    found = list(reversed(made.deployments.values()))
    records = await gather_bounded(lambda each: ports.deployments.get(each.deployment_id), found)
    told: list[ReportedDeployment] = []
    for known, record in zip(found, records, strict=True):
        if isinstance(record, NotFound):
            told.append(known.model_copy(update={"recorded": False}))
        elif isinstance(record, Exception):
            raise record
        else:
            told.append(_with_record(known, record))
    return told


def _with_record(known: ReportedDeployment, record: Deployment) -> ReportedDeployment:
    samples = [
        f"{each.at}: error rate {each.error_rate}, latency {each.latency_ms} ms, {each.requests_per_sec} requests/s"
        + (f"; over the limit: {', '.join(each.breaches)}" if each.breaches else "")
        for each in record.metric_samples
    ]
    samples += [
        f"{row.at}: {row.metric} by {row.source} in {row.environment} is {row.verdict}: {row.words}"
        for row in record.metric_rows
    ]
    return known.model_copy(
        update={
            "version": record.version,
            "git_commit_sha": record.git_commit_sha,
            "git_ref": record.git_ref,
            "git_author": record.git_author,
            "status": record.status.value,
            "started_by": known.started_by or record.created_by or None,
            "started_at": known.started_at or record.created_at,
            "stages": _stages(record),
            "metrics": samples,
            "remarks": record.remarks,
        }
    )


def _stages(record: Deployment) -> list[ReportedStage]:
    asked = {each.name: each for each in record.definition.environments}
    found: list[ReportedStage] = []
    for stage in record.stages:
        environment = asked.get(stage.environment)
        checks: list[str] = []
        if environment is not None:
            checks += ["health check"] if environment.health_check is not None else []
            checks += ["verification"] if environment.verification is not None else []
        passed = stage.status is StageStatus.DEPLOYED
        found.append(
            ReportedStage(
                environment=stage.environment,
                status=stage.status.value,
                deployed_at=stage.deployed_at,
                checks=[f"{check}: {'passed' if passed else 'not passed'}" for check in checks],
            )
        )
    return found


def _line(event: AuditEvent) -> ReportLine:
    return ReportLine(
        event_id=event.event_id,
        at=event.at,
        what=event.action,
        by=event.by,
        via=event.via,
        environment=event.environment,
        version=event.version,
        deployment_id=event.deployment_id,
        reason=event.reason,
        message=event.message,
        marks=_marks(event),
    )


def _marks(event: AuditEvent) -> list[str]:
    """What makes it an exception, whatever its type."""
    approval = event.action == EventType.DEPLOYMENT_APPROVED.value
    marks = ["self-approval"] if approval and event.details.get("self_approval") is True else []
    marks += ["unverified"] if approval and event.details.get("verified") is False else []
    marks += ["straight from Temporal"] if event.via == "temporal" else []
    return [*marks, "refused"] if event.refused else marks


def _touches(event: AuditEvent, service: str) -> str:
    """Whether access to this service is changed: by name, for all services, or not."""
    grants: Any = event.details.get("grants")
    if not isinstance(grants, list):
        return "all"  # nobody says what it reaches
    reach: list[Sequence[str] | None] = [
        cast("dict[str, Any]", grant).get("services") for grant in cast("list[Any]", grants) if isinstance(grant, dict)
    ]
    if any(services is not None and service in services for services in reach):
        return "service"
    return "all" if any(services is None for services in reach) else "none"


async def _seal_of(ports: EvidencePorts, newest: AuditEvent) -> CoveringSeal:
    kept = await covering_seal(ports.audit, ports.evidence, newest)
    if kept is None:
        return CoveringSeal(event_id=newest.event_id)
    seal = kept.seal
    return CoveringSeal(
        event_id=newest.event_id, number=kept.number, sealed_at=seal.sealed_at, hash=kept.hash, key_id=seal.key_id
    )
