"""How a deployment's record changes: pure functions from one state of the record to the next. Times: epoch ms.

Deliberately not here: when they are applied (``workflow``).
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from workflows.contracts.deployments.commands import DeploymentInput
from workflows.contracts.deployments.deployment import (
    MAX_GIT_PEOPLE,
    Approval,
    Decision,
    Deployment,
    DeploymentStatus,
    MetricSample,
    NeedsDecision,
    Rollback,
    RollbackStatus,
    Stage,
    StageStatus,
    Timing,
)
from workflows.contracts.deployments.environments import Granted
from workflows.contracts.deployments.metrics import MAX_ROWS, MetricRow
from workflows.contracts.deployments.relations import MAX_RELATIONS, Relation
from workflows.contracts.deployments.services import ServiceDefinition, spec_fields
from workflows.contracts.fields import MAX_TEXT_CHARACTERS, shortened
from workflows.contracts.identity.people import GitPeople
from workflows.contracts.jobs import Job
from workflows.deployment.rules.verification import added

M = TypeVar("M", bound=BaseModel)


def new_deployment(start: DeploymentInput, now: int) -> Deployment:
    """The record of a deployment that has just been accepted."""
    request, service = start.request, start.service
    deployment = Deployment(
        deployment_id=start.deployment_id,
        service_name=request.service_name,
        service_version=service.version,
        version=request.version,
        git_repo=service.spec.git_repo,
        git_commit_sha=request.git_commit_sha,
        git_author=request.git_author,
        git_ref=request.git_ref,
        git_commit_message=request.git_commit_message,
        metadata=request.metadata,
        definition=service.spec,
        created_at=now,
        updated_at=now,
        created_by=start.created_by,
        parties=start.parties,
        fingerprint=start.fingerprint,
        allow_older=start.allow_older,
    )
    return deployment if service.spec.definition is not None else with_stages(deployment)


def as_accepted(start: DeploymentInput, started_at: int) -> Deployment:
    """What a workflow that was started at this time was given, before anything happened to it."""
    return new_deployment(start, started_at) if start.resume is None else start.resume.deployment


def defined(deployment: Deployment, definition: ServiceDefinition) -> Deployment:
    """With the definition that its commit holds, to which the policy has been applied."""
    update = {**spec_fields(definition), "definition": None, "policy": None}
    spec = deployment.definition.model_copy(update=update)
    return with_stages(deployment.model_copy(update={"definition": spec}))


def with_stages(deployment: Deployment) -> Deployment:
    """With one pending stage for each environment."""
    stages = [Stage(environment=each.name, external=each.external) for each in deployment.definition.environments]
    return deployment.model_copy(update={"stages": stages})


def stage_changed(deployment: Deployment, environment: str, **update: Any) -> Deployment:
    """With these fields of a stage."""
    stages = [
        stage.model_copy(update=update) if stage.environment == environment else stage for stage in deployment.stages
    ]
    return deployment.model_copy(update={"stages": stages})


def stage_job_started(deployment: Deployment, environment: str, job_id: str) -> Deployment:
    """With one more job of a stage."""
    stage = deployment.stage(environment)
    job_ids = [*stage.job_ids, job_id] if stage is not None else [job_id]
    return stage_changed(deployment, environment, job_ids=job_ids)


def waiting(
    deployment: Deployment, environment: str, reason: str, *, status: StageStatus = StageStatus.WAITING
) -> Deployment:
    """It waits in an environment, for this."""
    changed = stage_changed(deployment, environment, status=status, waits_for=reason)
    return changed.model_copy(update={"waits_for": reason, "environment": environment})


def working(deployment: Deployment, environment: str, status: StageStatus, **update: Any) -> Deployment:
    """It waits for nothing: it rolls out or verifies."""
    changed = stage_changed(deployment, environment, status=status, waits_for=None, **update)
    return changed.model_copy(update={"waits_for": None, "environment": environment})


def granted(deployment: Deployment, grant: Granted, *, final: bool, now: int) -> Deployment:
    """Its turn has come."""
    previous = grant.previous.version if grant.previous is not None else None
    before = grant.previous.deployment_id if grant.previous is not None else None
    stage = deployment.stage(grant.environment)
    started_at = stage.started_at if stage is not None and stage.started_at is not None else now
    changed = working(
        deployment,
        grant.environment,
        StageStatus.DEPLOYING,
        fence=grant.fence,
        previous_version=previous,
        previous_deployment_id=before,
        started_at=started_at,
    )
    status = DeploymentStatus.PRODUCTION if final else DeploymentStatus.STAGING
    return began(changed.model_copy(update={"status": status}), now)


def stage_deployed(deployment: Deployment, environment: str, *, final: bool, now: int) -> Deployment:
    """Rolled out and verified: staged, or live."""
    changed = working(deployment, environment, StageStatus.DEPLOYED, deployed_at=now, ended_at=now)
    if final:
        return changed.model_copy(update={"status": DeploymentStatus.LIVE, "live_at": now})
    return changed.model_copy(update={"status": DeploymentStatus.STAGED, "staged_at": now})


def began(deployment: Deployment, now: int) -> Deployment:
    """Something runs for it, perhaps not for the first time."""
    return deployment if deployment.started_at is not None else deployment.model_copy(update={"started_at": now})


def early_job_started(deployment: Deployment, job_id: str, phase: str, now: int) -> Deployment:
    """The job of a phase before its environments."""
    timing = deployment.timings.get(phase) or Timing(started_at=now)
    timings = {**deployment.timings, phase: timing.model_copy(update={"ended_at": None})}
    return deployment.model_copy(update={f"{phase}_job_id": job_id, "timings": timings})


def early_job_ended(deployment: Deployment, phase: str, now: int) -> Deployment:
    """That job is over, however it ended."""
    timing = deployment.timings.get(phase)
    if timing is None:
        return deployment
    timings = {**deployment.timings, phase: timing.model_copy(update={"ended_at": now})}
    return deployment.model_copy(update={"timings": timings})


def decided(deployment: Deployment, approval: Approval) -> Deployment:
    """With one more yes or no in the approval trail."""
    return deployment.model_copy(update={"approvals": [*deployment.approvals, approval]})


def judged(deployment: Deployment, given: Sequence[Approval], now_as: Sequence[Approval]) -> Deployment:
    """With these approvals as they have just been judged."""
    found = list(zip(given, now_as, strict=True))
    approvals = [next((new for old, new in found if old is entry), entry) for entry in deployment.approvals]
    return deployment.model_copy(update={"approvals": approvals})


def new_git_people(deployment: Deployment, job: Job) -> list[GitPeople]:
    """Whom agents found in the deployment's commit during this job, and did not before. A rollback's job is of another
    commit.
    """
    if job.git_commit_sha != deployment.git_commit_sha:
        return []
    found = {each.git_people: None for each in job.attempts if each.git_people is not None}
    return [people for people in found if people not in deployment.git_people]


def git_people_found(deployment: Deployment, people: Sequence[GitPeople]) -> Deployment:
    """With these, beside those of before: what one agent says takes nobody away."""
    return deployment.model_copy(update={"git_people": [*deployment.git_people, *people][:MAX_GIT_PEOPLE]})


def related(deployment: Deployment, found: Sequence[Relation]) -> Deployment:
    """With how it stands to these; what was known of another place, or another commit there, stays."""
    new = {(each.environment, each.deployment_id) for each in found}
    kept = [each for each in deployment.relations if (each.environment, each.deployment_id) not in new]
    return deployment.model_copy(update={"relations": [*kept, *found][-MAX_RELATIONS:]})


def outdated(deployment: Deployment, newer: Relation, message: str, now: int) -> Deployment:
    """Its commit is older than what is there or ahead, so that one took its place."""
    changed = superseded(deployment, newer.deployment_id, newer.version, now)
    stage = changed.stage(newer.environment)
    if stage is not None and stage.waits_for is not None:
        changed = stage_changed(changed, newer.environment, waits_for=None)
    return changed.model_copy(update={"error_message": message})


def asked_again(deployment: Deployment, environment: str, why: str) -> Deployment:
    """With no approval for this environment: those that were given were given for something else."""
    approvals = [
        each.model_copy(update={"void": each.void or why, "counts": False, "why": each.void or why})
        if each.environment == environment and each.decision is Decision.APPROVE
        else each
        for each in deployment.approvals
    ]
    changed = deployment.model_copy(update={"approvals": approvals})
    return stage_changed(changed, environment, approved_at=None)


def sampled(deployment: Deployment, sample: MetricSample) -> Deployment:
    """With one more sample of metrics."""
    return deployment.model_copy(update={"metrics": sample, "metric_samples": added(deployment.metric_samples, sample)})


def measured_from(deployment: Deployment, environment: str, now: int) -> Deployment:
    """From now on something of it runs there; the first time counts."""
    stage = deployment.stage(environment)
    known = stage is not None and stage.measured_from is not None
    return deployment if known else stage_changed(deployment, environment, measured_from=now)


def metrics_told(deployment: Deployment, rows: Sequence[MetricRow]) -> Deployment:
    """With these rows as they are now, in the place of what was known of them."""
    told = {row.key: row for row in deployment.metric_rows}
    told |= {row.key: row for row in rows}
    kept = sorted(told.values(), key=lambda row: row.at)[-MAX_ROWS:]
    return deployment.model_copy(update={"metric_rows": sorted(kept, key=lambda row: row.key)})


def asks_person(deployment: Deployment, needed: NeedsDecision) -> Deployment:
    """It stays live, and a person says whether it is rolled back."""
    identity = deployment.deployment_id
    words = (
        f"{needed.what} {deployment.version} is not rolled back by itself: {needed.why} It stays live and is watched. "
        f"Roll it back: `hybridci deploy rollback {identity} --reason …`; leave it: `hybridci deploy resume {identity} "
        "--reason …`"
    )
    return deployment.model_copy(update={"needs_decision": needed, "waits_for": words})


def decided_to_stay(deployment: Deployment) -> Deployment:
    """Nobody is asked any more."""
    return deployment.model_copy(update={"needs_decision": None, "waits_for": None})


def failed(deployment: Deployment, cause: str, message: str, now: int, *, closed: bool = True) -> Deployment:
    """It has failed; ``closed`` False: an operator can still act."""
    changed = deployment
    stage = deployment.stage(deployment.environment) if deployment.environment else None
    if stage is not None and stage.status is not StageStatus.DEPLOYED:
        changed = stage_changed(
            deployment,
            stage.environment,
            status=StageStatus.FAILED,
            waits_for=None,
            ended_at=now,
            error_message=message,
        )
    return changed.model_copy(
        update={
            "status": DeploymentStatus.FAILED,
            "waits_for": None,
            "cause": cause,
            "error_message": message,
            "completed_at": now,
            "closed": closed,
        }
    )


def superseded(deployment: Deployment, by_id: str, by_version: str, now: int) -> Deployment:
    """Another version took its place."""
    return deployment.model_copy(
        update={
            "status": DeploymentStatus.SUPERSEDED,
            "superseded_by": by_id,
            "waits_for": None,
            "needs_decision": None,
            "cause": "superseded",
            "error_message": f"{by_version} (deployment {by_id}) took its place.",
            "completed_at": now,
            "closed": True,
        }
    )


def retired(deployment: Deployment, why: str, now: int) -> Deployment:
    """It is live no more, and nothing took its place."""
    return deployment.model_copy(
        update={
            "status": DeploymentStatus.SUPERSEDED,
            "waits_for": None,
            "cause": "retired",
            "error_message": why,
            "completed_at": now,
            "closed": True,
        }
    )


def rolling_back(deployment: Deployment, rollback: Rollback) -> Deployment:
    """A rollback has begun; a failed one before it stays in the trail."""
    earlier = [*deployment.rollbacks, deployment.rollback] if deployment.rollback is not None else deployment.rollbacks
    update = {"rollback": rollback, "rollbacks": earlier[-20:], "waits_for": None, "needs_decision": None}
    return deployment.model_copy(update=update)


def rollback_changed(deployment: Deployment, **update: Any) -> Deployment:
    """With these fields of the rollback."""
    if deployment.rollback is None:
        return deployment
    return deployment.model_copy(update={"rollback": deployment.rollback.model_copy(update=update)})


def rollback_job_started(deployment: Deployment, job_id: str) -> Deployment:
    """With one more job of the rollback."""
    job_ids = [*deployment.rollback.job_ids, job_id] if deployment.rollback is not None else [job_id]
    return rollback_changed(deployment, job_ids=job_ids)


def rolled_back(deployment: Deployment, now: int) -> Deployment:
    """Another version is live again."""
    changed = rollback_changed(deployment, status=RollbackStatus.SUCCEEDED, completed_at=now)
    rollback = changed.rollback
    if rollback is not None:
        changed = stage_changed(changed, rollback.environment, status=StageStatus.ROLLED_BACK, ended_at=now)
    return changed.model_copy(
        update={
            "status": DeploymentStatus.ROLLED_BACK,
            "waits_for": None,
            "cause": deployment.cause or "rolled_back",
            "error_message": rollback.reason if rollback is not None else None,
            "completed_at": now,
            "closed": True,
        }
    )


def rollback_failed(deployment: Deployment, message: str, now: int) -> Deployment:
    """A rollback failed: nobody knows what runs there. The deployment stays open for the next try."""
    message = shortened(message, MAX_TEXT_CHARACTERS // 2)  # what to do about it stands behind it
    changed = rollback_changed(deployment, status=RollbackStatus.FAILED, completed_at=now, error_message=message)
    environment = changed.rollback.environment if changed.rollback is not None else deployment.environment or ""
    words = (
        f"THE ROLLBACK FAILED: {message} Look at {environment} now. "
        f"Try again: `hybridci deploy rollback {deployment.deployment_id} --reason …` (with --to-version, or with "
        "--job-id when you have repaired it by hand), or give it up: "
        f"`hybridci deploy cancel {deployment.deployment_id}`."
    )
    return changed.model_copy(
        update={
            "status": DeploymentStatus.FAILED,
            "cause": "rollback_failed",
            "error_message": words,
            "waits_for": words,
            "closed": False,
        }
    )


def bounded(deployment: Deployment, most: int = MAX_TEXT_CHARACTERS) -> Deployment:
    """With texts of at most ``most`` characters, whoever said them: a record that its store refuses tells nobody."""
    changed = _cut(deployment, most, "waits_for", "error_message", "start_doubt")
    rollbacks = [_cut(each, most, "reason", "by", "error_message") for each in deployment.rollbacks]
    update: dict[str, Any] = {
        "stages": [_cut(each, most, "waits_for", "error_message") for each in deployment.stages],
        "approvals": [_cut(each, most, "comment", "why", "void") for each in deployment.approvals],
        "rollbacks": rollbacks,
    }
    if deployment.rollback is not None:
        update["rollback"] = _cut(deployment.rollback, most, "reason", "by", "error_message")
    return changed.model_copy(update=update)


def _cut(model: M, most: int, *names: str) -> M:
    texts = {name: getattr(model, name) for name in names}
    update = {name: shortened(text, most) for name, text in texts.items() if text is not None and len(text) > most}
    return model.model_copy(update=update) if update else model
