"""``python -m tests.benchmarks.log_lines [MIB] [CHUNK_BYTES]``: line 123456 of a large log while it grows.

The store and compactor of an API process on an embedded S3 of its own. While somebody looks, the log grows by ten
chunks a second. Prints the figures; not part of the suite.
"""

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from activities.stores.dynamo.client import AwsClients
from activities.stores.interfaces.logs import LogChunk
from activities.stores.s3.artifacts import create_bucket
from activities.stores.s3.logs import S3LogStore
from activities.stores.settings import StoreSettings
from api.logs.compactor import LogCompactor
from tests import servers

LINE = 123_456
_LOOKS = 40


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds of each look, the log's size then (bytes), and what was found."""

    looks: list[float]
    size: int
    found: bytes


async def measure(endpoint: str, size: int, chunk: int, line: int) -> Figures:
    """Look for ``line`` again and again while the log grows beyond ``size`` bytes."""
    clients = AwsClients(StoreSettings(environment="bench", dynamodb_endpoint_url=endpoint, s3_endpoint_url=endpoint))
    await create_bucket(clients, "logs")
    store, compactor, written = S3LogStore(clients, "logs"), LogCompactor(), 0

    async def grow(end: int, pause: float = 0) -> None:
        nonlocal written
        while written < end:
            await asyncio.sleep(pause)
            first = written // 64
            data = b"".join(b"%-63d\n" % number for number in range(first + 1, first + 1 + chunk // 64))
            piece = LogChunk(written, data, [(0, 1)])
            await store.append("job", 1, piece)
            compactor.stored("job", 1, piece)
            written += len(data)

    async def look() -> bytes:
        begin, behind = await store.places("job", 1, [line, line + 45])
        found = bytearray()
        async for piece in store.read("job", 1, begin.offset, behind.offset):
            found += piece.data
        return bytes(found[: behind.offset - begin.offset])

    async with compactor.running(store):
        await grow(size)
        await compactor.settle()
        growing = asyncio.create_task(grow(1 << 40, 0.1))
        looks: list[float] = []
        found = b""
        for _ in range(_LOOKS):
            began = time.monotonic()
            found = await look()
            looks.append(time.monotonic() - began)
            await asyncio.sleep(0.05)
        growing.cancel()
        await asyncio.gather(growing, return_exceptions=True)
    clients.close()
    return Figures(looks, written, found)


def main(mib: int, chunk: int) -> None:
    with tempfile.TemporaryDirectory() as folder, servers.aws_endpoint(Path(folder)) as endpoint:
        figures = asyncio.run(measure(endpoint, mib << 20, chunk, LINE))
    cuts = quantiles(figures.looks, n=20)
    print(
        f"lines {LINE} to {LINE + 44} of a log of {figures.size / (1 << 20):.0f} MiB in chunks of {chunk} bytes:"
        f" p50 {cuts[9] * 1000:.0f} ms, p95 {cuts[18] * 1000:.0f} ms, longest {max(figures.looks) * 1000:.0f} ms"
    )


if __name__ == "__main__":
    main(*(int(word) for word in [*sys.argv[1:], *("200", str(1 << 20))[len(sys.argv) - 1 :]][:2]))
