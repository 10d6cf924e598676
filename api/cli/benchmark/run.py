"""One run: which parts, how large, in which order. Each part is a module beside this one."""

import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Final

from api.cli.benchmark.calls import measure_calls
from api.cli.benchmark.dashboard import measure_dashboard
from api.cli.benchmark.deployments import measure_deployments
from api.cli.benchmark.files import measure_artifacts, measure_checkouts
from api.cli.benchmark.fleet import measure_fleet
from api.cli.benchmark.floor import Floor, floor_worker
from api.cli.benchmark.gateway import measure_gateway
from api.cli.benchmark.heartbeats import measure_heartbeats
from api.cli.benchmark.many_deployments import measure_many_deployments
from api.cli.benchmark.own_stack import OwnStack, own_stack
from api.cli.benchmark.questions import measure_questions
from api.cli.benchmark.reads import measure_reads
from api.cli.benchmark.report import Machine, Report
from api.cli.benchmark.targets import targets
from api.cli.benchmark.usage import resident_mib
from api.cli.benchmark.work import Repository, make_repository, measure_latency, measure_throughput

_FEW_STORED: Final = 100
_QUIET_SECONDS: Final = 5.0
_HEARTBEAT_ROUNDS: Final = 4
_FLEET_ROUNDS: Final = 3
_JOBS_A_DEPLOYMENT: Final = 10


class BenchPart(StrEnum):
    """What can be measured by itself."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"
    CALLS = "calls"
    DEPLOYMENTS = "deployments"
    DEPLOYMENTS_MANY = "deployments-many"
    GATEWAY = "gateway"
    QUESTIONS = "questions"
    MEMORY = "memory"
    READS = "reads"
    HEARTBEATS = "heartbeats"
    FLEET = "fleet"
    DASHBOARD = "dashboard"
    CHECKOUT = "checkout"
    ARTIFACTS = "artifacts"


_BESIDE_THE_FLOOR: Final = frozenset(
    {
        BenchPart.LATENCY,
        BenchPart.THROUGHPUT,
        BenchPart.DEPLOYMENTS,
        BenchPart.DEPLOYMENTS_MANY,
        BenchPart.QUESTIONS,
    }
)
_ON_A_STACK_OF_ITS_OWN: Final = frozenset(
    {BenchPart.READS, BenchPart.CALLS, BenchPart.DASHBOARD, BenchPart.CHECKOUT, BenchPart.ARTIFACTS}
)
_FILES: Final = frozenset({BenchPart.CHECKOUT, BenchPart.ARTIFACTS})
_WHEN_NAMED: Final = frozenset({BenchPart.FLEET, BenchPart.DASHBOARD, *_FILES})
USUAL: Final = tuple(part for part in BenchPart if part not in _WHEN_NAMED)
"""What is measured unless parts are named: the others take minutes more each, checkouts several gigabytes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. ``samples`` of each latency (a fourth of that of a deployment's), ``jobs`` for throughput,
    ``deployments`` at once, ``stored`` records for reads, ``agents`` that
    beat over a few connections; ``fleets`` of agents with a connection of their own each. For the dashboard there is a
    deployment for each ten ``stored`` jobs, a log of ``log_mib``, and ``streams`` that look on. A repository of
    ``repository_mib`` for checkouts, and so many files for ``artifacts``.
    """

    parts: frozenset[BenchPart]
    samples: int
    jobs: int
    stored: int
    capacity: int
    deployments: int = 200
    agents: int = 500
    fleets: tuple[int, ...] = (300, 1000)
    log_mib: int = 200
    streams: int = 200
    repository_mib: int = 2048
    artifacts: tuple[int, ...] = (500, 10_000)


def run_benchmark(plan: Plan, say: Callable[[str], None]) -> Report:
    """Measure. ``say`` gets a line now and then. Raises BenchmarkFailed."""
    began = time.monotonic()
    report = Report(version=version("hybrid-ci-cd"), machine=_machine(), seconds=0)
    with tempfile.TemporaryDirectory(prefix="hybridci-bench-") as name:
        folder = Path(name)
        if plan.parts & _FILES:
            with own_stack(folder / "files", agents=1, capacity=4) as stack:
                report = report.model_copy(update=_with_files(plan, stack, folder, say))
        if plan.parts - _ON_A_STACK_OF_ITS_OWN:
            with own_stack(folder / "work", agents=1, capacity=plan.capacity) as stack:
                report = _with_work(report, plan, stack, folder, say)
        if BenchPart.CALLS in plan.parts:
            calls = measure_calls(folder / "calls", make_repository(folder / "calls-repository"), plan.jobs, say)
            report = report.model_copy(update={"calls": calls})
        if BenchPart.READS in plan.parts:
            reads = measure_reads(folder, (min(_FEW_STORED, plan.stored), plan.stored), plan.samples, say)
            report = report.model_copy(update={"reads": reads})
        if BenchPart.DASHBOARD in plan.parts:
            sizes = (plan.stored, max(1, plan.stored // _JOBS_A_DEPLOYMENT), plan.log_mib, plan.streams, plan.samples)
            dashboard = measure_dashboard(folder, *sizes, say)
            report = report.model_copy(update={"dashboard": dashboard})
    seconds = round(time.monotonic() - began, 1)
    return report.model_copy(update={"targets": targets(report), "seconds": seconds})


def _with_work(report: Report, plan: Plan, stack: OwnStack, folder: Path, say: Callable[[str], None]) -> Report:
    found: dict[str, object] = {}
    if BenchPart.MEMORY in plan.parts:
        found["idle_mib"] = _at_rest(stack)
    if plan.parts & _BESIDE_THE_FLOOR:
        repository = make_repository(folder / "repository")
        address = stack.options.temporal_address
        with floor_worker(address, plan.capacity) as worker, Floor.connected(address) as floor:
            if BenchPart.LATENCY in plan.parts:
                raw, ours = measure_latency(stack, floor, repository, folder, plan.samples, say)
                found |= {"floor_latency": raw, "latency": ours}
            if BenchPart.THROUGHPUT in plan.parts:
                raw, ours = measure_throughput(stack, floor, worker.pid, repository, plan.jobs, say)
                found |= {"floor_throughput": raw, "throughput": ours}
            found |= _with_deployments(plan, stack, floor, repository, folder, say)
            if BenchPart.QUESTIONS in plan.parts:
                found["question_latency"] = measure_questions(
                    stack, floor, repository, folder / "questions", plan.samples, say
                )
    if BenchPart.GATEWAY in plan.parts:
        found["gateway_latency"] = measure_gateway(stack, plan.samples, say)
    if BenchPart.MEMORY in plan.parts and plan.parts - {
        BenchPart.MEMORY,
        *_ON_A_STACK_OF_ITS_OWN,
        BenchPart.HEARTBEATS,
        BenchPart.FLEET,
    }:
        found["after_work_mib"] = _at_rest(stack)
    if BenchPart.HEARTBEATS in plan.parts:
        rounds = min(_HEARTBEAT_ROUNDS, max(1, plan.samples // 2))
        found["heartbeats"] = measure_heartbeats(stack, plan.agents, rounds, say)
    if BenchPart.FLEET in plan.parts:
        rounds = min(_FLEET_ROUNDS, max(1, plan.samples // 4))
        found["fleets"] = [measure_fleet(stack, agents, rounds, say) for agents in plan.fleets]
    return report.model_copy(update=found)


def _with_files(plan: Plan, stack: OwnStack, folder: Path, say: Callable[[str], None]) -> dict[str, object]:
    found: dict[str, object] = {}
    if BenchPart.CHECKOUT in plan.parts:
        found["checkouts"] = measure_checkouts(stack, folder / "checkouts", plan.repository_mib, say)
    if BenchPart.ARTIFACTS in plan.parts:
        repository = make_repository(folder / "files-repository")
        found["artifacts"] = measure_artifacts(stack, repository, plan.artifacts, say)
    return found


def _with_deployments(
    plan: Plan, stack: OwnStack, floor: Floor, repository: Repository, folder: Path, say: Callable[[str], None]
) -> dict[str, object]:
    found: dict[str, object] = {}
    if BenchPart.DEPLOYMENTS in plan.parts:
        samples = max(1, plan.samples // 4)
        found["deployment_latency"] = measure_deployments(stack, floor, repository, folder / "marks", samples, say)
    if BenchPart.DEPLOYMENTS_MANY in plan.parts:
        found["many_deployments"] = measure_many_deployments(
            stack, repository, folder / "ledger", plan.deployments, say
        )
    return found


def _at_rest(stack: OwnStack) -> dict[str, float]:
    time.sleep(_QUIET_SECONDS)  # rest itself is what is measured: there is nothing to wait for
    return resident_mib(stack.processes())


def _machine() -> Machine:
    return Machine(
        cores=os.cpu_count() or 0,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        load_before=round(os.getloadavg()[0], 1),
    )
