"""`hybridci bench`: measure on this machine. The measuring is in ``benchmark``; here are its options and its output."""

import sys
from collections.abc import Callable, Sequence

from rich.console import Console

from api.cli.benchmark.run import USUAL, BenchPart, Plan, run_benchmark
from api.cli.benchmark.table import print_report
from api.cli.benchmark.wire import BenchmarkFailed

MEASURED = 0
NOT_MEASURED = 1
WRONG_OPTION = 2


def run_bench(
    parts: Sequence[str] | None,
    *,
    samples: int,
    jobs: int,
    stored: int,
    capacity: int,
    as_json: bool,
    deployments: int = 200,
    agents: int = 500,
    log_mib: int = 200,
    streams: int = 200,
    repository_mib: int = 2048,
) -> int:
    """Measure and print. The exit code says whether it could be measured, not whether it was fast."""
    try:
        chosen = frozenset(BenchPart(part) for part in parts or USUAL)
    except ValueError as error:
        sys.stderr.write(f"hybridci bench: {error}; choose from {', '.join(BenchPart)}.\n")
        return WRONG_OPTION
    plan = Plan(
        chosen,
        samples=samples,
        jobs=jobs,
        stored=stored,
        capacity=capacity,
        deployments=deployments,
        agents=agents,
        log_mib=log_mib,
        streams=streams,
        repository_mib=repository_mib,
    )
    try:
        report = run_benchmark(plan, _progress())
    except BenchmarkFailed as error:
        sys.stderr.write(f"hybridci bench: {error}\n")
        return NOT_MEASURED
    if as_json:
        sys.stdout.write(report.model_dump_json(indent=1, exclude_none=True) + "\n")
    else:
        print_report(report, Console())
    return MEASURED


def _progress() -> Callable[[str], None]:
    """Lines on standard error, so that standard output holds the result only."""
    return lambda line: print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress of a command
