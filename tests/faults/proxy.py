"""A TCP proxy on a loop of its own: the network between two processes, to be cut and mended."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress

from tests.servers import HOST


class Proxy:
    """Forwards ``port`` to ``target``. All methods are for the test's thread and return when it is done."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._kept: socket.socket | None = None
        self._flowing = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._thread.start()
        self._flowing.set()
        self.mend()

    def cut(self) -> None:
        """Break all connections; new ones are refused."""
        self._call(self._cut)

    def swallow(self) -> None:
        """What a dead network does: no bytes arrive any more, and nobody is told."""
        self._call(self._stop_flow)

    def mend(self) -> None:
        self._call(self._mend)

    def stop(self) -> None:
        self._call(self._cut)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._let_go()

    def _call(self, action: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await action()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    async def _stop_flow(self) -> None:
        self._flowing.clear()

    async def _mend(self) -> None:
        self._flowing.set()
        self._let_go()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port)
            self.port = int(self._server.sockets[0].getsockname()[1])

    async def _cut(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self._keep()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def _keep(self) -> None:
        """Nobody else may have the port meanwhile: bound, and refusing, for it does not listen."""
        self._kept = socket.socket()
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._kept.bind((HOST, self.port))

    def _let_go(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            await self._flowing.wait()
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
            writers.append(far_writer)
            ways = (self._forward(reader, far_writer), self._forward(far_reader, writer))
            await asyncio.gather(*ways)
        except OSError:
            return
        finally:
            for each in writers:
                each.transport.abort()
                with suppress(OSError):
                    await each.wait_closed()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(64 * 1024):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError("one side has closed; so does the other")


@contextmanager
def proxy_to(port: int) -> Generator[Proxy]:
    proxy = Proxy(port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
