"""An HTTP proxy in front of DynamoDB: a store that refuses, or never answers, what a test tells it to."""

import http.client
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.servers import HOST

WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})
_REFUSAL = json.dumps(
    {
        "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "message": "The level of configured provisioned throughput for the table was exceeded.",
    }
).encode()


class How(StrEnum):
    """What becomes of a request."""

    WORK = "work"
    REFUSE = "refuse"
    HANG = "hang"


class StoreProxy:
    """Forwards to ``target``. ``reads`` and ``writes`` can be changed at any time; what hangs then goes on or fails."""

    def __init__(self, target: int, host: str = HOST) -> None:
        self._target, self._target_host = target, host
        self.reads = self.writes = How.WORK
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer((HOST, 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.server_address[1]}"

    def fail(self, *, writes: How = How.WORK, reads: How = How.WORK) -> None:
        with self._changed:
            self.writes, self.reads = writes, reads
            self._changed.notify_all()

    def mend(self) -> None:
        self.fail()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.mend()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def admit(self, operation: str) -> bool:
        """Wait while the request hangs; then True when it may go on."""

        def how() -> How:
            return self.writes if operation in WRITES else self.reads

        with self._changed:
            self._changed.wait_for(lambda: how() is not How.HANG)
            return how() is How.WORK

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def setup(self) -> None:
                super().setup()
                self.far = http.client.HTTPConnection(proxy._target_host, proxy._target)

            def finish(self) -> None:
                self.far.close()
                super().finish()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if proxy.admit(self.headers.get("X-Amz-Target", "").rpartition(".")[2]):
                    self.far.request("POST", self.path, body, dict(self.headers))
                    far = self.far.getresponse()
                    self.answer(far.status, far.read(), far.headers["Content-Type"])
                else:
                    self.answer(400, _REFUSAL, "application/x-amz-json-1.0")

            def answer(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                    self.wfile.flush()
                except ConnectionError:  # who asked has given up
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


@contextmanager
def store_proxy_to(port: int, host: str = HOST) -> Generator[StoreProxy]:
    proxy = StoreProxy(port, host)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
