"""One gateway for a module: TLS, its API and the session's Temporal."""

import signal
from collections.abc import Iterator

import pytest

from tests.gateway.surroundings import FakeApi, GatewayProcess
from tests.servers import Server


@pytest.fixture(scope="module")
def api() -> Iterator[FakeApi]:
    with FakeApi().serving() as api:
        yield api


@pytest.fixture(scope="module")
def gateway(
    temporal_server: Server, api: FakeApi, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(tmp_path_factory.mktemp("gateway"), temporal_server.address, api.url)
    gateway.start()
    try:
        yield gateway
    finally:
        if gateway.process is not None:
            gateway.end(signal.SIGKILL)
