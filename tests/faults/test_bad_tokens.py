"""A thousand unknown tokens a second, while agents work: nobody who is known notices."""

import secrets
import socket
import threading
import time
from collections import Counter

from tests.faults.plant import Plant
from tests.servers import HOST, wait_until
from workflows.contracts.statuses import JobStatus

A_SECOND = 1000
_BATCH = 100


class Flood(threading.Thread):
    """Requests with tokens that nobody was given, a batch every tenth of a second on one connection."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port, self._ending = port, threading.Event()
        self.statuses: Counter[str] = Counter()

    def run(self) -> None:
        with socket.create_connection((HOST, self._port), 30) as wire:
            while not self._ending.is_set():
                began = time.monotonic()
                wire.sendall(b"".join(self._request() for _ in range(_BATCH)))
                self._read(wire)
                self._ending.wait(max(0.0, began + _BATCH / A_SECOND - time.monotonic()))

    def end(self) -> None:
        self._ending.set()
        self.join(40)

    def _request(self) -> bytes:
        token = f"hci_key_{secrets.token_hex(8)}_{secrets.token_urlsafe(37)}"
        return f"GET /api/dashboard/jobs HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()

    def _read(self, wire: socket.socket) -> None:
        got = b""
        while got.count(b"HTTP/1.1 ") < _BATCH or not got.endswith(b"}"):
            piece = wire.recv(1 << 20)
            assert piece, "the API closed the connection"
            got += piece
        self.statuses.update(part[:3].decode() for part in got.split(b"HTTP/1.1 ")[1:])


def test_a_thousand_bad_tokens_a_second_while_jobs_flow(plant: Plant) -> None:
    flood = Flood(plant.api_port)
    agent = plant.agent("flooded", "flooded")
    flood.start()
    try:
        jobs = [plant.submit("sleep 0.2; echo done", pool="flooded") for _ in range(12)]
        ended = plant.wait_ended(jobs)
        wait_until(lambda: flood.statuses.total() >= A_SECOND, seconds=60, what="as many answers")
    finally:
        flood.end()
    assert [job.status for job in ended] == [JobStatus.SUCCESS] * 12
    assert all(len(job.attempts) == 1 for job in ended)
    assert agent.running.poll() is None
    assert set(flood.statuses) == {"401", "429"}
    assert flood.statuses["429"] > flood.statuses["401"]
    assert flood.statuses.total() >= A_SECOND
