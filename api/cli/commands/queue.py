"""`hybridci queue`: the queue in numbers. Exit codes: see ``common``."""

from typing import Any

from api.cli.commands.common import AsJson, DataDir, example, open_api, sub_app
from api.cli.output import print_fields, print_json, span
from workflows.contracts.records import QueueStats

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
    rate = numbers.failure_rate
    print_fields(
        [
            ("Waiting", numbers.depth),
            ("Running", numbers.running),
            ("Succeeded", numbers.completed),
            ("Failed for good", numbers.failed),
            ("Cancelled", numbers.cancelled),
            ("Dead letters", numbers.dead_lettered),
            ("All jobs", numbers.total),
            ("Wait", f"{span(numbers.avg_wait_seconds)} on average, 95 % within {span(numbers.p95_wait_seconds)}"),
            (
                "Execution",
                f"{span(numbers.avg_execution_seconds)} on average, 95 % within {span(numbers.p95_execution_seconds)}",
            ),
            (
                "Failure rate",
                "-" if rate is None else f"{rate:.1%} of the jobs that ended: failed, or parked as dead letters",
            ),
        ]
    )
