"""`hybridci queue`: the queue in numbers. Exit codes: see ``common``."""

from typing import Annotated, Any

import typer

from api.cli.commands.common import AsJson, DataDir, example, open_api, sub_app
from api.cli.output import Column, clock, print_fields, print_json, print_table, span
from workflows.contracts.records import QueueHistory, QueueStats

app = sub_app("The queue in numbers.")


@app.callback()
def queue() -> None:
    """The queue in numbers."""


@app.command(epilog=example("hybridci queue stats --json"))
def stats(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """How many jobs wait, run and have ended, and how long they took, since the beginning."""
    with open_api(data_dir) as api:
        answer: Any = api.get("/api/queue/stats")
    if as_json:
        print_json(answer)
        return
    numbers = QueueStats.model_validate(answer)
    print_fields(
        [
            ("Waiting", numbers.depth),
            ("Running", numbers.running),
            ("Succeeded", numbers.completed),
            ("Failed for good", numbers.failed),
            ("Dead letters", numbers.dead_lettered),
            ("Cancelled", numbers.cancelled),
            ("All jobs", numbers.total),
            (
                "Jobs that failed",
                _share(numbers.job_failure_rate, numbers.jobs_failed, "ended, dead letters with them"),
            ),
            ("Flaky jobs", f"{numbers.jobs_flaky}, which passed after an attempt had failed"),
            ("Attempts that failed", _share(numbers.attempt_failure_rate, numbers.attempts_failed, "ended")),
            ("Wait", f"{span(numbers.avg_wait_seconds)} on average, 95 % within {span(numbers.p95_wait_seconds)}"),
            (
                "Execution",
                f"{span(numbers.avg_execution_seconds)} on average, 95 % within {span(numbers.p95_execution_seconds)}",
            ),
        ]
    )


def _share(rate: float | None, count: int, of_what: str) -> str:
    return "-" if rate is None else f"{count}, {rate:.1%} of those that {of_what}"


@app.command(epilog=example("hybridci queue history --hours 6"))
def history(
    hours: Annotated[int, typer.Option(min=1, max=168, help="How many, the present one with them.")] = 24,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """The queue by the hour (UTC): what came, what ended, how long it waited, how much was open at the hour's end."""
    with open_api(data_dir) as api:
        answer: Any = api.get("/api/queue/history", {"hours": hours})
    if as_json:
        print_json(answer)
        return
    rows = [
        (clock(hour.at), hour.created, hour.completed, hour.failed, span(hour.p50_wait_seconds),
         span(hour.p95_wait_seconds), "-" if hour.open is None else hour.open)
        for hour in QueueHistory.model_validate(answer).items
    ]  # fmt: skip
    print_table(
        [
            Column("hour", key=True),
            *(Column(name, right=True) for name in ("created", "succeeded", "failed", "wait p50", "wait p95", "open")),
        ],
        rows,
    )
