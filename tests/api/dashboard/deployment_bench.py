"""A deployment with somebody's words wherever people, agents or monitoring may write, and the environment round it."""

from typing import Any

from tests.api.conftest import Bench
from tests.clock import own_millis
from workflows.contracts.deployments.deployment import (
    Approval,
    Decision,
    Deployment,
    NeedsDecision,
    Rollback,
    Stage,
    StageStatus,
)
from workflows.contracts.deployments.environments import (
    EnvironmentState,
    EnvironmentWrite,
    Hold,
    LiveVersion,
    Order,
    Ticket,
)
from workflows.contracts.deployments.live_again import LiveAgain
from workflows.contracts.deployments.metrics import MetricRow, MetricsReport, MetricVerdict
from workflows.contracts.deployments.relations import HowFound, Relation
from workflows.contracts.identity.people import GitPeople, GitPerson


async def on_its_way(bench: Bench, deployment_id: str, words: str = "plain", **changes: Any) -> Deployment:
    """It waits for the approval of production, with these words wherever people, agents or monitoring may write."""
    found = await bench.stores.deployments.get(deployment_id)
    assert found is not None
    now = own_millis()
    approval = Approval(
        environment="production", decision=Decision.APPROVE, by=words, at=now, git_commit_sha="b" * 40, comment=words,
        counts=False, why=words, groups=[words],
    )  # fmt: skip
    row = MetricRow(
        environment="production", metric="error_rate", source=words, verdict=MetricVerdict.BREACHED, at=now, value=1,
        why=words,
    )  # fmt: skip
    related = Relation(
        environment="production", deployment_id="x", version=words, git_commit_sha="c" * 40, place=words,
        order=Order.DIVERGED, found=HowFound.AGENT, at=now, why=words,
    )  # fmt: skip
    last = Stage(
        environment="production", status=StageStatus.WAITING, waits_for=words, approval_expires_at=now + 60_000,
        started_at=now - 60_000, previous_version=words, job_ids=[words, "../../x"],
    )  # fmt: skip
    before = [each for each in found.stages if each.environment != "production"]
    people = GitPeople(author=GitPerson(name=words, address=words), committer=GitPerson(name=words, address=words))
    fields: dict[str, Any] = {
        "environment": "production", "stages": [*before, last], "approvals": [approval], "metric_rows": [row],
        "waits_for": words, "relations": [related], "start_doubt": words, "git_people": [people],
        "needs_decision": NeedsDecision(what=words, why=words, by=words, at=now), "error_message": words,
        "rollbacks": [Rollback(environment="production", reason=words, by=words, requested_at=now)],
        "live_again": LiveAgain(from_version=words, by=words, at=now, reason=words), **changes,
    }  # fmt: skip
    record = await bench.releases.put(found, action="deployment.created", by=words, **fields)
    report = MetricsReport(
        deployment_id=deployment_id, environment="production", since=0, limits=[], values={"error_rate": 0.5},
        source=words, at=now, by=words,
    )  # fmt: skip
    await bench.app.state.services.measured.keep(report)
    live = LiveVersion(version=words, deployment_id="y", workflow_id="w", git_commit_sha="d" * 40, since=1)
    ticket = Ticket(
        deployment_id=deployment_id, workflow_id="w", version=words, git_commit_sha="b" * 40, arrived_at=1,
        waits_for=words,
    )  # fmt: skip
    state = EnvironmentState(
        service_name="checkout", environment="production", live=live, history=[live], queue=[ticket],
        hold=Hold(by=words, reason=words, at=now), frozen_until=now + 60_000, frozen_by=words, sequence=1,
    )  # fmt: skip
    await bench.stores.environments.write(EnvironmentWrite(state=state))
    await bench.admin.post(
        "/api/dashboard/services/checkout/bans", json={"git_commit_sha": "b" * 40, "reason": words[:1000]}
    )
    return record
