"""HTTP/1.1 as the server speaks it: uvicorn's protocol with bounds on a request's head, and problems for bad requests.

Uvicorn waits without end for a head that never ends and keeps all of it in memory, for anybody, long before a key is
asked for; and for the rest of a body whose request was answered without it. Deliberately not here: bodies that somebody
reads, whose size ``middleware`` limits and whose pace ``pace``.
"""

import asyncio
import json
import uuid
from http import HTTPStatus
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.http.corked import CorkedTransport
from api.http.errors import PROBLEM_MEDIA_TYPE, ProblemCode, problem_body
from api.http.middleware import MAX_HEADER_BYTES

HEAD_SECONDS: Final = 20.0
"""From the connection, or the first byte of a further request, to the end of its headers."""
LINGER_SECONDS: Final = 10.0
"""From an answer to the end of the body that it did not wait for: long enough for an honest client to read the answer,
which closing at once would take from it."""
MAX_HEAD_BYTES: Final = 1 << 20
"""Of the address and the headers as they come: a bound for memory. Below it the middleware says what is too much, and
the client can read that; here the connection ends under its hands."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _timer: asyncio.TimerHandle | None = None  # while a head is awaited
    _linger: asyncio.TimerHandle | None = None  # while the rest of a body is awaited that nobody reads
    _head_bytes = 0
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A head must come now."""
        super().connection_made(CorkedTransport(transport, self.loop))
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing must come any more."""
        self._stop_timer()
        self._stop_linger()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; refuse what cannot be a request."""
        awaited = self._timer
        super().data_received(data)
        if awaited is not None and awaited is self._timer:  # all of it was of one head, which goes on
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(ProblemCode.HEADERS_TOO_LARGE, f"Send at most {MAX_HEADER_BYTES} bytes of headers.")
        elif awaited is None and self._is_idle():  # an empty line, say: uvicorn now awaits nothing any more
            self._await_head()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        if self._timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._stop_timer()
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is whole, or there is none."""
        self._in_body = False
        if self._linger is not None:  # its request is answered already: now the next one may come
            self._stop_linger()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is out."""
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._linger = self.loop.call_later(LINGER_SECONDS, self._too_slow)

    def send_400_response(self, msg: str) -> None:
        """What uvicorn says when the parser gives up."""
        self._refuse(ProblemCode.BAD_REQUEST, "This is not an HTTP/1.1 request that can be read.")

    def _is_idle(self) -> bool:
        """Between two requests, and not waiting for the next one as it should."""
        if not self.cycle or not self.cycle.response_complete or self._in_body:
            return False
        return self._timer is None and self.timeout_keep_alive_task is None

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_linger(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None

    def _too_slow(self) -> None:
        """Without a word: half a request may be all that ever comes, and who sends nothing reads nothing."""
        if not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, code: ProblemCode, detail: str) -> None:
        self._stop_timer()
        body = problem_body(code, detail, request_id=uuid.uuid4().hex)
        content = json.dumps(body).encode("ascii")
        status = HTTPStatus(body["status"])
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {PROBLEM_MEDIA_TYPE}\r\n"
            f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + content)
        self.transport.close()
