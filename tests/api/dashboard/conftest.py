"""A bench without limits on requests."""

from collections.abc import AsyncIterator

import pytest

from api.auth.limits import RateLimits
from tests.api.conftest import ADMIN_KEY, AGENT_TOKEN, Bench, client, memory_app


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Without limits on requests."""
    app, stores, job_client, stop = memory_app(RateLimits(0, 0, 0, 0))
    async with client(app, ADMIN_KEY) as admin, client(app, AGENT_TOKEN) as agent, client(app, None) as anyone:
        yield Bench(app, stores, job_client, job_client.releases, admin, agent, anyone, stop)
