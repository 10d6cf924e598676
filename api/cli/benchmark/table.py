"""A report as people read it: the figures, where a job's CPU time goes, and how far the targets are."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from api.cli.benchmark.report import (
    ArtifactFigures,
    CallsPerJob,
    CheckoutFigures,
    DashboardFigures,
    DeploymentLatency,
    FleetFigures,
    GatewayLatency,
    HeartbeatFigures,
    Latency,
    ManyDeployments,
    QuestionLatency,
    Report,
    Throughput,
    Times,
)


def print_report(report: Report, console: Console) -> None:
    """All parts that were run."""
    machine = report.machine
    console.print(
        f"hybridci {report.version} on {machine.cores} cores ({machine.system}, Python {machine.python}), "
        f"{report.seconds:.0f} s; load before: {machine.load_before:g}\n"
    )
    for table in _tables(report):
        console.print(table)
    for when, mib in (("when idle", report.idle_mib), ("after this work", report.after_work_mib)):
        if mib:
            parts = ", ".join(f"{name} {size:.0f}" for name, size in mib.items())
            console.print(f"Memory {when}: {sum(mib.values()):.0f} MiB ({parts})")
    if report.targets:
        console.print()
        console.print(_targets(report))


def _tables(report: Report) -> Iterator[Table]:
    if report.latency or report.throughput:
        yield _work(report)
    if report.throughput and report.floor_throughput:
        yield _cpu(report.throughput, report.floor_throughput)
    if report.calls:
        yield _calls(report.calls)
    yield from _deployment_tables(report)
    if report.gateway_latency:
        yield _gateway_latency(report.gateway_latency)
    if report.question_latency:
        yield _question_latency(report.question_latency)
    if report.reads:
        yield _reads(report)
    if report.heartbeats:
        yield _heartbeats(report.heartbeats)
    if report.fleets:
        yield _fleets(report.fleets)
    if report.dashboard:
        yield _dashboard(report.dashboard)
    if report.checkouts:
        yield _checkouts(report.checkouts)
    if report.artifacts:
        yield _artifacts(report.artifacts)


def _deployment_tables(report: Report) -> Iterator[Table]:
    if report.deployment_latency:
        yield _deployment_latency(report.deployment_latency)
    if report.many_deployments:
        yield _many_deployments(report.many_deployments)


def _work(report: Report) -> Table:
    table = _table("Jobs and the raw floor (one workflow, one activity)", "", "floor", "hybridci")
    for name, floor, ours in (
        ("dispatch", _times(report.floor_latency, "dispatch"), _times(report.latency, "dispatch")),
        ("end to end", _times(report.floor_latency, "end_to_end"), _times(report.latency, "end_to_end")),
        ("jobs per second", _per_second(report.floor_throughput), _per_second(report.throughput)),
    ):
        if ours:
            table.add_row(name, floor, ours)
    return table


def _cpu(ours: Throughput, floor: Throughput) -> Table:
    table = _table("CPU time per job, ms", "process", "floor", "hybridci")
    names = dict.fromkeys([*ours.cpu_ms_per_job, *floor.cpu_ms_per_job])
    for name in names:
        table.add_row(name, *(f"{each.cpu_ms_per_job.get(name, 0):.1f}" for each in (floor, ours)))
    table.add_row("all", *(f"{sum(each.cpu_ms_per_job.values()):.1f}" for each in (floor, ours)))
    return table


def _calls(calls: CallsPerJob) -> Table:
    table = _table(f"What a trivial job asks and writes ({calls.jobs} jobs)", "", "a job")
    for operation, count in calls.store_requests.items():
        table.add_row(operation, f"{count:.2f}")
    table.add_row("items written", f"{calls.written.items}")
    table.add_row("write units", f"{calls.written.units}")
    table.add_row("bytes written", f"{calls.written.bytes:,}")
    table.add_row("events of its history", f"{calls.history.events:.1f}")
    table.add_row("bytes of its history", f"{calls.history.bytes:,}")
    return table


def _deployment_latency(latency: DeploymentLatency) -> Table:
    table = _table("Deployments: from the request to the command, p50 / p95", "", "ms")
    for name, times in (
        ("the floor", latency.floor),
        ("start → first stage", latency.start),
        ("approve → production", latency.approve),
        ("rollback → its command", latency.rollback),
    ):
        table.add_row(name, _both(times))
    return table


def _many_deployments(many: ManyDeployments) -> Table:
    title = f"{many.deployments} deployments of {many.services} services at once, all correct"
    table = _table(title, "", "")
    table.add_row("seconds", f"{many.seconds:.1f}")
    table.add_row("deployments per second", f"{many.per_second:.1f}")
    for name, used in many.cpu_ms_per_deployment.items():
        table.add_row(f"CPU ms per deployment: {name}", f"{used:.1f}")
    table.add_row("CPU ms per deployment: all", f"{sum(many.cpu_ms_per_deployment.values()):.1f}")
    return table


def _gateway_latency(latency: GatewayLatency) -> Table:
    table = _table("Start of a workflow to its activity, p50 / p95", "", "ms")
    for name, times in (("direct", latency.direct), ("through the gateway", latency.gateway)):
        table.add_row(name, _both(times))
    return table


def _question_latency(latency: QuestionLatency) -> Table:
    table = _table("A question to an agent behind the gateway, to the answer, p50 / p95", "", "ms")
    for name, times in (("the floor", latency.floor), ("ancestry", latency.question)):
        table.add_row(name, _both(times))
    return table


def _reads(report: Report) -> Table:
    table = _table("Reads, p50 / p95 in ms", "jobs stored", "get", "list of 100", "statistics", "memory, MiB")
    for reads in report.reads:
        times = (_both(each) for each in (reads.get, reads.list_page, reads.stats))
        table.add_row(f"{reads.stored:,}", *times, f"{reads.resident_mib:.0f}")
    return table


def _heartbeats(beats: HeartbeatFigures) -> Table:
    table = _table(f"{beats.heartbeats:,} heartbeats of {beats.agents} agents, stored", "", "")
    for name, used in beats.cpu_ms.items():
        table.add_row(f"CPU ms per heartbeat: {name}", f"{used:.2f}")
    table.add_row(f"CPU of the API with {beats.many:,} agents", f"{beats.many_cpu_percent:.0f} % of a core")
    return table


def _fleets(fleets: Sequence[FleetFigures]) -> Table:
    title = "Heartbeats of agents in turn: CPU of the API, answer p50 / p95, ms"
    table = _table(title, "agents, each every", "connection kept", "answer", "a new one each time", "answer")
    for fleet in fleets:
        runs = (text for run in (fleet.kept, fleet.new) for text in (f"{run.cpu_ms:.2f}", _both(run.answered)))
        table.add_row(f"{fleet.agents:,}, {fleet.seconds:g} s", *runs)
    return table


def _dashboard(found: DashboardFigures) -> Table:
    title = f"Pages with {found.stored:,} jobs and {found.deployments:,} deployments, p50 / p95"
    table = _table(title, "", "ms", "x plain")
    table.add_row("a plain page", _both(found.plain), "")
    for page in found.pages:
        ratio = page.times.p50 / found.plain.p50 if found.plain.p50 else 0
        table.add_row(page.path, _both(page.times), f"{ratio:.1f}")
    table.add_row(f"the end of a log of {found.log_mib} MiB", _both(found.log_open), "")
    table.add_row("a word in it", _both(found.log_search), "")
    return table


def _checkouts(found: CheckoutFigures) -> Table:
    table = _table(f"Checkouts of a repository of {found.mib:,} MiB, ms", "", "")
    table.add_row("git worktree add, p50 / p95", _both(found.worktree))
    table.add_row("a job's, from the copy, p50 / p95", _both(found.second))
    table.add_row("four of them at once, the longest", f"{found.second_of_four_ms:.0f}")
    if found.worktree_of_four_ms is not None:
        table.add_row("four git worktree add at once, the longest", f"{found.worktree_of_four_ms:.0f}")
    table.add_row("the first, which makes the copy", f"{found.first_ms:.0f}")
    table.add_row("four first ones at once, the longest", f"{found.first_of_four_ms:.0f}")
    return table


def _artifacts(found: Sequence[ArtifactFigures]) -> Table:
    table = _table("Artifacts of 1 KiB, from the last step's end to the attempt's, ms", "files", "")
    for each in found:
        table.add_row(f"{each.files:,}", f"{each.milliseconds:.0f}")
    return table


def _targets(report: Report) -> Table:
    table = _table("Targets", "", "measured", "limit", "")
    for target in report.targets:
        limit = f"{'at least' if target.at_least else 'at most'} {target.limit:g} {target.unit}"
        verdict = "[green]met[/]" if target.met else "[red]missed[/]"
        table.add_row(target.name, f"{target.measured:g} {target.unit}", limit, verdict)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _times(latency: Latency | None, name: str) -> str:
    return "" if latency is None else f"{_both(getattr(latency, name))} ms"


def _both(times: Times) -> str:
    return f"{times.p50:.1f} / {times.p95:.1f}"


def _per_second(throughput: Throughput | None) -> str:
    return "" if throughput is None else f"{throughput.per_second:.1f}"
