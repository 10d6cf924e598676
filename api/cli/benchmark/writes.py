"""What the two writes of a trivial job put into the store: its creation by the API, its end by the worker.

``python -m api.cli.benchmark.writes``, with the control worker's environment, makes them once more and prints what they
were made of as JSON. The store's own notes name requests only.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from activities.jobs.told import with_what_is_told
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.jobs import DynamoJobStore
from activities.stores.dynamo.table import JobTables
from activities.stores.settings import StoreSettings
from api.cli.benchmark.report import Written
from workflows.contracts.attempts import AttemptResult
from workflows.contracts.commands import JobInput
from workflows.contracts.ids import new_job_id
from workflows.contracts.jobs import JobSpec, Step
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus
from workflows.job.record import attempt_ended, creation, finished

_UNIT_BYTES: Final = 1024
_IN_A_TRANSACTION: Final = 2
"""DynamoDB: a write unit is 1 KiB, and a write within a transaction costs twice as many."""


def main() -> None:
    """Make the writes and print what they were."""
    written = asyncio.run(count_writes(StoreSettings(), trivial_job(round(time.time() * 1000))))
    sys.stdout.write(written.model_dump_json() + "\n")


def trivial_job(now: int) -> tuple[JobWrite, JobWrite]:
    """Its creation at ``now`` (ms), and its end."""
    spec = JobSpec(
        job_type="benchmark",
        git_repo="file:///srv/repository",
        git_commit_sha="a" * 40,
        git_author="benchmark@example.com",
        steps=[Step(name="run", run="true")],
    )
    created = creation(JobInput(job_id=new_job_id(), spec=spec, created_by="admin", accepted_at=now), now)
    result = AttemptResult(
        attempt=1,
        agent_id="agent-1",
        outcome=Outcome.SUCCEEDED,
        exit_code=0,
        claimed_at=now + 20,
        started_at=now + 30,
        finished_at=now + 60,
        log_bytes=400,
    )
    job = finished(attempt_ended(created.job, result, now + 60), JobStatus.SUCCESS, "", now + 60)
    job = job.model_copy(update={"sequence": created.job.sequence + 1})
    return created, JobWrite(job=job, previous=QueueStatus.QUEUED, creation=created.events)


async def count_writes(settings: StoreSettings, writes: Iterable[JobWrite]) -> Written:
    """Carry them out, each with clients of its own, as two processes do. The tables are there. Raises Unavailable."""
    actions: list[Mapping[str, Any]] = []

    def note(params: dict[str, Any], **_others: object) -> None:
        actions.extend(params["TransactItems"])

    for write in writes:
        clients = AwsClients(settings)
        try:
            clients.dynamodb.meta.events.register("provide-client-params.dynamodb.TransactWriteItems", note)
            await DynamoJobStore(clients, JobTables.of(settings)).write(with_what_is_told(write))
        finally:
            clients.close()
    sizes = [_bytes(action) for action in actions]
    units = sum(_IN_A_TRANSACTION * -(-size // _UNIT_BYTES) for size in sizes)
    return Written(items=len(sizes), units=units, bytes=sum(sizes))


def _bytes(action: Mapping[str, Any]) -> int:
    """Of its item or its key and values, without the names of types and conditions: about what DynamoDB counts."""
    (request,) = action.values()
    texts = (request.get("Item"), request.get("Key"), request.get("ExpressionAttributeValues"))
    return sum(len(json.dumps(each).encode()) for each in texts if each is not None)


if __name__ == "__main__":
    main()
