"""A history of ended jobs, written in bulk: what an installation has stored after a while.

``python -m api.cli.benchmark.seed COUNT``, with the control worker's environment. The state is what the store's own
writes leave: its items and its counters, only with many jobs to a transaction.
"""

import asyncio
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, cast

from activities.stores.dynamo.client import AwsClients, WriteConflict
from activities.stores.dynamo.items import RecordWrite, counter_addition
from activities.stores.dynamo.table import DAY_RETENTION_SECONDS, QUEUE_COUNTER, JobTables, counter_shard, day_counter
from activities.stores.settings import StoreSettings
from activities.stores.statistics import add_up, day_end, deltas
from workflows.contracts.attempts import AttemptResult
from workflows.contracts.jobs import Job, JobSpec, Step, new_job
from workflows.contracts.statuses import JobStatus, Outcome
from workflows.job.record import attempt_ended, finished, queued

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_SPACING_MS: Final = 10_000
_JOBS_PER_TRANSACTION: Final = 12
"""Eight items each, and at most four counters: a transaction takes 100."""
_CONCURRENCY: Final = 4
_AGENTS: Final = 8
_NAMESPACE: Final = uuid.UUID("3c1df0e1-60f5-5d3c-9a3e-50d6a9f2a6b7")
_ENDS: Final = {7: JobStatus.FAILED, 17: JobStatus.CANCELLED}
"""Of each twenty jobs; the others succeed."""


def job_id_of(number: int) -> str:
    """The id of the job with this number."""
    return str(uuid.uuid5(_NAMESPACE, str(number)))


def main() -> None:
    """Write as many jobs as the argument says."""
    asyncio.run(seed(StoreSettings(), history(int(sys.argv[1]), now=round(time.time() * 1000))))


def history(count: int, *, now: int, spacing: int = _SPACING_MS) -> Iterator[Job]:
    """Jobs that have ended, one created in each ``spacing`` (ms) up to ``now`` (ms), oldest first."""
    began = now - count * spacing
    return (_ended_job(number, began + number * spacing) for number in range(count))


async def seed(settings: StoreSettings, jobs: Iterable[Job]) -> None:
    """Write jobs into tables that exist. Raises Unavailable, and ConditionFailed for a job that is there already."""
    clients, tables = AwsClients(settings), JobTables.of(settings)
    transactions = _transactions(tables, jobs)

    async def write_some() -> None:
        for actions in transactions:  # one iterator for all
            await _write(clients, actions)

    try:
        await asyncio.gather(*(write_some() for _ in range(_CONCURRENCY)))
    finally:
        clients.close()


async def _write(clients: AwsClients, actions: list[dict[str, Any]]) -> None:
    typed = cast("list[TransactWriteItemTypeDef]", actions)
    while True:
        try:
            await clients.call(clients.dynamodb.transact_write_items, TransactItems=typed)
        except WriteConflict:  # two transactions that move the same counters: this one was refused as a whole
            await asyncio.sleep(0.005)
        else:
            return


def _transactions(tables: JobTables, jobs: Iterable[Job]) -> Iterator[list[dict[str, Any]]]:
    """Jobs that move the same counters go together: an item can be named once in a transaction."""
    waiting: dict[int, list[Job]] = defaultdict(list)
    for job in jobs:
        group = waiting[counter_shard(job.job_id)]
        group.append(job)
        if len(group) == _JOBS_PER_TRANSACTION:
            yield _actions(tables, group)
            group.clear()
    for group in waiting.values():
        if group:
            yield _actions(tables, group)


def _actions(tables: JobTables, jobs: list[Job]) -> list[dict[str, Any]]:
    puts = [action for job in jobs for action in RecordWrite(tables, job).actions(None) if "Put" in action]
    moved = [deltas(None, job) for job in jobs]
    table, shard = tables.statistics, counter_shard(jobs[0].job_id)
    counters = [counter_addition(table, QUEUE_COUNTER, shard, add_up(each.queue for each in moved))]
    for day in {day for each in moved for day in each.days}:
        sums, expires = add_up(each.days.get(day, {}) for each in moved), day_end(day) + DAY_RETENTION_SECONDS
        counters.append(counter_addition(table, day_counter(day), shard, sums, expires))
    return [*puts, *counters]


def _ended_job(number: int, created_at: int) -> Job:
    status = _ENDS.get(number % 20, JobStatus.SUCCESS)
    outcome = {JobStatus.SUCCESS: Outcome.SUCCEEDED, JobStatus.FAILED: Outcome.FAILED}.get(status, Outcome.CANCELLED)
    exit_code = {JobStatus.SUCCESS: 0, JobStatus.FAILED: 1}.get(status)
    claimed_at = created_at + 40 + number % 400
    result = AttemptResult(
        attempt=1,
        agent_id=f"builder-{number % _AGENTS}",
        outcome=outcome,
        exit_code=exit_code,
        cause=None if status is JobStatus.SUCCESS else outcome.value,
        claimed_at=claimed_at,
        started_at=claimed_at + 30,
        finished_at=claimed_at + 500 + 37 * (number % 4000),
        log_bytes=2000,
    )
    job = queued(new_job(_spec(number), job_id=job_id_of(number), now=created_at, created_by="admin"), created_at)
    job = finished(
        attempt_ended(job, result, result.finished_at), status, "The job did not succeed.", result.finished_at
    )
    return job.model_copy(update={"sequence": 2})


def _spec(number: int) -> JobSpec:
    return JobSpec(
        job_type=("build", "test", "deploy")[number % 3],
        git_repo="https://git.example.com/team/shop.git",
        git_ref="refs/heads/main",
        git_commit_sha=f"{number:040x}",
        git_author="ann@example.com",
        steps=[Step(name="install", run="pip install -e ."), Step(name="unit", run="pytest -q --maxfail=1")],
        env={"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        labels={"team": "shop"},
        artifacts=["dist/*"],
    )


if __name__ == "__main__":
    main()
