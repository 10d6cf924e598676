"""``python -m tests.benchmarks.evidence [EVENTS]``: sealing and verifying a trail of so many events.

On an embedded server of its own. The events are written as the store writes them, but many in one request: keeping them
one by one is what takes long. Prints the figures; not part of the suite.
"""

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from activities.evidence.keys import SealKey
from activities.evidence.sealer import Sealer
from activities.evidence.verifier import Verifier
from activities.stores.documents import dump_event
from activities.stores.dynamo.batches import Item, put_batch
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.creation import create_tables
from activities.stores.dynamo.events import entries_of
from activities.stores.dynamo.evidence import DynamoEvidenceStore
from activities.stores.dynamo.table import HEAD_PLACE, DeploymentTables, feed_list, head_list, number_place
from activities.stores.settings import StoreSettings
from tests import servers
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.subjects import chained
from workflows.contracts.audit.verification import VerificationSummary

SHARDS = 4
_OF_A_JOB = 4
_AT_ONCE = 2_500
_BEGAN = 1_790_000_000_000


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds of each part, bytes of the seals, the most memory that this process ever had (bytes)."""

    sealing: float
    verifying: float
    seals: int
    seal_bytes: int
    memory: int
    summary: VerificationSummary


async def measure(endpoint: str, events: int) -> Figures:
    """Write, seal in portions as a busy worker would, verify."""
    settings = StoreSettings(environment="bench", dynamodb_endpoint_url=endpoint, s3_endpoint_url=endpoint)
    clients, tables, key = AwsClients(settings), DeploymentTables.of(settings), SealKey(bytes(32))
    await create_tables(clients, tables)
    store = DynamoEvidenceStore(clients, tables.events)
    now = _BEGAN - 60_000
    sealer = Sealer(store, key, lambda: now)
    await sealer.seal_new()
    sealing = 0.0
    for begin in range(0, events, _AT_ONCE):
        await _write(clients, tables.events, begin, min(events, begin + _AT_ONCE))
        now = _BEGAN + (begin + _AT_ONCE) * 10
        began = time.monotonic()
        while await sealer.seal_new() is not None:
            pass
        sealing += time.monotonic() - began
    began = time.monotonic()
    told = [each async for each in Verifier(store, lambda: now + 60_000, {key.key_id: key.public_key}).run()]
    verifying = time.monotonic() - began
    seals = [seal async for seal in _all(store)]
    clients.close()
    summary = told[-1]
    assert isinstance(summary, VerificationSummary)
    size = sum(len(seal) for seal in seals)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Figures(sealing, verifying, len(seals), size, memory, summary)


async def _all(store: DynamoEvidenceStore) -> AsyncIterator[str]:
    behind = 0
    while page := await store.seals(behind, 50):
        for seal in page:
            yield seal.model_dump_json()
        behind = page[-1].number


async def _write(clients: AwsClients, table: str, begin: int, end: int) -> None:
    """These events, in shards in turn; four of each job, with a service."""
    items: list[Item] = []
    for n in range(begin, end):
        job, step = divmod(n, _OF_A_JOB)
        shard, number = job % SHARDS, (job // SHARDS) * _OF_A_JOB + step + 1
        items += _items(n, f"job-{job:07d}", step, shard, number)
    heads = {shard: max(_last(end, shard), 0) for shard in range(SHARDS)}
    items += [
        {"list_shard": {"S": head_list(shard)}, "place": {"S": HEAD_PLACE}, "number": {"N": str(head)}}
        for shard, head in heads.items()
        if head
    ]
    await put_batch(clients, table, items)


def _items(n: int, job_id: str, step: int, shard: int, number: int) -> list[Item]:
    subject, before = f"jobs/{job_id}", ""
    for earlier in range(step):
        before = chained(before, subject, earlier + 1, dump_event(_event(n - step + earlier, job_id, earlier)))
    event = _event(n, job_id, step)
    document = dump_event(event)
    row: dict[str, dict[str, str]] = {
        "list_shard": {"S": feed_list(shard)}, "place": {"S": number_place(number)}, "subject": {"S": subject},
        "number": {"N": str(step + 1)}, "event": {"S": document},
    }  # fmt: skip
    if step:
        row |= {"before": {"S": before}, "after": {"S": f"{shard}-{number - 1}"}}
    copies = [{"list_shard": {"S": a}, "place": {"S": b}, "event": {"S": document}} for a, b in entries_of(event)]
    return [row, *copies]


def _event(n: int, job_id: str, step: int) -> AuditEvent:
    return AuditEvent(
        event_id=f"event-{n:09d}", at=_BEGAN + n * 10, action="job.submitted", by="ann@example.com", via="cli",
        job_id=job_id, service_name=f"service-{n % 50}", message="somebody did something, and this says what it was",
        details={"step": step, "agent": "agent-7", "attempt": 1},
    )  # fmt: skip


def _last(end: int, shard: int) -> int:
    """The last number of a shard once ``end`` events are written."""
    jobs, rest = divmod(end, _OF_A_JOB)
    whole = len(range(shard, jobs, SHARDS)) * _OF_A_JOB
    return whole + (rest if jobs % SHARDS == shard else 0)


def main() -> None:
    """Measure and print."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder, servers.aws_endpoint(Path(folder)) as endpoint:
        found = asyncio.run(measure(endpoint, events))
    print(
        f"{events} events: sealed in {found.sealing:.1f} s by {found.seals} seals, {found.seal_bytes // events} B each"
    )
    print(f"verified in {found.verifying:.1f} s, at most {found.memory >> 20} MiB; {found.summary.model_dump_json()}")


if __name__ == "__main__":
    main()
