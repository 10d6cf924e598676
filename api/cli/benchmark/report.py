"""The result of a run, as `hybridci bench --json` prints it. Times in milliseconds, memory in MiB.

Deliberately not here: what is aimed at (``targets``), how people see it (``table``), measuring.
"""

import math
from collections.abc import Sequence
from typing import Self

from pydantic import Field, computed_field

from workflows.contracts.base import Frozen


class Times(Frozen):
    """What a number of samples took, in milliseconds."""

    p50: float
    p95: float
    samples: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Self:
        """The nearest-rank percentiles of at least one sample."""
        ordered = sorted(samples)
        p50, p95 = (ordered[max(0, math.ceil(len(ordered) * share) - 1)] for share in (0.50, 0.95))
        return cls(p50=round(p50, 2), p95=round(p95, 2), samples=len(ordered))


class Latency(Frozen):
    """From the request to the command's (the activity's) first instruction, and to the end."""

    dispatch: Times
    end_to_end: Times


class Throughput(Frozen):
    """Trivial jobs per second, and the CPU time that each cost by process, in milliseconds."""

    jobs: int
    capacity: int
    per_second: float
    cpu_ms_per_job: dict[str, float]


class Written(Frozen):
    """What a job's writes put into the store: items, DynamoDB's write units, bytes."""

    items: int
    units: int
    bytes: int


class History(Frozen):
    """A job's history in Temporal: its events and their bytes, the mean of all."""

    events: float
    bytes: int


class CallsPerJob(Frozen):
    """What a trivial job asks of the store, by operation, and what it leaves there and in Temporal."""

    jobs: int
    store_requests: dict[str, float]
    written: Written
    history: History


class DeploymentLatency(Frozen):
    """From a request to the first instruction of the command that it sets in motion.

    ``start``: of the first stage. ``approve``: of production. ``rollback``: of the rollback of a live version.
    ``floor``, one workflow with one activity, was measured in turns with them.
    """

    floor: Times
    start: Times
    approve: Times
    rollback: Times


class ManyDeployments(Frozen):
    """Deployments of several services at once, until all were live or had ended; all were checked to be correct.

    The CPU time by process is what each deployment cost, in milliseconds.
    """

    deployments: int
    services: int
    capacity: int
    seconds: float
    per_second: float
    cpu_ms_per_deployment: dict[str, float]


class GatewayLatency(Frozen):
    """From starting a workflow to its activity's first instruction, with and without the gateway between."""

    direct: Times
    gateway: Times


class QuestionLatency(Frozen):
    """From the request to the answer of an agent behind the gateway; ``floor``: one workflow with one activity, from
    its start to its result, measured in turns with it.
    """

    floor: Times
    question: Times


class HeartbeatFigures(Frozen):
    """What one heartbeat costs, storing it included: CPU time by process in milliseconds.

    ``many_cpu_percent``: what ``many`` agents would take of one core of the API, by extrapolation.
    """

    agents: int
    heartbeats: int
    cpu_ms: dict[str, float]
    many: int
    many_cpu_percent: float


class FleetRun(Frozen):
    """CPU time of the API per heartbeat, storing it included, and the time to the answer, both in milliseconds."""

    cpu_ms: float
    answered: Times


class FleetFigures(Frozen):
    """Heartbeats of ``agents``, each every ``seconds``: over one kept connection each, and with a new one each time."""

    agents: int
    seconds: float
    kept: FleetRun
    new: FleetRun
    api_mib: float


class CheckoutFigures(Frozen):
    """A repository of ``mib`` that do not compress, in milliseconds. ``worktree``: `git worktree add` from a bare
    clone, in turns with ``second``, the checkouts of jobs from the agent's copy; ``first_ms``: with the copy's making;
    ``…_of_four_ms``: the longest of four at once, the first ones, later ones, and `git worktree add` likewise.
    """

    mib: int
    worktree: Times
    second: Times
    first_ms: float
    first_of_four_ms: float
    second_of_four_ms: float
    worktree_of_four_ms: float | None = None


class ArtifactFigures(Frozen):
    """From the last step's end to the attempt's, with so many files of 1 KiB."""

    files: int
    milliseconds: float


class Reads(Frozen):
    """Reading with this many jobs stored."""

    stored: int
    get: Times
    list_page: Times
    stats: Times
    resident_mib: float


class PageFigures(Frozen):
    """One page's HTML, from the request to its last byte."""

    path: str
    times: Times


class StreamFigures(Frozen):
    """Open dashboards: CPU of the API in % of a core while nothing happens; ``reached_ms``: the median time in which
    one change reached all of them.
    """

    streams: int
    idle_cpu_percent: float
    reached_ms: int


class DashboardFigures(Frozen):
    """The dashboard with this many jobs and deployments stored. ``plain``: a page that asks nobody. ``left_out``: pages
    for which nothing is stored. Bytes are as sent; times in ms.
    """

    stored: int
    deployments: int
    plain: Times
    pages: list[PageFigures]
    left_out: list[str]
    first_page_bytes: int
    log_mib: int
    log_open: Times
    log_search: Times
    streams: StreamFigures


class Target(Frozen):
    """A limit and what was measured. ``at_least``: more is better."""

    name: str
    measured: float
    limit: float
    unit: str
    at_least: bool = False

    @computed_field
    @property
    def met(self) -> bool:
        """True when the limit is kept."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


class Machine(Frozen):
    """Where it was measured."""

    cores: int
    system: str
    python: str
    load_before: float = Field(description="Runnable processes in the minute before: above the cores, it was busy.")


class Report(Frozen):
    """One run."""

    version: str
    machine: Machine
    seconds: float
    latency: Latency | None = None
    floor_latency: Latency | None = None
    throughput: Throughput | None = None
    floor_throughput: Throughput | None = None
    calls: CallsPerJob | None = None
    idle_mib: dict[str, float] | None = None
    after_work_mib: dict[str, float] | None = None
    deployment_latency: DeploymentLatency | None = None
    many_deployments: ManyDeployments | None = None
    gateway_latency: GatewayLatency | None = None
    question_latency: QuestionLatency | None = None
    heartbeats: HeartbeatFigures | None = None
    fleets: list[FleetFigures] = Field(default_factory=list[FleetFigures])
    checkouts: CheckoutFigures | None = None
    artifacts: list[ArtifactFigures] = Field(default_factory=list[ArtifactFigures])
    reads: list[Reads] = Field(default_factory=list[Reads])
    dashboard: DashboardFigures | None = None
    targets: list[Target] = Field(default_factory=list[Target])
