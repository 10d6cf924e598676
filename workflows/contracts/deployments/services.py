"""What a service is: how a version of it is built, tested and brought from environment to environment.

The same shape is the body of ``PUT /api/dashboard/services/{name}``, the file of ``hybridci service apply -f`` and the
repository's own ``.hybridci.yml`` (there without ``git_repo``). Durations are seconds, times epoch milliseconds.
Deliberately not here: what happens to one deployment (``deployment``).
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Self

from pydantic import Field, StrictBool, StringConstraints, model_validator

from workflows.contracts.base import Frozen, Tolerant
from workflows.contracts.deployments.inputs import EarlyFiles, EarlyInputs, EarlyJob, missing_sources
from workflows.contracts.deployments.rules import (
    ApprovalPolicy,
    DuringFreeze,
    FreezeWindow,
    HealthCheck,
    OlderCommits,
    RollbackSteps,
    Rollout,
    SupersedePolicy,
    Verification,
)
from workflows.contracts.deployments.triggers import Triggers
from workflows.contracts.fields import (
    ArtifactGlob,
    EnvName,
    EnvValue,
    GitRef,
    Millis,
    Name,
    Prose,
    Repository,
    ShortLine,
    WholeSeconds,
)
from workflows.contracts.identity.people import Somebody
from workflows.contracts.ids import DEFAULT_POOL
from workflows.contracts.jobs import ARTIFACTS, RetryPolicy, Step
from workflows.contracts.labels import Requirement
from workflows.contracts.who import Named
from workflows.contracts.workspace.checkout import AS_USUAL, CheckoutOptions
from workflows.contracts.workspace.globs import NO_RULES, ArtifactGlobs, ArtifactRules, with_rules_apart
from workflows.contracts.workspace.resume import ResumeAt
from workflows.contracts.workspace.step_rules import CancelRules

MAX_SERVICE_BYTES: Final = 192 * 1024
"""A definition travels in workflow history beside a job's specification, and in one DynamoDB item (400 KB)."""
DEFINITION_FILE: Final = ".hybridci.yml"
STAGING: Final = "staging"
PRODUCTION: Final = "production"
ONE_TRY: Final = RetryPolicy(max_attempts=1, park=False)
"""A job that fails is answered by its deployment (fail, roll back), not parked as a dead letter."""

ServiceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$")]
"""Lower-case letters, digits and '-': it is a part of workflow ids, where '-' separates."""
EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9_]{0,30}[a-z0-9])?$")]
"""Without '-', so that no two environments share the workflow id ``env-<service>-<environment>``."""


class JobDefinition(Frozen):
    """A job that a deployment runs: build, test, or the steps of an environment."""

    pool: Name = DEFAULT_POOL
    requires: list[Requirement] = Field(default_factory=list[str], max_length=16, description="Labels of the agent.")
    steps: list[Step] = Field(default_factory=list[Step], max_length=100)
    env: dict[EnvName, EnvValue] = Field(default_factory=dict[str, str], max_length=250)  # a job has 256
    secrets: list[EnvName] = Field(default_factory=list[str], max_length=100, description="Names only, never values.")
    checkout: CheckoutOptions = Field(default=AS_USUAL, exclude_if=lambda options: options == AS_USUAL)
    artifacts: ArtifactGlobs = Field(default_factory=list[str], description=ARTIFACTS)
    artifact_rules: ArtifactRules = Field(default=NO_RULES, exclude_if=lambda rules: rules == NO_RULES)
    timeout_seconds: WholeSeconds = 3600
    retry: RetryPolicy = Field(
        default=ONE_TRY, description="`park` has no effect: a failed job fails or rolls back its deployment."
    )
    expand: StrictBool = Field(
        default=False, exclude_if=lambda expand: not expand, description="As of a job: `$NAME` in the values of `env`."
    )
    cancel: CancelRules | None = Field(default=None, exclude_if=lambda cancel: cancel is None)
    resume: ResumeAt | None = Field(
        default=None,
        exclude_if=lambda resume: resume is None,
        description="As of a job: `step` goes on behind the last finished step after the loss of its agent.",
    )
    inputs: EarlyInputs = Field(
        default_factory=list[EarlyFiles],
        exclude_if=lambda inputs: not inputs,
        description="Artifacts of the same deployment's `build` or `test` that are there before the first step.",
    )

    @model_validator(mode="before")
    @classmethod
    def _artifacts_as_a_map(cls, fields: object) -> object:
        return with_rules_apart(fields)

    @model_validator(mode="after")
    def _commit_is_checked_out(self) -> Self:
        if self.checkout.none:
            raise ValueError("checkout.none: a deployment's jobs check their commit out, which tells who wrote it")
        return self


class Environment(JobDefinition):
    """One stop on the way of a version. ``external``: another CI rolls out and records its result here."""

    name: EnvironmentName
    external: StrictBool = False
    health_check: HealthCheck | None = None
    approval: ApprovalPolicy | None = None
    rollout: Rollout = Rollout()
    verification: Verification | None = None
    rollback: RollbackSteps | None = None
    supersede: SupersedePolicy = SupersedePolicy.NONE
    older_commits: OlderCommits = Field(
        default=OlderCommits.SUPERSEDE, exclude_if=lambda rule: rule is OlderCommits.SUPERSEDE
    )
    freeze_windows: list[FreezeWindow] = Field(default_factory=list[FreezeWindow], max_length=50)
    allow_windows: list[FreezeWindow] = Field(
        default_factory=list[FreezeWindow],
        max_length=50,
        exclude_if=lambda windows: not windows,
        description="Where there are some, a rollout begins within one of them only.",
    )
    freeze_during_rollout: DuringFreeze = Field(
        default=DuringFreeze.PAUSE, exclude_if=lambda rule: rule is DuringFreeze.PAUSE
    )

    @model_validator(mode="after")
    def _has_something_to_do(self) -> Self:
        if not self.external and not self.steps:
            raise ValueError("steps are needed, unless `external: true` says that another CI rolls out")
        return self


class ServiceDefinition(Frozen):
    """The part of a service that can live in its repository. Environments are passed in order; in the last one the
    version becomes live. ``staging`` can only be the first, ``production`` only the last.
    """

    build: JobDefinition | None = None
    test: JobDefinition | None = None
    environments: list[Environment] = Field(default_factory=list[Environment], max_length=10)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _require_order([environment.name for environment in self.environments])
        self._require_inputs()
        size = len(type(self).__pydantic_serializer__.to_json(self))
        if size > MAX_SERVICE_BYTES:
            raise ValueError(f"the definition is {size} bytes long; at most {MAX_SERVICE_BYTES} are allowed")
        return self

    def _require_inputs(self) -> None:
        """Each has a job whose files it can be. Raises ValueError."""
        build = {EarlyJob.BUILD: self.build is not None}
        both = {**build, EarlyJob.TEST: self.test is not None}
        before: dict[str, tuple[JobDefinition | None, dict[EarlyJob, bool]]] = {
            "build": (self.build, {}),
            "test": (self.test, build),
            **{f"environments.{number}": (each, both) for number, each in enumerate(self.environments)},
        }
        for name, (job, there) in before.items():
            if job is not None and (why := missing_sources(job.inputs, there)) is not None:
                raise ValueError(f"{name}.inputs.{why}")


class EnvironmentPolicy(Frozen):
    """What whoever owns an environment asks of every version that wants in. A commit's file may only tighten it.

    ``verification.run`` and ``rollback``, where they are given, are what runs; ``rollout`` names percentages at which
    a version stops at least. ``pools``: where the file may let it run.
    """

    name: EnvironmentName
    pools: list[Name] = Field(default_factory=lambda: [DEFAULT_POOL], min_length=1, max_length=100)
    external: StrictBool = False
    approval: ApprovalPolicy | None = None
    rollout: Rollout | None = None
    verification: Verification | None = None
    rollback: RollbackSteps | None = None
    supersede: SupersedePolicy = SupersedePolicy.NONE
    older_commits: OlderCommits = Field(
        default=OlderCommits.SUPERSEDE, exclude_if=lambda rule: rule is OlderCommits.SUPERSEDE
    )
    freeze_windows: list[FreezeWindow] = Field(default_factory=list[FreezeWindow], max_length=50)
    allow_windows: list[FreezeWindow] = Field(
        default_factory=list[FreezeWindow],
        max_length=50,
        exclude_if=lambda windows: not windows,
        description="Where there are some, a rollout begins within one of them only.",
    )
    freeze_during_rollout: DuringFreeze = Field(
        default=DuringFreeze.PAUSE, exclude_if=lambda rule: rule is DuringFreeze.PAUSE
    )


class ServicePolicy(Frozen):
    """The rules of a service whose definition its repository holds: its environments, in this order and no others.

    ``pools``: where the file may let build and test run.
    """

    pools: list[Name] = Field(default_factory=lambda: [DEFAULT_POOL], min_length=1, max_length=100)
    environments: list[EnvironmentPolicy] = Field(min_length=1, max_length=10)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _require_order([environment.name for environment in self.environments])
        return self


class DefinitionSource(Frozen):
    """The definition is read from the repository at each deployment's commit, by an agent of this pool."""

    path: ArtifactGlob = DEFINITION_FILE
    pool: Name = DEFAULT_POOL

    @model_validator(mode="after")
    def _one_file(self) -> Self:
        if any(character in self.path for character in "*?["):
            raise ValueError("path must name one file")
        return self


class ServiceSpec(ServiceDefinition):
    """What ``PUT /api/dashboard/services/{name}`` takes: environments, or where in the repository they are and the
    ``policy`` that they must keep. One that was stored before there were policies has none and can still be read.

    Fields of later versions are left out where they say nothing, so that an older worker can read the rest.
    """

    git_repo: Repository
    git_ref: GitRef | None = Field(
        default=None, description="The branch that webhooks deploy; when not given, the repository's default branch."
    )
    commit_on_ref: StrictBool = Field(
        default=False, exclude_if=lambda on: not on, description="An agent must find each commit on `git_ref`."
    )
    description: Annotated[Prose, StringConstraints(max_length=4096)] = ""
    labels: dict[ShortLine, ShortLine] = Field(default_factory=dict[str, str], max_length=64)
    allow_version_reuse: StrictBool = Field(
        default=False, exclude_if=lambda on: not on, description="One version may be deployed from another commit."
    )
    definition: DefinitionSource | None = None
    policy: ServicePolicy | None = Field(default=None, exclude_if=lambda policy: policy is None)
    policy_change_needs_second_person: StrictBool = Field(default=False, exclude_if=lambda on: not on)
    triggers: Triggers | None = Field(default=None, exclude_if=lambda triggers: triggers is None)

    @property
    def environment_names(self) -> list[str]:
        """In order; of a definition in the repository, those of its policy, and none where it has no policy yet."""
        rules = self.environments if self.policy is None else self.policy.environments
        return [environment.name for environment in rules]

    @model_validator(mode="after")
    def _defined_once(self) -> Self:
        if self.definition is None and not self.environments:
            raise ValueError("environments are needed, or `definition` to read them from the repository")
        if self.definition is not None and (self.environments or self.build or self.test):
            raise ValueError(
                "build, test and environments must be left out when `definition` reads them from the repository"
            )
        if self.definition is None and self.policy is not None:
            raise ValueError("policy is for a `definition` in the repository: the environments hold it themselves")
        if self.commit_on_ref and self.git_ref is None:
            raise ValueError("commit_on_ref needs `git_ref`, the branch on which each commit must be")
        return self


class PolicyChange(Tolerant):
    """A change of a service's policy that waits for a second person. ``changes``: in words, by field.

    ``identity``: who asked for it, as far as the API knows.
    """

    spec: ServiceSpec
    changes: list[str]
    asked_by: str
    identity: Somebody | None = None
    asked_at: Millis


class Archived(Tolerant):
    """Who put a service aside, when and why."""

    by: str
    at: Millis
    reason: str = ""


class Service(Tolerant):
    """A registered service. ``version`` counts the definitions; a deployment keeps the one it started with.

    ``archived``: it starts nothing. ``deleted``: it is not there; what is kept of it lets a service of the same name go
    on with the next version. ``policy_change`` waits for a second person. It came with this version; the next one has
    it no more.
    """

    name: str
    version: int
    spec: ServiceSpec
    created_at: Millis
    updated_at: Millis
    updated_by: str = ""
    policy_change: PolicyChange | None = Field(default=None, exclude_if=lambda change: change is None)
    archived: Archived | None = Field(default=None, exclude_if=lambda archived: archived is None)
    deleted: bool = Field(default=False, exclude_if=lambda deleted: not deleted)


class ServicePage(Tolerant):
    """One page of services, by name."""

    items: list[Service]
    next_cursor: str | None = None


class ServiceWrite(Named):
    """Register or change a service. An unchanged specification makes no new version.

    ``expected_version``: refuse (invalid_state) unless this is the present one; 0 means that there must be none.
    ``identity``: who asks, as far as the API knows.
    """

    name: ServiceName
    spec: ServiceSpec
    expected_version: int | None = Field(default=None, ge=0)
    via: str = "api"
    identity: Somebody | None = Field(default=None, exclude_if=lambda identity: identity is None)


class DefinitionRequest(Tolerant):
    """Read the definition that a job left as an artifact."""

    job_id: str
    attempt: int
    path: str


def spec_fields(definition: ServiceDefinition) -> dict[str, Any]:
    """The fields of a definition by name, for ``model_copy(update=…)`` of a ServiceSpec."""
    return {name: getattr(definition, name) for name in ServiceDefinition.model_fields}


def _require_order(names: Sequence[str]) -> None:
    """Raises ValueError."""
    if len(set(names)) != len(names):
        raise ValueError("environments: two have the same name")
    if STAGING in names[1:]:
        raise ValueError(f"environments: {STAGING} must be the first")
    if PRODUCTION in names[:-1]:
        raise ValueError(f"environments: {PRODUCTION} must be the last")
