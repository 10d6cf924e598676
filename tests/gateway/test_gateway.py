"""An agent's way to its work through the gateway, and an attacker's with a valid agent's token to anything else."""

import asyncio
import gzip
import re
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import TaskQueueKind
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.operatorservice.v1 import request_response_pb2 as operator_messages
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.worker.v1 import WorkerHeartbeat
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    GetSystemInfoRequest,
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    RecordActivityTaskHeartbeatRequest,
    RecordWorkerHeartbeatRequest,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest,
    ShutdownWorkerRequest,
    SignalWorkflowExecutionRequest,
)
from temporalio.api.workflowservice.v1 import request_response_pb2 as workflow_messages
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from api.gateway.handler import POLLS_AT_ONCE
from api.gateway.methods import METHODS, SERVICE
from tests.gateway.jobs import describe, orchestrating, start, until_polled, until_running, work
from tests.gateway.surroundings import POOL, FakeApi, GatewayProcess, bearer, launch_gateway
from tests.servers import free_port
from workflows.contracts.ids import tasks_queue

Denied = grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture
def queue() -> str:
    """A queue of the agents' pool that no other test uses."""
    return f"pool-{POOL}~{uuid.uuid4().hex[:16]}"


@pytest.fixture
async def agent(gateway: GatewayProcess, api: FakeApi) -> Client:
    return await gateway.connect(api.knows("token-1", "agent-1"))


@pytest.fixture
async def colleague(gateway: GatewayProcess, api: FakeApi) -> Client:
    """Another agent of the same pool."""
    return await gateway.connect(api.knows("token-2", "agent-2"))


@pytest.fixture
async def channel(gateway: GatewayProcess) -> AsyncIterator[grpc.aio.Channel]:
    """gRPC without the SDK, for what the SDK would not send."""
    credentials = grpc.ssl_channel_credentials(gateway.certificates.authority.read_bytes())
    async with grpc.aio.secure_channel(gateway.address, credentials) as channel:
        yield channel


async def test_an_ordinary_worker_runs_activities(agent: Client, temporal_client: Client, queue: str) -> None:
    async with orchestrating(temporal_client), Worker(agent, task_queue=queue, activities=[work]):
        done = await asyncio.gather(*[(await start(temporal_client, queue)).result() for _ in range(10)])
        assert done == [f"succeed on {queue}"] * 10
        with pytest.raises(WorkflowFailureError):
            await (await start(temporal_client, queue, "fail")).result()
        handle = await start(temporal_client, queue, "wait", lease_seconds=1)
        await until_running(handle)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await asyncio.wait_for(handle.result(), 60)
        described = await temporal_client.workflow_service.describe_task_queue(describe(queue))
        assert [poller.identity for poller in described.pollers] == ["agent-1"], "whatever the SDK says of itself"


async def test_the_systems_own_roots_can_vouch_for_the_gateway(
    gateway: GatewayProcess, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = api.knows("token-1", "agent-1")
    monkeypatch.setenv("SSL_CERT_FILE", str(gateway.certificates.authority))
    client = await Client.connect(gateway.address, api_key=token, tls=True)
    assert (await client.workflow_service.get_system_info(GetSystemInfoRequest())).server_version
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(RuntimeError):
        await Client.connect(gateway.address, api_key=token, tls=True)
    with pytest.raises(RuntimeError):
        await Client.connect(gateway.address, api_key=token, tls=False)


async def test_every_other_call_of_temporal_is_refused(agent: Client, channel: grpc.aio.Channel) -> None:
    operator = "/temporal.api.operatorservice.v1.OperatorService/"
    names = [
        service + message.removesuffix("Request")
        for service, module in ((SERVICE, workflow_messages), (operator, operator_messages))
        for message in module.DESCRIPTOR.message_types_by_name
        if message.endswith("Request")
    ]
    others = [name for name in names if name not in METHODS]
    assert len(others) > 100
    assert len(names) - len(others) == len(METHODS), "the allow list has only names that exist"
    others += [
        "/grpc.health.v1.Health/Watch",
        "/temporal.server.api.adminservice.v1.AdminService/DescribeCluster",
        "/x",
    ]
    refusals = await asyncio.gather(*(refusal(channel, name, b"", token="token-1") for name in others))
    assert [code for code, _ in refusals] == [Denied] * len(others)
    assert all("Agent agent-1 may not call /" in reason for _, reason in refusals)
    with pytest.raises(RPCError) as signalling:
        await agent.workflow_service.signal_workflow_execution(
            SignalWorkflowExecutionRequest(
                namespace="default",
                workflow_execution=WorkflowExecution(workflow_id="deploy-checkout-1.0-x"),
                signal_name="approve",
            )
        )
    assert signalling.value.status is RPCStatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("PollActivityTaskQueue", {"task_queue": TaskQueue(name="pool-beta")}),
        ("PollActivityTaskQueue", {"task_queue": TaskQueue(name="pool-alpha2")}),
        ("PollActivityTaskQueue", {"task_queue": TaskQueue(name="control")}),
        ("PollActivityTaskQueue", {"task_queue": TaskQueue(name="/_sys/pool-alpha/1")}),
        ("PollActivityTaskQueue", {"task_queue": TaskQueue(name="pool-alpha~anything")}),
        ("PollActivityTaskQueue", {"task_queue": TaskQueue(name="pool-beta~tasks")}),
        ("PollActivityTaskQueue", {"task_queue": TaskQueue(name="pool-alpha-tasks")}),
        ("PollActivityTaskQueue", {"task_queue": TaskQueue(name="pool-alpha~tasks2")}),
        ("PollActivityTaskQueue", {"task_queue": TaskQueue(name="pool-alpha~tasks~tasks")}),
        ("RecordWorkerHeartbeat", {"worker_heartbeat": [WorkerHeartbeat(task_queue="pool-beta~tasks")]}),
        ("ShutdownWorker", {"task_queue": "pool-beta~tasks"}),
        (
            "PollActivityTaskQueue",
            {
                "task_queue": TaskQueue(
                    name="pool-alpha", kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY, normal_name="pool-alpha"
                )
            },
        ),
        ("PollActivityTaskQueue", {"task_queue": TaskQueue(name="pool-alpha", normal_name="control")}),
        ("PollActivityTaskQueue", {"task_queue": TaskQueue(name="pool-alpha"), "namespace": "other"}),
        ("PollActivityTaskQueue", {}),
        ("DescribeNamespace", {"namespace": "other"}),
        ("DescribeNamespace", {"namespace": "default", "id": "32049b68-7872-4094-8e63-d0dd59896a83"}),
        ("DescribeNamespace", {}),
        ("RecordWorkerHeartbeat", {"worker_heartbeat": [WorkerHeartbeat(task_queue="pool-beta")]}),
        ("ShutdownWorker", {"task_queue": "pool-beta"}),
        ("ShutdownWorker", {"sticky_task_queue": "some-worker"}),
        ("ShutdownWorker", {"worker_heartbeat": WorkerHeartbeat(task_queue="control")}),
        ("RespondActivityTaskCompleted", {"task_token": b"invented"}),
        ("RespondActivityTaskFailed", {}),
    ],
)
async def test_what_is_not_its_own_pools_is_refused(
    api: FakeApi, channel: grpc.aio.Channel, name: str, request_: dict[str, Any]
) -> None:
    kinds: dict[str, Any] = {
        "PollActivityTaskQueue": PollActivityTaskQueueRequest,
        "DescribeNamespace": DescribeNamespaceRequest,
        "RecordWorkerHeartbeat": RecordWorkerHeartbeatRequest,
        "ShutdownWorker": ShutdownWorkerRequest,
        "RespondActivityTaskCompleted": RespondActivityTaskCompletedRequest,
        "RespondActivityTaskFailed": RespondActivityTaskFailedRequest,
    }
    request = kinds[name](**({"namespace": "default"} if name != "DescribeNamespace" else {}) | request_)
    code, reason = await refusal(channel, SERVICE + name, request.SerializeToString(), api.knows("token-1", "agent-1"))
    assert code is Denied, reason
    assert "gent" in reason


async def test_a_pools_agents_poll_for_its_agent_tasks(agent: Client, temporal_client: Client) -> None:
    queue = tasks_queue(POOL)
    async with orchestrating(temporal_client), Worker(agent, task_queue=queue, activities=[work]):
        assert await (await start(temporal_client, queue)).result() == f"succeed on {queue}"


@pytest.mark.parametrize("of", ["jobs", "tasks"])
async def test_a_stolen_task_token_is_of_no_use(
    agent: Client, colleague: Client, temporal_client: Client, queue: str, of: str
) -> None:
    queue = queue if of == "jobs" else tasks_queue(POOL)
    async with orchestrating(temporal_client):
        handle = await start(temporal_client, queue, lease_seconds=30)
        task = await poll(agent, queue)
        token, service = task.task_token, colleague.workflow_service
        stolen: list[Any] = [
            service.respond_activity_task_completed(RespondActivityTaskCompletedRequest(task_token=token)),
            service.respond_activity_task_failed(RespondActivityTaskFailedRequest(task_token=token)),
            service.respond_activity_task_canceled(RespondActivityTaskCanceledRequest(task_token=token)),
            service.record_activity_task_heartbeat(RecordActivityTaskHeartbeatRequest(task_token=token)),
            # What Temporal itself would take: the token without its binding.
            service.respond_activity_task_completed(RespondActivityTaskCompletedRequest(task_token=token[33:])),
        ]
        for call in stolen:
            with pytest.raises(RPCError) as refused:
                await call
            assert refused.value.status is RPCStatusCode.PERMISSION_DENIED
        beat = RecordActivityTaskHeartbeatRequest(task_token=token)
        assert not (await agent.workflow_service.record_activity_task_heartbeat(beat)).cancel_requested
        result = Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=b'"mine"')])
        done = RespondActivityTaskCompletedRequest(task_token=token, result=result)
        await agent.workflow_service.respond_activity_task_completed(done)
        assert await handle.result() == "mine"
        with pytest.raises(RPCError) as late:
            await agent.workflow_service.respond_activity_task_completed(done)
        assert late.value.status is RPCStatusCode.NOT_FOUND, "Temporal's own word comes through"
        assert late.value.grpc_status.details


@pytest.mark.parametrize("what", ["details", "causes", "canceled"])
async def test_no_answer_of_an_agent_stops_a_workflow_for_good(
    what: str, api: FakeApi, agent: Client, channel: grpc.aio.Channel, temporal_client: Client, queue: str
) -> None:
    """What the workflow's own process would have to read, and cannot, it must never get."""
    junk = Payloads(payloads=[Payload(metadata={"encoding": b"\xff"}, data=b"\xff")])
    async with orchestrating(temporal_client):
        handle = await start(temporal_client, queue, lease_seconds=30)
        token = (await poll(agent, queue)).task_token
        name: str
        answer: Any
        if what == "canceled":
            await handle.cancel()
            await until_told_to_cancel(agent, token)
            name, answer = "RespondActivityTaskCanceled", RespondActivityTaskCanceledRequest(details=junk)
        else:
            failure = Failure(message="broken", application_failure_info=ApplicationFailureInfo(type="Broken"))
            if what == "details":
                failure.application_failure_info.details.CopyFrom(junk)
            failure.application_failure_info.non_retryable = True
            name, answer = "RespondActivityTaskFailed", RespondActivityTaskFailedRequest(failure=failure)
        answer.task_token = token
        metadata = [("authorization", f"Bearer {api.knows('token-1', 'agent-1')}")]
        content = answer.SerializeToString() + (causes(120) if what == "causes" else b"")
        await channel.unary_unary(SERVICE + name)(content, metadata=metadata, timeout=30)
        with pytest.raises(WorkflowFailureError) as failed:
            await asyncio.wait_for(handle.result(), 60)
        error = failed.value.cause
        if what in {"details", "causes"}:
            assert isinstance(error, ActivityError)
            assert isinstance(error.cause, ApplicationError)
            assert (error.cause.message, error.cause.type) == ("broken", "Broken"), "what happened is still told"


async def test_only_registered_agents_are_let_in(api: FakeApi, channel: grpc.aio.Channel) -> None:
    api.tokens["static-key"] = {"subject": "agent", "kind": "key", "grants": [], "agent_id": None, "pool": None}
    api.tokens["admins-key"] = {"subject": "admin", "kind": "key", "grants": []}
    for token in ("static-key", "admins-key"):
        code, reason = await refusal(channel, f"{SERVICE}GetSystemInfo", b"", token)
        assert code is Denied
        assert "POST /api/agents/register" in reason
    for sent in (
        None,
        "",
        "Bearer ",
        "Basic token-1",
        "Bearer garbage",
        "Bearer a b",
        f"Bearer {'x' * 5000}",
        "token-1",
    ):
        for name in (f"{SERVICE}GetSystemInfo", f"{SERVICE}ListWorkflowExecutions"):
            code, reason = await refusal(channel, name, b"", authorization=sent)
            assert code is grpc.StatusCode.UNAUTHENTICATED, (sent, code)
            assert "register" in reason
    twice = [("authorization", "Bearer token-1"), ("authorization", "Bearer token-2")]
    with pytest.raises(grpc.aio.AioRpcError) as two:
        await channel.unary_unary(f"{SERVICE}GetSystemInfo")(b"", metadata=twice)
    assert two.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_unknown_tokens_do_not_become_a_flood_at_the_api(api: FakeApi, channel: grpc.aio.Channel) -> None:
    known, before = api.knows("token-1", "agent-1"), len(api.asked)
    flood = [refusal(channel, f"{SERVICE}GetSystemInfo", b"", f"flood-{number}") for number in range(300)]
    codes = {code for code, _ in await asyncio.gather(*flood)}
    assert codes <= {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert len(api.asked) - before < 100
    assert await channel.unary_unary(f"{SERVICE}GetSystemInfo")(b"", metadata=bearer(known)), "others go on"


async def test_requests_are_bounded(api: FakeApi, channel: grpc.aio.Channel, gateway: GatewayProcess) -> None:
    token = api.knows("token-1", "agent-1")
    for name, size in (("PollActivityTaskQueue", 70_000), ("RespondActivityTaskCompleted", 5 << 20)):
        code, _ = await refusal(channel, SERVICE + name, b"\x00" * size, token)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    before = gateway.resident_mib
    for name, content in (("RespondActivityTaskCompleted", b"\x00" * (48 << 20)),):
        assert len(gzip.compress(content)) < 100_000
        with pytest.raises(grpc.aio.AioRpcError) as bomb:
            await channel.unary_unary(SERVICE + name)(
                content, metadata=bearer(token), compression=grpc.Compression.Gzip
            )
        assert bomb.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert gateway.resident_mib - before < 20
    for name in ("PollActivityTaskQueue", "RespondActivityTaskCompleted", "ShutdownWorker", "DescribeNamespace"):
        code, reason = await refusal(channel, SERVICE + name, b"\xff\xff\xff", token)
        assert code is grpc.StatusCode.INVALID_ARGUMENT, reason


async def test_an_agent_may_hold_so_many_polls_only(
    agent: Client, colleague: Client, temporal_client: Client, queue: str
) -> None:
    polls = [asyncio.create_task(poll(agent, queue)) for _ in range(POLLS_AT_ONCE + 1)]
    try:
        done, _ = await asyncio.wait(polls, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        (refused,) = done
        error = refused.exception()
        assert isinstance(error, RPCError)
        assert error.status is RPCStatusCode.RESOURCE_EXHAUSTED
        async with orchestrating(temporal_client), Worker(colleague, task_queue=f"pool-{POOL}", activities=[work]):
            assert await (await start(temporal_client, f"pool-{POOL}")).result(), "nobody waits for another's polls"
    finally:
        for each in polls:
            each.cancel()
        await asyncio.gather(*polls, return_exceptions=True)


async def test_a_poll_whose_agent_went_away_takes_no_task(
    agent: Client, colleague: Client, temporal_client: Client, queue: str
) -> None:
    gone = [asyncio.create_task(poll(agent, queue)) for _ in range(10)]
    await until_polled(temporal_client, queue, "agent-1")
    for each in gone:
        each.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    await asyncio.sleep(1)  # Temporal hears a moment later that they are gone, and nothing shows when
    async with orchestrating(temporal_client), Worker(colleague, task_queue=queue, activities=[work]):
        handles = [await start(temporal_client, queue, lease_seconds=60) for _ in range(5)]
        done = await asyncio.wait_for(asyncio.gather(*(handle.result() for handle in handles)), 60)
        assert len(done) == 5


async def test_no_task_is_lost_when_the_gateway_is_killed_and_when_it_is_told_to_end(
    gateway: GatewayProcess, agent: Client, temporal_client: Client, queue: str
) -> None:
    async with (
        orchestrating(temporal_client),
        Worker(agent, task_queue=queue, activities=[work], max_concurrent_activities=4),
    ):
        for how, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)):
            handles = [await start(temporal_client, queue, "slow", lease_seconds=2) for _ in range(16)]
            await handles[3].result()
            assert await asyncio.to_thread(gateway.end, how) == code
            await asyncio.to_thread(gateway.start)
            done = await asyncio.wait_for(asyncio.gather(*(handle.result() for handle in handles)), 60)
            assert done == [f"slow on {queue}"] * 16
    assert "Traceback" not in own_words(gateway.log.read_text())


async def test_the_health_check_needs_no_token(channel: grpc.aio.Channel) -> None:
    assert await channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"


def own_words(log: str) -> str:
    """Without what gRPC's own server says, now and then, of a call that it cancels when it is told to end."""
    trace = r'Traceback [^\n]*\n  File "src/python/grpcio/[^\n]*\n[^\n]*CancelledError'
    return re.sub(rf"^(\{{[^\n]*_schedule_rpc_coro[^\n]*\}}|{trace})\n", "", log, flags=re.MULTILINE)


def test_the_gateway_stays_small_and_says_no_secret(gateway: GatewayProcess, api: FakeApi) -> None:
    print(f"resident: {gateway.resident_mib:.1f} MiB")
    assert gateway.resident_mib < 80
    said = own_words(gateway.log.read_text())
    assert "refused a call" in said
    assert all(line.startswith("{") for line in said.splitlines()), "whatever connects adds no line of its own"
    assert not [secret for secret in (*api.tokens, *api.asked, "k" * 43) if secret in said]


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"HYBRIDCI_GATEWAY_KEY": ""}, ["HYBRIDCI_GATEWAY_KEY_FILE", "openssl rand"]),
        ({"HYBRIDCI_GATEWAY_KEY": "short"}, ["fewer than 32"]),
        ({"HYBRIDCI_GATEWAY_TLS_CERT_FILE": ""}, ["HYBRIDCI_GATEWAY_TLS_CERT_FILE", "HYBRIDCI_GATEWAY_TLS=off"]),
        ({"HYBRIDCI_GATEWAY_TLS_KEY_FILE": "/nowhere"}, ["/nowhere", "No such file"]),
        ({"HYBRIDCI_GATEWAY_PORT": "taken"}, ["cannot listen", "HYBRIDCI_GATEWAY_PORT"]),
        ({"HYBRIDCI_GATEWAY_TLS_KEY_FILE": __file__}, ["HYBRIDCI_GATEWAY_TLS_KEY_FILE", "belong together"]),
        ({"HYBRIDCI_GATEWAY_PORT": "many"}, ["HYBRIDCI_GATEWAY_PORT"]),
        ({"HYBRIDCI_URL": "ftp://x"}, ["HYBRIDCI_URL"]),
        ({"TEMPORAL_TLS_CLIENT_CERT_PATH": "/nowhere"}, ["TEMPORAL_"]),
    ],
)
def test_a_gateway_that_cannot_start_says_why(
    gateway: GatewayProcess, tmp_path: Path, change: dict[str, str], parts: list[str]
) -> None:
    change = {name: str(gateway.port) if value == "taken" else value for name, value in change.items()}
    environment = gateway.environment | {"HYBRIDCI_GATEWAY_PORT": str(free_port())} | change
    log = tmp_path / "log"
    assert launch_gateway(environment, log).wait(30) == 2
    said = log.read_text().strip()
    assert len(said.splitlines()) == 1, said
    assert [part for part in parts if part not in said] == [], said


async def until_told_to_cancel(client: Client, token: bytes) -> None:
    beat = RecordActivityTaskHeartbeatRequest(task_token=token)
    for _ in range(600):
        if (await client.workflow_service.record_activity_task_heartbeat(beat)).cancel_requested:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the cancellation did not come within 30 s")


def causes(depth: int) -> bytes:
    """More of a RespondActivityTaskFailedRequest: causes of causes, deeper than protobuf's readers but Go's go."""
    content = b""
    for number in [4] * depth + [2]:
        length = len(content)
        size = bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
        content = bytes([number << 3 | 2]) + size + content
    return content


async def refusal(
    channel: grpc.aio.Channel, name: str, content: bytes, token: str = "", authorization: str | None = None
) -> tuple[grpc.StatusCode, str]:
    """The status and reason of a call that must fail."""
    sent = authorization if not token else f"Bearer {token}"
    metadata = [] if sent is None else [("authorization", sent)]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await channel.unary_unary(name)(content, metadata=metadata, timeout=30)
    return refused.value.code(), refused.value.details() or ""


async def poll(client: Client, queue: str) -> PollActivityTaskQueueResponse:
    request = PollActivityTaskQueueRequest(namespace="default", task_queue=TaskQueue(name=queue), identity="somebody")
    return await client.workflow_service.poll_activity_task_queue(request)
