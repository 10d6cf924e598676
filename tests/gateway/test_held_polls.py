"""A poll that is held while its agent's standing changes, while Temporal is away, and while the gateway is stopped."""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import PollActivityTaskQueueRequest
from temporalio.client import Client

from api.auth.binding import TaskTokens
from api.gateway.handler import Gateway
from api.gateway.messages import Messages
from api.gateway.methods import SERVICE, Scope
from api.gateway.temporal_settings import TemporalSettings
from api.gateway.tokens import Callers
from api.gateway.upstream import Upstream
from api.gateway.validation import Caller, NoAgent
from tests.gateway.jobs import until_polled
from tests.gateway.surroundings import bearer
from tests.servers import HOST, Server, free_port

TOKEN = "a-token"


class Standing:
    """The API's word, which tests change."""

    says: Caller | NoAgent = Caller("agent-1", "alpha")

    async def validate(self, token: str) -> Caller | NoAgent:
        assert token == TOKEN
        return self.says


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A gateway in this process that looks again whether a poll may be held ten times a second."""

    def __init__(self, gateway: Gateway, channel: grpc.aio.Channel, standing: Standing, clock: Clock) -> None:
        self.gateway, self.channel, self.standing, self.clock = gateway, channel, standing, clock

    def poll(self, queue: str) -> "asyncio.Task[bytes]":
        request = PollActivityTaskQueueRequest(namespace="default", task_queue=TaskQueue(name=queue))
        call = self.channel.unary_unary(f"{SERVICE}PollActivityTaskQueue", bytes, bytes)
        return asyncio.create_task(wait_for(call(request.SerializeToString(), metadata=bearer(TOKEN), timeout=60)))


async def wait_for(call: Awaitable[bytes]) -> bytes:
    return await call


@asynccontextmanager
async def benched(temporal_address: str) -> AsyncGenerator[Bench]:
    standing, clock = Standing(), Clock()
    callers = Callers(standing, clock)
    upstream = Upstream(TemporalSettings(temporal_address, "default"))
    tokens, messages = TaskTokens(b"k" * 32), Messages()
    gateway = Gateway(callers, upstream, lambda caller: Scope(caller, "default", tokens, messages), 0.1)
    server = grpc.aio.server(handlers=[gateway])
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
            yield Bench(gateway, channel, standing, clock)
    finally:
        await server.stop(None)
        await callers.close()
        await upstream.close()


@pytest.fixture
def queue() -> str:
    return f"pool-alpha~{uuid.uuid4().hex[:16]}"


@pytest.mark.parametrize(
    ("says", "code"),
    [
        (NoAgent(known=False), grpc.StatusCode.UNAUTHENTICATED),
        (Caller("agent-1", "beta"), grpc.StatusCode.PERMISSION_DENIED),
    ],
)
async def test_a_poll_ends_when_its_token_is_revoked_or_its_agent_moved(
    temporal_server: Server, temporal_client: Client, queue: str, says: Caller | NoAgent, code: grpc.StatusCode
) -> None:
    async with benched(temporal_server.address) as bench:
        poll = bench.poll(queue)
        await until_polled(temporal_client, queue, "agent-1")
        bench.standing.says = says
        bench.clock.now += 31
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await asyncio.wait_for(poll, 60)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE, "an SDK's worker polls again, with its present token"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await asyncio.wait_for(bench.poll(queue), 60)
        assert refused.value.code() is code


async def test_polls_end_when_the_gateway_is_told_to_stop(
    temporal_server: Server, temporal_client: Client, queue: str
) -> None:
    async with benched(temporal_server.address) as bench:
        poll = bench.poll(queue)
        await until_polled(temporal_client, queue, "agent-1")
        assert await bench.channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"
        bench.gateway.stop_polls()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await asyncio.wait_for(poll, 60)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await bench.channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x02"


async def test_without_temporal_an_agent_is_told_to_try_again_and_not_where_it_is(
    queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"{HOST}:{free_port()}"
    async with benched(address) as bench:
        with caplog.at_level(logging.WARNING), pytest.raises(grpc.aio.AioRpcError) as ended:
            await asyncio.wait_for(bench.poll(queue), 60)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "try again" in str(ended.value.details())
        assert address not in str(ended.value.details())
        assert address.rpartition(":")[2] in str([vars(record) for record in caplog.records])
        for _ in range(400):
            if await bench.channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x02":
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the health check does not tell that Temporal is away")
