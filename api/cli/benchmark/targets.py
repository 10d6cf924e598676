"""What the system is to reach, and where a run stands. Ratios are of figures that were measured in turns."""

from collections.abc import Iterator
from typing import Final

from api.cli.benchmark.report import Reads, Report, Target

_DISPATCH_OF_FLOOR: Final = 2.5
_DISPATCH_MS: Final = 50.0
_THROUGHPUT_OF_FLOOR: Final = 0.5
_ROLLBACK_MS: Final = 100.0
_GATEWAY_MS: Final = 3.0
_QUESTION_MS: Final = 300.0
_READ_P95_MS: Final = 30.0
_READ_GROWTH: Final = 1.5
_IDLE_MIB: Final = 600.0
_HEARTBEAT_CPU_MS: Final = 1.0
_PAGE_MS: Final = 100.0
_FIRST_PAGE_KB: Final = 150.0
_LOG_OPEN_MS: Final = 1000.0
_LOG_SEARCH_MS: Final = 3000.0
_IDLE_CPU_PERCENT: Final = 10.0
_REACHED_MS: Final = 1000.0
_SECOND_OF_GIT: Final = 1.2
_FOUR_OF_ONE: Final = 1.5
_ARTIFACTS_MS: Final = {500: 1_000.0, 10_000: 15_000.0}


def targets(report: Report) -> list[Target]:
    """The targets of the parts that were run."""
    return [
        *_work(report),
        *_deployments(report),
        *_gateway(report),
        *_questions(report),
        *_memory(report),
        *_reads(report.reads),
        *_heartbeats(report),
        *_dashboard(report),
        *_files(report),
    ]


def _work(report: Report) -> Iterator[Target]:
    if report.latency is not None and report.floor_latency is not None:
        ours, floor = report.latency.dispatch.p50, report.floor_latency.dispatch.p50
        yield Target(name="dispatch p50", measured=ours, limit=_DISPATCH_MS, unit="ms")
        yield Target(name="dispatch p50 / floor", measured=_ratio(ours, floor), limit=_DISPATCH_OF_FLOOR, unit="x")
    if report.throughput is not None and report.floor_throughput is not None:
        ratio = _ratio(report.throughput.per_second, report.floor_throughput.per_second)
        yield Target(name="throughput / floor", measured=ratio, limit=_THROUGHPUT_OF_FLOOR, unit="x", at_least=True)


def _deployments(report: Report) -> Iterator[Target]:
    if report.deployment_latency is not None:
        rollback = report.deployment_latency.rollback.p50
        yield Target(name="rollback to its command, p50", measured=rollback, limit=_ROLLBACK_MS, unit="ms")


def _gateway(report: Report) -> Iterator[Target]:
    if report.gateway_latency is not None:
        added = round(report.gateway_latency.gateway.p50 - report.gateway_latency.direct.p50, 2)
        yield Target(name="added by the gateway, p50", measured=added, limit=_GATEWAY_MS, unit="ms")


def _questions(report: Report) -> Iterator[Target]:
    if report.question_latency is not None:
        p95 = report.question_latency.question.p95
        yield Target(name="a question through the gateway, p95", measured=p95, limit=_QUESTION_MS, unit="ms")


def _memory(report: Report) -> Iterator[Target]:
    if report.idle_mib is not None:
        total = round(sum(report.idle_mib.values()), 1)
        yield Target(name="memory when idle", measured=total, limit=_IDLE_MIB, unit="MiB")


def _reads(reads: list[Reads]) -> Iterator[Target]:
    if not reads:
        return
    few, many = reads[0], reads[-1]
    for name, before, after in (
        ("get a job", few.get, many.get),
        ("list page", few.list_page, many.list_page),
        ("statistics", few.stats, many.stats),
    ):
        yield Target(name=f"{name}, p95 with {few.stored:,}", measured=before.p95, limit=_READ_P95_MS, unit="ms")
        yield Target(name=f"{name}, p95 with {many.stored:,}", measured=after.p95, limit=_READ_P95_MS, unit="ms")
        growth = _ratio(after.p95, before.p95)
        yield Target(name=f"{name}, p95 ratio", measured=growth, limit=_READ_GROWTH, unit="x")


def _heartbeats(report: Report) -> Iterator[Target]:
    if report.heartbeats is not None:
        cost = report.heartbeats.cpu_ms["api"]
        yield Target(name="a heartbeat, CPU of the API", measured=cost, limit=_HEARTBEAT_CPU_MS, unit="ms")


def _dashboard(report: Report) -> Iterator[Target]:
    if (found := report.dashboard) is None:
        return
    slowest = max(found.pages, key=lambda page: page.times.p95)
    p95 = slowest.times.p95
    yield Target(name=f"slowest page ({slowest.path}), p95", measured=p95, limit=_PAGE_MS, unit="ms")
    yield Target(name="first page, sent", measured=found.first_page_bytes / 1000, limit=_FIRST_PAGE_KB, unit="kB")
    yield Target(name="end of the log, p50", measured=found.log_open.p50, limit=_LOG_OPEN_MS, unit="ms")
    yield Target(name="a word in the log, p50", measured=found.log_search.p50, limit=_LOG_SEARCH_MS, unit="ms")
    streams = found.streams
    cost, many = streams.idle_cpu_percent, f"{streams.streams} open dashboards"
    yield Target(name=f"{many}, CPU at rest", measured=cost, limit=_IDLE_CPU_PERCENT, unit="%")
    yield Target(name=f"{many}, a change at all", measured=streams.reached_ms, limit=_REACHED_MS, unit="ms")


def _files(report: Report) -> Iterator[Target]:
    if (found := report.checkouts) is not None:
        second = _ratio(found.second.p50, found.worktree.p50)
        later = _ratio(found.second_of_four_ms, found.second.p50)
        four = _ratio(found.first_of_four_ms, found.first_ms)
        yield Target(name="second checkout / git worktree add", measured=second, limit=_SECOND_OF_GIT, unit="x")
        yield Target(name="four second checkouts at once / one", measured=later, limit=_FOUR_OF_ONE, unit="x")
        yield Target(name="four first checkouts at once / one", measured=four, limit=_FOUR_OF_ONE, unit="x")
    for each in report.artifacts:
        if (limit := _ARTIFACTS_MS.get(each.files)) is not None:
            name = f"{each.files:,} artifacts of 1 KiB"
            yield Target(name=name, measured=each.milliseconds, limit=limit, unit="ms")


def _ratio(ours: float, floor: float) -> float:
    return round(ours / floor, 2) if floor else 0.0
