"""The benchmark of a fleet beats as it says it does; against the real API over real sockets, on memory stores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from api.cli.benchmark import fleet
from api.cli.benchmark.wire import Api
from tests.api.cli_bench import ADMIN_KEY, Served, served


class Line(Api):
    """Counts the connections that it opens."""

    opened = 0

    def _exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        Line.opened += self._connection.sock is None
        return super()._exchange(method, path, body, headers)


@dataclass
class Stack:
    served: Served

    def api(self) -> Api:
        address = urlsplit(self.served.url)
        assert address.hostname
        assert address.port
        return Line(address.hostname, address.port, ADMIN_KEY)

    def processes(self) -> dict[str, psutil.Process]:
        return {"api": psutil.Process()}


def test_each_agent_beats_over_its_own_connection_or_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "_IDLE_SECONDS", 0.01)
    monkeypatch.setattr(fleet, "STORE_WITHIN_SECONDS", -0.5)
    with served() as server:
        stack: Any = Stack(server)
        measured = fleet.measure_fleet(stack, 5, 2, lambda _: None)
    assert (measured.agents, measured.kept.answered.samples, measured.new.answered.samples) == (5, 10, 10)
    assert Line.opened == 5 + 10
