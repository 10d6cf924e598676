"""What an environment asks of a version: health, approvals, rollout, verification, rollback, freezes.

Durations are seconds. Deliberately not here: which environments a service has, and what runs there (``services``).
"""

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StrictBool, StringConstraints, model_validator

from workflows.contracts.base import Frozen
from workflows.contracts.deployments.metrics import MetricName, MetricValue
from workflows.contracts.fields import Line, Name, Person, ShortLine, Text, WholeSeconds
from workflows.contracts.jobs import Step

APPROVAL_EXPIRES_SECONDS: Final = 3 * 24 * 3600

Command = Annotated[Text, StringConstraints(min_length=1, max_length=64 * 1024)]
Cron = Annotated[Line, StringConstraints(min_length=9, max_length=128)]
Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class HealthCheck(Frozen):
    """A command that exits 0 when the environment is well. Tried again until it does, ``attempts`` times in all."""

    run: Command
    attempts: int = Field(default=5, ge=1, le=50)
    interval_seconds: float = Field(default=2, ge=0, le=3600, allow_inf_nan=False)
    timeout_seconds: WholeSeconds = 60


class ApprovalGroup(Frozen):
    """People of whom ``required`` must be among the approvers."""

    name: ShortLine
    members: list[Person] = Field(min_length=1, max_length=256)
    required: int = Field(default=1, ge=1, le=20)

    @model_validator(mode="after")
    def _enough_members(self) -> Self:
        if self.required > len({member.casefold() for member in self.members}):
            raise ValueError(f"group {self.name!r} needs {self.required} approvals but has fewer members")
        return self


class ApprovalPolicy(Frozen):
    """Who must say yes before a version enters an environment. With ``groups``, only their members may approve.

    ``allow_unverified`` None: as the installation says (HYBRIDCI_ALLOW_UNVERIFIED).
    """

    required: int = Field(default=1, ge=1, le=20, description="Distinct approvers in all.")
    allow_author: StrictBool = Field(default=False, description="Its author and committer may approve it.")
    allow_machines: StrictBool = Field(default=False, description="Keys and workloads of nobody in person may approve.")
    allow_unverified: StrictBool | None = Field(
        default=None, description="Approvals that are sent straight to Temporal count."
    )
    one_person_many_groups: StrictBool = Field(default=False, description="One approver counts for several groups.")
    signed: StrictBool = Field(default=False, description="Each approval must be signed; the pool's agents check it.")
    expires_seconds: Annotated[int, Field(ge=1, le=90 * 24 * 3600)] = APPROVAL_EXPIRES_SECONDS
    groups: list[ApprovalGroup] = Field(default_factory=list[ApprovalGroup], max_length=20)


class PauseFor(Frozen):
    """For a time, unless somebody lets it go on before."""

    seconds: Annotated[int, Field(ge=1, le=7 * 24 * 3600)]


class RolloutStep(Frozen):
    """``{percent: 10}``, ``{pause: {seconds: 60}}``, or ``{pause: until_resumed}``, which waits for a person."""

    percent: Annotated[int, Field(ge=1, le=100)] | None = Field(default=None, exclude_if=lambda value: value is None)
    pause: PauseFor | Literal["until_resumed"] | None = Field(default=None, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.percent is None) == (self.pause is None):
            raise ValueError("a step is either a percent or a pause")
        return self


class Rollout(Frozen):
    """The environment's steps run once for each percentage, which they find in ``HYBRIDCI_ROLLOUT_PERCENT``.

    ``percent`` with ``pause_seconds`` between them, or ``steps``, which say each pause where it is. One stored before
    there were steps has none.
    """

    percent: list[Annotated[int, Field(ge=1, le=100)]] = Field(
        default_factory=lambda: [100], min_length=1, max_length=20
    )
    pause_seconds: Annotated[int, Field(ge=0, le=7 * 24 * 3600)] = 0
    steps: list[RolloutStep] | None = Field(
        default=None, min_length=1, max_length=60, exclude_if=lambda steps: steps is None
    )

    @property
    def percentages(self) -> list[int]:
        """Where it stops, in order."""
        return self.percent if self.steps is None else [each.percent for each in self.steps if each.percent is not None]

    @model_validator(mode="after")
    def _grows_to_all(self) -> Self:
        if self.steps is not None:
            self._require_steps(self.steps)
        if self.percentages != sorted(set(self.percentages)) or self.percentages[-1] != 100:
            raise ValueError("percent must grow from step to step and end with 100")
        return self

    def _require_steps(self, steps: list[RolloutStep]) -> None:
        if self.percent != [100] or self.pause_seconds:
            raise ValueError("give either `steps`, or `percent` and `pause_seconds`")
        if steps[0].percent is None or steps[-1].percent is None:
            raise ValueError("the first of the steps and the last one must be a percent")


class MetricCheck(Frozen):
    """What one metric may be. ``max_ratio`` and ``min_ratio`` are relative to the version that was live before: to the
    median of its last samples of the same metric from the same source. ``consecutive_breaches`` None: as the
    verification says. ``failure_limit``: more samples than that over the limit, of the last hundred, are a breach too,
    in a row or not.

    With ``provider`` an agent of the environment's pool reads it, every ``interval_seconds``, and more slowly while
    the version is live: a manifest of this name on the agent says whom it asks. In ``query`` ``{{service}}``,
    ``{{environment}}`` and ``{{version}}`` are filled in. ``inconclusive_limit`` readings in a row that say nothing ask
    a person. Without ``provider`` it is reported from outside.
    """

    name: MetricName
    max: MetricValue | None = None
    min: MetricValue | None = None
    max_ratio: Positive | None = None
    min_ratio: Positive | None = None
    consecutive_breaches: Annotated[int, Field(ge=1, le=20)] | None = None
    failure_limit: Annotated[int, Field(ge=0, le=99)] | None = None
    provider: Name | None = None
    query: Annotated[Text, StringConstraints(max_length=4096)] = ""
    params: dict[ShortLine, ShortLine] = Field(default_factory=dict[str, str], max_length=16)
    interval_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    live_interval_seconds: Annotated[int, Field(ge=30, le=24 * 3600)] = 300
    inconclusive_limit: Annotated[int, Field(ge=1, le=100)] = 3

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.provider is None and (self.query or self.params):
            raise ValueError(f"{self.name} has a query but no provider that an agent could ask")
        if all(limit is None for limit in (self.max, self.min, self.max_ratio, self.min_ratio)):
            raise ValueError(f"{self.name} has no limit: give max, min, max_ratio or min_ratio")
        if self.max is not None and self.min is not None and self.max < self.min:
            raise ValueError(f"max of {self.name} is below its min: every value would breach")
        return self


class Verification(Frozen):
    """How a version proves itself in an environment.

    ``run`` is a command that exits 0 when all is well; exit code 75 (EX_TEMPFAIL) says that it cannot tell. Metrics
    are reported to ``POST …/deployments/{id}/metrics`` and compared with the limits during the rollout, the bake time
    and as long as the version is live. A breach counts when ``consecutive_breaches`` samples in a row of one metric
    from one source are over its limit. No answer, no sample of a limited metric during the bake time, or a breach that
    does not count yet at its end, is inconclusive: the deployment pauses and asks. ``metrics`` limits others by name.
    """

    run: Command | None = None
    timeout_seconds: WholeSeconds = 600
    bake_seconds: Annotated[int, Field(ge=0, le=7 * 24 * 3600)] = 0
    max_error_rate: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    max_latency_ms: Positive | None = None
    min_requests_per_sec: Positive | None = None
    consecutive_breaches: int = Field(default=1, ge=1, le=20)
    metrics: list[MetricCheck] = Field(
        default_factory=list[MetricCheck], max_length=20, exclude_if=lambda checks: not checks
    )

    @model_validator(mode="after")
    def _one_limit_a_metric(self) -> Self:
        names = [check.name for check in self.metrics]
        own = {"error_rate": self.max_error_rate, "latency_ms": self.max_latency_ms}
        own["requests_per_sec"] = self.min_requests_per_sec
        names += [name for name, limit in own.items() if limit is not None]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: limited twice; say it once")
        return self


class RollbackSteps(Frozen):
    """How to bring an earlier version back. Without steps, the environment's own steps run for that version."""

    steps: list[Step] = Field(default_factory=list[Step], max_length=100)
    timeout_seconds: WholeSeconds = 3600
    max_attempts: int = Field(default=3, ge=1, le=20)


class FreezeWindow(Frozen):
    """A recurring time in which nothing is rolled out: from each moment of ``cron`` on, for ``duration_seconds`` by the
    clock on the wall: a weekend ends at its hour also when the clocks change.
    """

    name: ShortLine
    cron: Cron = Field(description="Five fields: minute, hour, day of month, month, day of week.")
    duration_seconds: Annotated[int, Field(ge=60, le=90 * 24 * 3600)]
    timezone: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = "UTC"


class DuringFreeze(StrEnum):
    """What a rollout does when a freeze begins before its next step. A hold stops it whatever this says."""

    PAUSE = "pause"  # it stays where it is until the freeze is over
    FINISH = "finish"  # it goes on, and its trail says so


class SupersedePolicy(StrEnum):
    """What becomes of older deployments that wait for an environment when a newer one joins them."""

    NONE = "none"  # all are rolled out, in order of arrival
    OLDER = "older"  # the older ones that wait end as superseded


class OlderCommits(StrEnum):
    """What becomes of a deployment whose commit is an ancestor of what is live or ahead of it in an environment."""

    SUPERSEDE = "supersede"  # it ends as superseded
    ASK = "ask"  # it waits for a person, who is told what is newer
