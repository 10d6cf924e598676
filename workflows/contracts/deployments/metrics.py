"""What is measured of a version: samples, what a limit says of them, and what is told of it.

A *row* is one metric as one source reports it; each is judged by itself. Times are epoch milliseconds.
Deliberately not here: which limits an environment sets (``rules``), how a row is judged (``verification``).
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from workflows.contracts.base import Tolerant
from workflows.contracts.fields import Line, Millis, NotBlank

MAX_IN_ONE_REPORT: Final = 32
"""How many metrics one report may name."""
MAX_ROWS: Final = 64
"""How many rows a deployment has in one environment: a reporter that makes up names and sources floods no table."""
AHEAD_MS: Final = 5 * 60_000
"""A clock may be so far ahead of ours, or behind."""
BEHIND_MS: Final = 7 * 24 * 3600 * 1000
"""What is older says nothing of how a version does now."""
SECONDS_BELOW: Final = 100_000_000_000
"""A time below it counts seconds (until the year 5138), or is of before 1973."""

PULLED: Final = "pull:"
"""So begins the source of what an agent reads from the monitoring that a service names; nobody else reports it."""

MetricName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
MetricValue = Annotated[float, Field(allow_inf_nan=False)]
Source = Annotated[Line, StringConstraints(min_length=1, max_length=128), NotBlank]


class MetricVerdict(StrEnum):
    """What the newest samples of a row say."""

    OK = "ok"
    BREACHED = "breached"  # as many in a row as count are over the limit
    UNKNOWN = "unknown"  # the newest are over the limit, but fewer than count


class MetricLimit(Tolerant):
    """What a metric may be. ``consecutive``: so many samples of a row in a row over it are a breach; ``failures``: so
    are more than so many of the last hundred.
    """

    metric: str
    max: float | None = None
    min: float | None = None
    max_ratio: float | None = None
    min_ratio: float | None = None
    consecutive: int = 1
    failures: int | None = None

    @property
    def relative(self) -> bool:
        """Whether the version before must be known to judge by it."""
        return self.max_ratio is not None or self.min_ratio is not None


class Sample(Tolerant):
    """One value of one row at one time. The same time again replaces it."""

    environment: str
    metric: str
    source: str
    at: Millis
    value: float
    by: str = ""


class MetricRow(Tolerant):
    """A row as last judged: its newest sample, how many in a row are over the limit, and how the newest is."""

    environment: str
    metric: str
    source: str
    verdict: MetricVerdict
    at: Millis
    value: float | None = None
    breaches: int = 0
    why: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells rows apart."""
        return (self.environment, self.metric, self.source)

    @property
    def words(self) -> str:
        """For people."""
        times = f" ({self.breaches} in a row)" if self.breaches > 1 else ""
        value = "unknown" if self.value is None else f"{self.value:g}"
        return f"{self.why or f'{self.metric} is {value}'}{times}"


class MetricsVerdict(Tolerant):
    """Signal ``metrics_verdict``: rows whose verdict is another one than the deployment's record has."""

    environment: str
    rows: list[MetricRow] = Field(max_length=MAX_ROWS)


class MetricsQuestion(Tolerant):
    """Asked of the activity ``judge_metrics``: how do the rows of a deployment stand, by samples since then?
    ``before``: the deployment whose version was live before, to which relative limits refer.
    """

    deployment_id: str
    environment: str
    since: Millis
    limits: list[MetricLimit]
    before: str | None = None


class MetricsReport(MetricsQuestion):
    """Asked of the activity ``keep_metrics``: keep these values and judge their rows. ``judged`` False: nothing of the
    version runs there yet, so they are only kept. ``begun_at``: when the deployment was asked for; what lies before is
    no sample of it. ``known``: the rows as the deployment's record has them.
    """

    values: dict[str, float]
    source: str
    at: Millis
    by: str = ""
    begun_at: Millis = 0
    judged: bool = True
    known: list[MetricRow] = Field(default_factory=list[MetricRow])


class MetricsFacts(Tolerant):
    """Each row of a limited metric that has a sample."""

    rows: list[MetricRow] = Field(default_factory=list[MetricRow])


class WatchInput(Tolerant):
    """The argument of ``MetricsWatchWorkflow``: whose metrics are read, and where. ``failed``: how often in a row each
    was read in vain by the run before.
    """

    deployment_id: str
    workflow_id: str
    environment: str
    failed: dict[str, int] = Field(default_factory=dict[str, int])


class MetricsQuery(Tolerant):
    """Which samples a page shows, newest first: those of which all this holds. ``since``, ``until``: epoch ms."""

    deployment_id: str
    environment: str | None = None
    metric: str | None = None
    source: str | None = None
    since: Millis | None = None
    until: Millis | None = None
    limit: int = Field(default=50, ge=1, le=100)
    cursor: str | None = None


class MetricsPage(Tolerant):
    """One page of samples, newest first."""

    items: list[Sample]
    next_cursor: str | None = None


class Incident(Tolerant):
    """An alert that has rolled a version back: it acts once."""

    deployment_id: str
    version: str
    at: Millis
