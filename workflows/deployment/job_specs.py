"""The jobs that a deployment runs: build, test, roll out, check, verify, roll back. Pure.

Every job finds in its environment: ``HYBRIDCI_SERVICE``, ``HYBRIDCI_VERSION``, ``HYBRIDCI_DEPLOYMENT_ID`` and, in an
environment, ``HYBRIDCI_ENVIRONMENT``, ``HYBRIDCI_PREVIOUS_VERSION`` (may be empty), ``HYBRIDCI_ROLLOUT_PERCENT``.
Deliberately not here: when they run (``workflow``) and how a job runs (``job.workflow``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workflows.contracts.deployments.deployment import Decision, Deployment
from workflows.contracts.deployments.environments import LiveVersion
from workflows.contracts.deployments.inputs import EarlyFiles, EarlyJob
from workflows.contracts.deployments.rules import HealthCheck, Verification
from workflows.contracts.deployments.services import DefinitionSource, Environment, JobDefinition
from workflows.contracts.ids import DEFAULT_POOL
from workflows.contracts.jobs import Fence, JobSpec, RetryPolicy, Step
from workflows.contracts.sealed import SignedApproval
from workflows.contracts.statuses import Priority
from workflows.contracts.workspace.globs import NO_RULES
from workflows.contracts.workspace.inputs import InputFiles

_ROLLBACK_BACKOFF_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Turn:
    """A deployment's turn in an environment: its number, and what is live there."""

    fence: Fence
    previous: LiveVersion | None

    def variables(self, environment: str) -> dict[str, str]:
        """What the jobs of the turn find in their environment."""
        return {
            "HYBRIDCI_ENVIRONMENT": environment,
            "HYBRIDCI_PREVIOUS_VERSION": self.previous.version if self.previous is not None else "",
            "HYBRIDCI_ROLLOUT_PERCENT": "100",
        }


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """What a rollback brings back. ``environment``: as the target's own definition has it, None when it is unknown.
    ``approvals``: the signed ones that let the target in. ``early``: its build and test, as far as they are known.
    """

    target: LiveVersion
    environment: Environment | None
    approvals: Sequence[SignedApproval] = ()
    early: Mapping[EarlyJob, str] = field(default_factory=dict[EarlyJob, str])


class NoSuchFiles(Exception):
    """A job begins with files of a job that is not there, as the message says."""


def early_jobs(deployment: Deployment) -> dict[EarlyJob, str]:
    """The ids of the jobs before its environments, as far as they were begun."""
    ids = {EarlyJob.BUILD: deployment.build_job_id, EarlyJob.TEST: deployment.test_job_id}
    return {job: job_id for job, job_id in ids.items() if job_id is not None}


def source_job(deployment: Deployment, ref: str) -> JobSpec:
    """An agent sees that the commit is on ``ref``. Its step is the proof: it passes only where the agent has looked,
    not on one of a version that knows nothing of refs.
    """
    looked = Step(
        name="the agent has looked for the commit",
        run='test "${HYBRIDCI_ON_REF-}" = "$REF" || { echo "$OLD"; exit 1; }',
    )
    old = "This agent does not know how to look for a commit on a branch: upgrade it."
    stage = JobDefinition(
        pool=_source_pool(deployment), steps=[looked], env={"REF": ref, "OLD": old}, timeout_seconds=600
    )
    return _job(deployment, "source", stage).model_copy(update={"on_ref": ref})


def definition_job(deployment: Deployment, source: DefinitionSource) -> JobSpec:
    """Check the commit out and hand its definition over as an artifact. Raises ValidationError, as all here."""
    present = Step(
        name="definition is there", run=f'test -f "$DEFINITION" || {{ echo "{source.path} is missing"; exit 1; }}'
    )
    return _job(
        deployment,
        "definition",
        JobDefinition(
            pool=source.pool,
            steps=[present],
            env={"DEFINITION": source.path},
            artifacts=[source.path],
            timeout_seconds=600,
        ),
    )


def build_job(deployment: Deployment, stage: JobDefinition) -> JobSpec:
    """The service's build."""
    return _job(deployment, "build", stage)


def test_job(deployment: Deployment, stage: JobDefinition) -> JobSpec:
    """The service's tests."""
    return _job(deployment, "test", stage)


def roll_out_job(deployment: Deployment, environment: Environment, turn: Turn, percent: int) -> JobSpec:
    """The environment's steps for one percentage."""
    return _job(
        deployment,
        "deploy",
        environment,
        variables={**turn.variables(environment.name), "HYBRIDCI_ROLLOUT_PERCENT": str(percent)},
        fence=turn.fence,
        priority=Priority.HIGH,
        approvals=signatures(deployment, environment.name),
    )


def health_job(
    deployment: Deployment,
    environment: Environment,
    check: HealthCheck,
    turn: Turn,
    *,
    percent: int = 100,
    back_to: RollbackPlan | None = None,
) -> JobSpec:
    """The environment's health check, tried until it passes or its attempts are used up.

    ``back_to``: after a rollback, it is that version's health that is checked.
    """
    retry = RetryPolicy(
        max_attempts=check.attempts,
        initial_interval_seconds=check.interval_seconds,
        backoff=1,
        max_interval_seconds=check.interval_seconds,
        timeout_attempts=check.attempts,
        park=False,
    )
    variables = {**turn.variables(environment.name), "HYBRIDCI_ROLLOUT_PERCENT": str(percent)}
    spec = _job(
        deployment,
        "health",
        environment,
        steps=[Step(name="health check", run=check.run, timeout_seconds=check.timeout_seconds)],
        variables=variables if back_to is None else {**variables, **_going_back(deployment, back_to.target)},
        fence=turn.fence,
        priority=Priority.HIGH,
        approvals=signatures(deployment, environment.name) if back_to is None else back_to.approvals,
        retry=retry,
    )
    return spec if back_to is None else _at(spec, back_to.target)


def verification_job(
    deployment: Deployment, environment: Environment, verification: Verification, run: str, turn: Turn
) -> JobSpec:
    """The environment's verification command, once."""
    return _job(
        deployment,
        "verify",
        environment,
        steps=[Step(name="verification", run=run, timeout_seconds=verification.timeout_seconds)],
        variables=turn.variables(environment.name),
        fence=turn.fence,
        priority=Priority.HIGH,
        retry=RetryPolicy(max_attempts=1, park=False),
        approvals=signatures(deployment, environment.name),
    )


def rollback_job(deployment: Deployment, environment: Environment, plan: RollbackPlan, turn: Turn) -> JobSpec:
    """Bring the target back: the rollback steps, or the environment's own steps as the target defined them, with the
    files of its own build and test. Raises NoSuchFiles where the record does not tell which these are.
    """
    rollback = environment.rollback
    attempts = rollback.max_attempts if rollback is not None else 3
    own = rollback is not None and bool(rollback.steps)
    source = environment if own else plan.environment or environment
    retry = RetryPolicy(
        max_attempts=attempts,
        timeout_attempts=attempts,
        initial_interval_seconds=_ROLLBACK_BACKOFF_SECONDS,
        park=False,
    )
    spec = _job(
        deployment,
        "rollback",
        source,
        steps=rollback.steps if rollback is not None and own else source.steps,
        variables={
            **turn.variables(environment.name),
            **_going_back(deployment, plan.target),
        },
        fence=turn.fence,
        priority=Priority.CRITICAL,
        retry=retry,
        approvals=plan.approvals,
        early=plan.early,
        inputs=[] if own else source.inputs,
    )
    timeout = rollback.timeout_seconds if rollback is not None else source.timeout_seconds
    return _at(spec, plan.target).model_copy(update={"timeout_seconds": timeout})


def signatures(deployment: Deployment, environment: str) -> list[SignedApproval]:
    """The signed approvals that let this deployment into the environment; without those that are void."""
    given = (
        entry
        for entry in deployment.approvals
        if entry.environment == environment and entry.decision is Decision.APPROVE and entry.void is None
    )
    return [entry.signed for entry in given if entry.signed is not None]


def _source_pool(deployment: Deployment) -> str:
    """Where the version is to run in the end: those agents are trusted with it. Before the definition is read, the
    policy names the pools.
    """
    spec = deployment.definition
    rules = spec.policy.environments if spec.policy is not None else []
    allowed = [environment.pools[0] for environment in rules if not environment.external]
    own = [environment.pool for environment in spec.environments if not environment.external]
    return [spec.definition.pool if spec.definition else DEFAULT_POOL, *allowed, *own][-1]


def _going_back(deployment: Deployment, target: LiveVersion) -> dict[str, str]:
    return {"HYBRIDCI_VERSION": target.version, "HYBRIDCI_PREVIOUS_VERSION": deployment.version}


def _at(spec: JobSpec, target: LiveVersion) -> JobSpec:
    return spec.model_copy(update={"git_commit_sha": target.git_commit_sha, "git_ref": None})


def _job(
    deployment: Deployment,
    kind: str,
    stage: JobDefinition,
    *,
    steps: Sequence[Step] | None = None,
    variables: Mapping[str, str] | None = None,
    fence: Fence | None = None,
    priority: Priority = Priority.NORMAL,
    retry: RetryPolicy | None = None,
    approvals: Sequence[SignedApproval] = (),
    inputs: Sequence[EarlyFiles] | None = None,
    early: Mapping[EarlyJob, str] | None = None,
) -> JobSpec:
    """``steps``: other ones than the stage's, which keep nothing, begin with ``inputs`` only and do not resume."""
    own = {
        "HYBRIDCI_SERVICE": deployment.service_name,
        "HYBRIDCI_VERSION": deployment.version,
        "HYBRIDCI_DEPLOYMENT_ID": deployment.deployment_id,
    }
    labels = {"service": deployment.service_name, "version": deployment.version, "deployment": deployment.deployment_id}
    fields: dict[str, Any] = {
        "job_type": kind,
        "git_repo": deployment.git_repo,
        "git_commit_sha": deployment.git_commit_sha,
        "git_author": deployment.git_author,
        "git_ref": deployment.git_ref,
        "pool": stage.pool,
        "requires": stage.requires,
        "priority": priority,
        "steps": list(stage.steps if steps is None else steps),
        "env": {**stage.env, **own, **(variables or {})},
        "secrets": stage.secrets,
        "labels": labels,
        "artifacts": stage.artifacts if steps is None else [],
        "artifact_rules": stage.artifact_rules if steps is None else NO_RULES,
        "checkout": stage.checkout,
        "timeout_seconds": stage.timeout_seconds,
        "retry": (retry or stage.retry).model_copy(update={"park": False}),
        "fence": fence,
        "approvals": list(approvals),
        "expand": stage.expand,
        "cancel": stage.cancel,
        "resume": stage.resume if steps is None else None,
        "inputs": _files(
            (inputs or []) if steps is not None else stage.inputs, early_jobs(deployment) if early is None else early
        ),
    }
    return JobSpec(**fields)


def _files(inputs: Sequence[EarlyFiles], early: Mapping[EarlyJob, str]) -> list[InputFiles]:
    for wanted in inputs:
        if wanted.job not in early:
            raise NoSuchFiles(f"It begins with files of {wanted.job}, and of no {wanted.job} of that version is known.")
    return [wanted.of(early[wanted.job]) for wanted in inputs]
