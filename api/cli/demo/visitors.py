"""People who use the demo's service all the time: what they saw, by version and status. The judge of every switch."""

import http.client
import threading
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final

_PAUSE_SECONDS: Final = 0.05
_TIMEOUT_SECONDS: Final = 10.0
UNANSWERED: Final = 0
"""Counted in place of a status when no answer came."""


class Visitors:
    """Asks for prices, one request after the other, of each server in turn; every fifth customer is a new one."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._seen: Counter[tuple[str, int]] = Counter()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._visit, name="visitors", daemon=True)

    @property
    def seen(self) -> Counter[tuple[str, int]]:
        """(version, status) → how many."""
        return self._seen.copy()

    @contextmanager
    def visiting(self) -> Generator[None]:
        """They come until the context ends."""
        self._thread.start()
        try:
            yield
        finally:
            self._leaving.set()
            self._thread.join()

    def _visit(self) -> None:
        number = 0
        while not self._leaving.wait(_PAUSE_SECONDS):
            self._seen[_ask(self._ports[number % len(self._ports)], orders=number // len(self._ports) % 5)] += 1
            number += 1


def _ask(port: int, *, orders: int) -> tuple[str, int]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"/price?orders={orders}")
        answer = connection.getresponse()
        answer.read()
        return answer.headers.get("X-Version", "?"), answer.status
    except (OSError, http.client.HTTPException) as error:
        return f"no answer ({type(error).__name__})", UNANSWERED
    finally:
        connection.close()
