"""A front to the embedded AWS APIs that loses its writes for a while: refuses them, hangs, or answers late.

Real HTTP, so that what the workers see is what boto3 makes of a store in trouble. Reads pass, or suffer as well.
"""

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from tests.servers import HOST

WRITES = frozenset({"TransactWriteItems", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"})
READS = frozenset({"GetItem", "BatchGetItem", "Query", "TransactGetItems"})
_REFUSED = {
    "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
    "message": "The level of configured provisioned throughput for the table was exceeded.",
}


class Fault(StrEnum):
    """What becomes of a request."""

    REFUSED = "refused"  # nothing is done, and the client is told
    HANGS = "hangs"  # nothing is done, and the client waits
    BEGINS_LATE = "begins late"  # done after the pause, then answered
    ANSWERS_LATE = "answers late"  # done at once, answered after the pause
    LOST_ANSWER = "lost answer"  # done at once, never answered


@dataclass(frozen=True, slots=True)
class Outage:
    """``share`` of the requests suffer; a late one by ``pause`` seconds."""

    fault: Fault
    share: float
    pause: float
    reads: bool = False


class StoreFront:
    """Forwards ``port`` to the store's ``target``; ``outage`` may be set at any time."""

    def __init__(self, target: int, seed: int) -> None:
        self._target, self._random = target, random.Random(seed)
        self.outage: Outage | None = None
        self.port = 0
        self.suffered = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        store: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                request = await _message(reader)
                outage = self._outage_of(request)
                if outage is not None and outage.fault in {Fault.REFUSED, Fault.HANGS}:
                    await asyncio.sleep(outage.pause if outage.fault is Fault.HANGS else 0)
                    if outage.fault is Fault.HANGS:
                        return
                    writer.write(_refusal())
                    continue
                if outage is not None and outage.fault is Fault.BEGINS_LATE:
                    await asyncio.sleep(outage.pause)
                store = store or await asyncio.open_connection(HOST, self._target)
                store[1].write(request)
                answer = await _message(store[0])
                if outage is not None and outage.fault in {Fault.ANSWERS_LATE, Fault.LOST_ANSWER}:
                    await asyncio.sleep(outage.pause)
                    if outage.fault is Fault.LOST_ANSWER:
                        return
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            for each in [writer, *([store[1]] if store else [])]:
                each.transport.abort()
                with suppress(OSError, asyncio.CancelledError):
                    await each.wait_closed()

    def _outage_of(self, request: bytes) -> Outage | None:
        outage, operation = self.outage, _operation(request)
        if outage is None or operation not in (WRITES | READS if outage.reads else WRITES):
            return None
        if self._random.random() >= outage.share:
            return None
        self.suffered += 1
        return outage


def _operation(request: bytes) -> str:
    head, _, _ = request.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"x-amz-target":
            return value.strip().decode().rpartition(".")[2]
    return ""


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One HTTP message, whole; boto3 and the embedded server always give a length, or send chunks."""
    head = await reader.readuntil(b"\r\n\r\n")
    length, chunked = 0, False
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
        chunked = chunked or (name.lower() == b"transfer-encoding" and b"chunked" in value.lower())
    if not chunked:
        return head + (await reader.readexactly(length) if length else b"")
    body = bytearray()
    while True:
        size = await reader.readuntil(b"\r\n")
        body += size + await reader.readexactly(int(size.split(b";")[0], 16) + 2)
        if int(size.split(b";")[0], 16) == 0:
            return head + bytes(body)


def _refusal() -> bytes:
    body = json.dumps(_REFUSED).encode()
    head = (
        f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
