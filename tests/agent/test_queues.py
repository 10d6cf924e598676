"""Polling several queues of a real Temporal server, coming and going, with attempts that are not disturbed by it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from agent.queues.pollers import MAX_DEMANDS, Poller, Queues
from agent.queues.slots import Slots
from agent.safety.gate import Gate, Reason
from tests import servers
from tests.agent.agent_process import LAST_POLL_SECONDS, Repository
from tests.agent.helpers import begin, eventually, result_of
from workflows.contracts.activities import run_attempt
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.ids import pool_queue
from workflows.contracts.statuses import Outcome
from workflows.version import product_version

GPU = ["gpu=*"]


class Agent:
    """Queues with attempts that do nothing until they may end."""

    def __init__(self, client: Client, pool: str, capacity: int = 1) -> None:
        self.gate, self.go, self.begun = Gate(), asyncio.Event(), list[str]()
        self.most = self.now = 0
        self.pool = pool
        self.clients = [client]
        poller = Poller(
            client, self.reconnect, "agent-1", pool, {"gpu": "a100"}, [self.run_attempt], pool_queue(pool), capacity
        )
        self.queues = Queues(poller, Slots(capacity), self.gate)

    async def reconnect(self) -> Client:
        address = self.clients[0].service_client.config.target_host
        self.clients.append(await Client.connect(address, data_converter=pydantic_data_converter))
        return self.clients[-1]

    @activity.defn(name=run_attempt.__name__)
    async def run_attempt(self, attempt: AttemptInput) -> AttemptResult:
        self.begun.append(attempt.job_id)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
        finally:
            self.now -= 1
        return AttemptResult(
            attempt=1, agent_id="agent-1", outcome=Outcome.SUCCEEDED, claimed_at=1, finished_at=1, exit_code=0
        )

    def attempt(self, *requires: str) -> AttemptInput:
        return Repository(Path("/nowhere"), "a" * 40).attempt("true", pool=self.pool, requires=list(requires))


@pytest.fixture
async def agent(starter: Client, request: pytest.FixtureRequest) -> AsyncIterator[Agent]:
    agent = Agent(starter, f"queues-{id(request)}")
    agent.queues.start()
    yield agent
    agent.go.set()
    await asyncio.wait_for(agent.queues.end(), LAST_POLL_SECONDS)


async def test_only_demands_that_are_met_are_polled_and_not_too_many(agent: Agent) -> None:
    agent.queues.demand([GPU, ["os=plan9"], ["gpu=a100", "!spot"], ["!spot", "gpu=a100"], []])
    main, gpu, both = (pool_queue(agent.pool, each) for each in ([], GPU, ["gpu=a100", "!spot"]))
    assert agent.queues.polled == {main, gpu, both}
    agent.queues.demand([[f"!l{number}"] for number in range(2 * MAX_DEMANDS)])
    assert len(agent.queues.polled) == MAX_DEMANDS + 1
    agent.queues.demand([])
    assert agent.queues.polled == {main}


async def test_an_attempt_outlives_its_queue_and_the_queue_comes_back(agent: Agent, starter: Client) -> None:
    agent.queues.demand([GPU])
    handle = await begin(starter, agent.attempt(*GPU))
    await eventually(lambda: len(agent.begun) == 1, "the attempt")
    agent.queues.demand([])
    agent.queues.demand([GPU])
    agent.gate.close(Reason.PAUSED, "tea")
    late = await begin(starter, agent.attempt())
    for _ in range(3):
        agent.gate.clear(Reason.PAUSED)
        await asyncio.sleep(0.15)
        agent.gate.close(Reason.PAUSED, "tea")
    await asyncio.sleep(0.3)
    assert (agent.queues.polled, len(agent.begun)) == (frozenset(), 1)
    agent.gate.clear(Reason.PAUSED)
    agent.go.set()
    assert (await asyncio.wait_for(handle.result(), 60)).outcome is Outcome.SUCCEEDED
    assert (await asyncio.wait_for(late.result(), 60)).outcome is Outcome.SUCCEEDED
    assert (await result_of(starter, agent.attempt(*GPU))).outcome is Outcome.SUCCEEDED
    assert agent.most == 1


async def test_work_of_several_queues_flows_without_being_fetched_in_vain(agent: Agent, starter: Client) -> None:
    """With one slot and work in two queues, attempts run one at a time although both queues are polled."""
    agent.go.set()
    agent.queues.demand([GPU])
    handles = [await begin(starter, agent.attempt(*(GPU if number % 2 else []))) for number in range(16)]
    for handle in handles:
        assert (await asyncio.wait_for(handle.result(), 60)).outcome is Outcome.SUCCEEDED
    assert len(agent.begun) == 16


async def test_a_queue_that_the_sdk_refuses_is_polled_with_a_new_client(
    starter: Client, temporal_server: servers.Server
) -> None:
    """As after an outage: a worker that could not begin blocks its queue for the client it had."""
    client = await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)
    agent = Agent(client, "queues-blocked")
    blocking = Worker(
        client, task_queue=pool_queue(agent.pool, GPU), activities=[agent.run_attempt], build_id=product_version()
    )
    agent.queues.start()
    agent.queues.demand([GPU])
    agent.go.set()
    try:
        for requires in (GPU, [], GPU):
            assert (await result_of(starter, agent.attempt(*requires))).outcome is Outcome.SUCCEEDED
        assert len(agent.clients) == 2
    finally:
        await asyncio.wait_for(agent.queues.end(), LAST_POLL_SECONDS)
        async with blocking:  # the SDK has no other way to give one up
            pass
