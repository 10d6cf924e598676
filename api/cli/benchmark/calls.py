"""What a trivial job asks of the store and of Temporal: requests, items, events of its history.

In a stack of their own, whose embedded AWS server notes every request. What its two writes are made of is counted in
``writes``.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from temporalio.client import Client

from api.cli.benchmark.own_stack import OwnStack, own_stack
from api.cli.benchmark.report import CallsPerJob, History, Written
from api.cli.benchmark.wire import BenchmarkFailed
from api.cli.benchmark.work import Repository, run_many
from workflows.contracts.ids import job_workflow_id

_WARM_UP: Final = 8
_REST_SECONDS: Final = 1.0
_SELDOM: Final = 0.5
"""Requests that fewer than every other job makes are not a job's: somebody looks after the agents and the queue."""


def measure_calls(folder: Path, repository: Repository, jobs: int, say: Callable[[str], None]) -> CallsPerJob:
    """Per job, of this many at once. Raises BenchmarkFailed."""
    folder.mkdir()
    trace = folder / "aws-requests.jsonl"
    with own_stack(folder / "stack", agents=1, capacity=4, aws_trace=trace) as stack, stack.api() as api:
        run_many(stack, api, repository, _WARM_UP)
        before = _requests(trace)
        _, ids = run_many(stack, api, repository, jobs)
        found = _requests(trace)
        say(f"calls: {jobs} jobs")
        return CallsPerJob(
            jobs=jobs,
            store_requests=_per_job(found - before, jobs),
            written=_written(stack),
            history=asyncio.run(_history(stack, ids)),
        )


def _per_job(found: Counter[str], jobs: int) -> dict[str, float]:
    return {name: round(count / jobs, 2) for name, count in sorted(found.items()) if count >= _SELDOM * jobs}


def _requests(trace: Path) -> Counter[str]:
    """By service and operation, once all of them are noted."""
    time.sleep(_REST_SECONDS)
    requests = (json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines())
    return Counter(f"{each['service']} {each['operation']}" for each in requests)


def _written(stack: OwnStack) -> Written:
    """In a process with the control worker's settings."""
    command = [sys.executable, "-P", "-m", "api.cli.benchmark.writes"]
    done = subprocess.run(command, env=dict(stack.environment("worker")), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkFailed(f"A job's writes could not be made again: {done.stderr[-2000:]}")
    return Written.model_validate_json(done.stdout)


async def _history(stack: OwnStack, job_ids: Sequence[str]) -> History:
    client = await Client.connect(stack.options.temporal_address)
    found = [await client.get_workflow_handle(job_workflow_id(job_id)).describe() for job_id in job_ids]
    return History(
        events=round(sum(each.history_length for each in found) / len(found), 1),
        bytes=round(sum(each.raw_info.history_size_bytes for each in found) / len(found)),
    )
