"""Whom the gateway lets in while the API answers, is slow or is away; what its views keep of Temporal's messages."""

import asyncio
import logging

import grpc
import pytest
from temporalio.api.common.v1 import message_pb2 as common
from temporalio.api.failure.v1 import message_pb2 as failures
from temporalio.api.taskqueue.v1 import message_pb2 as task_queues
from temporalio.api.worker.v1 import message_pb2 as workers
from temporalio.api.workflowservice.v1 import request_response_pb2 as requests

from api.auth.binding import TaskTokens
from api.gateway.messages import VIEWS, Messages
from api.gateway.methods import METHODS, READABLE, SERVICE, Scope
from api.gateway.refusals import Refused
from api.gateway.tokens import Callers
from api.gateway.validation import ApiAwayError, Caller, NoAgent
from workflows.payloads import sealing
from workflows.payloads.holder import HOLDER

AGENT = Caller("agent-1", "alpha")
TOKEN = "Bearer a-token"


class Api:
    """Answers what it is told to; None: it is away."""

    def __init__(self) -> None:
        self.says: Caller | NoAgent | None = AGENT
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def validate(self, token: str) -> Caller | NoAgent:
        assert token
        self.asked += 1
        await self.answers.wait()
        if self.says is None:
            raise ApiAwayError("as told")
        return self.says


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    def __init__(self) -> None:
        self.api, self.clock, self.wall = Api(), Time(), Time()
        self.callers = Callers(self.api, self.clock, self.wall)

    async def code(self, token: str = TOKEN, address: str = "ipv4:192.0.2.1") -> grpc.StatusCode:
        """OK, or why not."""
        try:
            await self.callers.caller(token, address)
        except Refused as refused:
            return refused.code
        return grpc.StatusCode.OK


OK, UNKNOWN, AWAY, DENIED, TOO_MUCH = (
    grpc.StatusCode.OK,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


async def test_an_answer_is_used_for_30_seconds_and_renewed_beside_the_calls() -> None:
    bench = Bench()
    assert [await bench.code() for _ in range(5)] == [OK] * 5
    assert bench.api.asked == 1
    bench.clock.now += 25
    bench.api.answers.clear()
    assert await asyncio.wait_for(bench.code(), 60) is OK, "this call does not wait for the API"
    bench.api.answers.set()
    await bench.callers.close()
    bench.clock.now += 4
    assert await bench.code() is OK
    bench.api.says = NoAgent(known=False)
    bench.clock.now += 30
    assert await bench.code() is UNKNOWN, "revoked"


async def test_calls_that_wait_for_one_token_ask_once() -> None:
    bench = Bench()
    bench.api.answers.clear()
    calls = [asyncio.create_task(bench.code()) for _ in range(50)]
    await asyncio.sleep(0)
    bench.api.answers.set()
    assert await asyncio.gather(*calls) == [OK] * 50
    assert bench.api.asked == 1


async def test_the_last_word_holds_for_5_minutes_while_the_api_is_away(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    assert await bench.code() is OK
    bench.api.says = None
    bench.clock.now += 31
    with caplog.at_level(logging.WARNING):
        assert [await bench.code() for _ in range(3)] == [OK] * 3
    assert bench.api.asked == 2, "one question, not one for each call"
    assert "letting agents in on the API's last word" in caplog.text
    assert "a-token" not in caplog.text
    assert await bench.code("Bearer another") is AWAY, "unknown to the gateway, and nobody to ask"
    bench.clock.now += 300
    assert await bench.code() is AWAY
    bench.api.says = AGENT
    bench.clock.now += 4
    assert await bench.code() is OK


async def test_a_refused_or_expired_token_has_no_last_word() -> None:
    bench = Bench()
    bench.api.says = NoAgent(known=False)
    assert await bench.code() is UNKNOWN
    bench.api.says = None
    assert await bench.code() is UNKNOWN
    bench.clock.now += 31
    assert await bench.code() is AWAY
    bench.api.says = Caller("agent-1", "alpha", expires_at=int((bench.wall.now + 60) * 1000))
    assert await bench.code("Bearer short") is OK
    bench.api.says = None
    bench.clock.now += 31
    bench.wall.now += 31
    assert await bench.code("Bearer short") is OK
    bench.clock.now += 30
    bench.wall.now += 30
    assert await bench.code("Bearer short") is AWAY, "expired meanwhile"


async def test_a_slow_api_holds_nobody_up_who_is_known() -> None:
    bench = Bench()
    assert await bench.code() is OK
    bench.api.answers.clear()
    bench.clock.now += 31
    began = asyncio.get_running_loop().time()
    assert [await bench.code() for _ in range(3)] == [OK] * 3
    assert asyncio.get_running_loop().time() - began < 4
    await bench.callers.close()


async def test_strangers_from_one_address_are_slowed_down_and_nobody_else() -> None:
    bench = Bench()
    assert await bench.code() is OK
    bench.api.says = NoAgent(known=False)
    codes = [await bench.code(f"Bearer guess-{number}") for number in range(30)]
    assert codes == [UNKNOWN] * 10 + [TOO_MUCH] * 20
    assert await bench.code() is OK, "known before"
    bench.api.says = AGENT
    assert await bench.code("Bearer new", "ipv4:192.0.2.2") is OK
    assert await bench.code("Bearer new-2") is TOO_MUCH
    bench.clock.now += 6
    assert await bench.code("Bearer new-2") is OK


async def test_a_key_that_is_no_agents_is_told_to_register() -> None:
    bench = Bench()
    bench.api.says = NoAgent(known=True)
    assert await bench.code() is DENIED


def test_views_have_the_numbers_and_types_of_temporals_messages() -> None:
    modules = (requests, task_queues, workers, common, failures)
    types = {name: each for module in modules for name, each in module.DESCRIPTOR.message_types_by_name.items()}
    types["MetadataEntry"] = types["Payload"].nested_types_by_name["MetadataEntry"]
    views = Messages()
    for name, fields in VIEWS.items():
        real, view = types[name], views.read(name, b"").DESCRIPTOR
        for field, (number, _) in fields.items():
            theirs, ours = real.fields_by_name[field], view.fields_by_name[field]
            assert theirs.number == number
            assert theirs.is_repeated == ours.is_repeated
            assert theirs.type == ours.type or theirs.enum_type is not None, (name, field)


def test_what_the_gateway_does_not_know_of_a_message_is_passed_on() -> None:
    scope = Scope(AGENT, "default", TaskTokens(b"k" * 32), Messages())
    bound = scope.tokens.bind("agent-1", b"token")
    sent = requests.RespondActivityTaskCompletedRequest(task_token=bound, identity="x", resource_id="activity:1")
    sent.result.payloads.add(data=b"result", metadata={"encoding": b"json/plain", "other": b"kept"})
    later = b"\xfa\x3f\x03new"  # field 1023, of a version to come
    content = METHODS[f"{SERVICE}RespondActivityTaskCompleted"].request(scope, sent.SerializeToString() + later)
    assert content.endswith(later)
    passed = requests.RespondActivityTaskCompletedRequest.FromString(content)
    assert (passed.task_token, passed.identity, passed.namespace) == (b"token", "agent-1", "default")
    sent.result.payloads[0].metadata[HOLDER] = b"agent-1"
    assert (passed.result, passed.resource_id) == (sent.result, "activity:1")


@pytest.mark.parametrize("encoding", [b"json/plain", b"binary/hybridci-sealed"])
def test_whose_answer_it_is_the_gateway_says_whatever_the_agent_does(encoding: bytes) -> None:
    scope = Scope(AGENT, "default", TaskTokens(b"k" * 32), Messages())
    sent = requests.RespondActivityTaskCompletedRequest(task_token=scope.tokens.bind("agent-1", b"token"))
    sent.result.payloads.add(data=b"{}", metadata={"encoding": encoding, HOLDER: b"production-vm-4b96"})
    content = METHODS[f"{SERVICE}RespondActivityTaskCompleted"].request(scope, sent.SerializeToString())
    (payload,) = requests.RespondActivityTaskCompletedRequest.FromString(content).result.payloads
    assert dict(payload.metadata) == {"encoding": encoding, HOLDER: b"agent-1"}
    assert b"production-vm-4b96" not in content


@pytest.mark.parametrize(
    "encodings",
    [[], [b"json/plain"] * 2, [b"json/plain"] * 300, [b"\xff"], [b"binary/null"], [b""], [b"json/protobuf"]],
)
def test_an_answer_is_one_payload_that_can_be_read(encodings: list[bytes]) -> None:
    scope = Scope(AGENT, "default", TaskTokens(b"k" * 32), Messages())
    sent = requests.RespondActivityTaskCompletedRequest(task_token=scope.tokens.bind("agent-1", b"token"))
    for encoding in encodings:
        sent.result.payloads.add(data=b"{}", metadata={"encoding": encoding})
    with pytest.raises(Refused, match="exactly one payload") as refused:
        METHODS[f"{SERVICE}RespondActivityTaskCompleted"].request(scope, sent.SerializeToString())
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_the_encodings_of_an_answer_are_those_that_agents_write() -> None:
    assert {b"json/plain", sealing.ENCODING} == READABLE


def test_a_poll_keeps_nothing_that_steers_the_queue_for_others() -> None:
    scope = Scope(AGENT, "default", TaskTokens(b"k" * 32), Messages())
    sent = requests.PollActivityTaskQueueRequest(identity="x", worker_instance_key="w", worker_control_task_queue="c")
    sent.task_queue.name = "pool-alpha"
    sent.task_queue_metadata.max_tasks_per_second.value = 0.001
    sent.deployment_options.deployment_name = "mine"
    passed = requests.PollActivityTaskQueueRequest.FromString(
        METHODS[f"{SERVICE}PollActivityTaskQueue"].request(scope, sent.SerializeToString())
    )
    expected = requests.PollActivityTaskQueueRequest(identity="agent-1", namespace="default", worker_instance_key="w")
    expected.task_queue.name = "pool-alpha"
    assert passed == expected


def test_a_message_said_twice_is_held_against_what_temporal_would_read() -> None:
    """Protobuf takes the last of a field that comes twice; the gateway passes on exactly what it looked at."""
    scope = Scope(AGENT, "default", TaskTokens(b"k" * 32), Messages())
    own, other = (requests.PollActivityTaskQueueRequest(), requests.PollActivityTaskQueueRequest())
    own.task_queue.name, other.task_queue.name = "pool-alpha", "pool-beta"
    poll = METHODS[f"{SERVICE}PollActivityTaskQueue"].request
    with pytest.raises(Refused):
        poll(scope, own.SerializeToString() + other.SerializeToString())
    passed = poll(scope, other.SerializeToString() + own.SerializeToString())
    assert requests.PollActivityTaskQueueRequest.FromString(passed).task_queue.name == "pool-alpha"
    assert b"pool-beta" not in passed


def test_of_failures_and_heartbeats_only_plain_words_are_passed_on() -> None:
    scope = Scope(AGENT, "default", TaskTokens(b"k" * 32), Messages())
    bound = scope.tokens.bind("agent-1", b"token")
    junk = common.Payloads(payloads=[common.Payload(data=b"junk")])
    beat = requests.RecordActivityTaskHeartbeatRequest(task_token=bound, details=junk)
    content = METHODS[f"{SERVICE}RecordActivityTaskHeartbeat"].request(scope, beat.SerializeToString())
    expected = requests.RecordActivityTaskHeartbeatRequest(task_token=b"token", namespace="default", identity="agent-1")
    assert requests.RecordActivityTaskHeartbeatRequest.FromString(content) == expected
    failure = failures.Failure(message="m", stack_trace="s", cause=failures.Failure(message="why"))
    failure.application_failure_info.type = "T"
    failure.application_failure_info.details.CopyFrom(junk)
    sealed = common.Payload(metadata={"encoding": sealing.ENCODING}, data=b"sealed with nobody's key")
    failure.encoded_attributes.CopyFrom(sealed)
    failed = requests.RespondActivityTaskFailedRequest(task_token=bound, failure=failure, last_heartbeat_details=junk)
    content = METHODS[f"{SERVICE}RespondActivityTaskFailed"].request(scope, failed.SerializeToString())
    info = failures.ApplicationFailureInfo(type="T")
    plain = failures.Failure(message="m", application_failure_info=info)
    assert requests.RespondActivityTaskFailedRequest.FromString(content) == requests.RespondActivityTaskFailedRequest(
        task_token=b"token", namespace="default", identity="agent-1", failure=plain
    )
