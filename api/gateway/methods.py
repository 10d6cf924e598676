"""THE allow list: the calls of an activity worker, and what each may reach. Everything else is refused.

Each rule takes the request's bytes and returns those that go on to Temporal: namespace and identity are not the
agent's to say, a task queue must be one of its pool's, a task token must be one that this agent was handed.
Deliberately not here: who is asking (``tokens``), passing calls on (``handler``, ``upstream``).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.auth.binding import NotYoursError, TaskTokens
from api.gateway.messages import Messages
from api.gateway.refusals import denied, malformed
from api.gateway.tokens import Caller
from workflows.contracts.ids import TASKS_SUFFIX, is_queue_of, pool_queue
from workflows.payloads.holder import HOLDER

SERVICE: Final = "/temporal.api.workflowservice.v1.WorkflowService/"
HEALTH_CHECK: Final = "/grpc.health.v1.Health/Check"
MAX_MESSAGE_BYTES: Final = 4 << 20
"""Temporal's own limit."""
READABLE: Final = frozenset({b"json/plain", b"binary/hybridci-sealed"})
"""How agents write an answer: as it is, or sealed by the payload codec (``workflows.payloads.sealing``)."""
_SMALL: Final = 64 << 10
_MAX_WORKERS: Final = 1000
_OF_A_POOL: Final = re.compile(rf"(~[0-9a-f]{{16}}|{re.escape(TASKS_SUFFIX)})?")
"""What may follow the pool's queue: a demand for labels, or the agent tasks'."""
_NORMAL_KINDS: Final = {0, 1}  # unspecified means normal


@dataclass(frozen=True, slots=True)
class Scope:
    """What a caller's requests are held against."""

    caller: Caller
    namespace: str
    tokens: TaskTokens
    messages: Messages


@dataclass(frozen=True, slots=True)
class Method:
    """One allowed call. ``seconds``: the longest it may take, and how long when the caller does not say."""

    request: Callable[[Scope, bytes], bytes]
    answer: Callable[[Scope, bytes], bytes] | None = None
    max_bytes: int = _SMALL
    seconds: float = 30.0
    holds: bool = False


def _nothing_to_check(_scope: Scope, content: bytes) -> bytes:
    return content


def _describe_namespace(scope: Scope, content: bytes) -> bytes:
    request = scope.messages.read("DescribeNamespaceRequest", content)
    if request.id or request.namespace != scope.namespace:
        raise denied(f"An agent may describe the namespace {scope.namespace} only, by its name.")
    return _bytes(request)


def _poll(scope: Scope, content: bytes) -> bytes:
    """Fields that are not in the view are dropped: they steer the queue for all who poll it (rate, versions)."""
    request = scope.messages.read("PollActivityTaskQueueRequest", content)
    request.DiscardUnknownFields()
    _own_namespace(scope, request)
    queue = request.task_queue
    _own_queue(scope, queue.name)
    if queue.kind not in _NORMAL_KINDS or queue.normal_name:
        raise denied("An agent polls ordinary task queues only, no sticky ones.")
    return _bytes(request)


def _bind(scope: Scope, content: bytes) -> bytes:
    answer = scope.messages.read("PollActivityTaskQueueResponse", content)
    if answer.task_token:  # none: nothing came in time
        answer.task_token = scope.tokens.bind(scope.caller.agent_id, answer.task_token)
    return _bytes(answer)


def _of_a_task(name: str, *, bare: bool = False) -> Callable[[Scope, bytes], bytes]:
    """``bare``: fields that are not in the view are dropped. Details, causes and the like would be read in the
    workflow's place, where one that cannot be read, or is nested too deep, stops the job for good.
    """

    def check(scope: Scope, content: bytes) -> bytes:
        request = scope.messages.read(name, content)
        if bare:
            request.DiscardUnknownFields()
        _own_namespace(scope, request)
        try:
            request.task_token = scope.tokens.unbind(scope.caller.agent_id, request.task_token)
        except NotYoursError:
            raise denied(
                f"This task token was not handed to {scope.caller.agent_id} by this gateway: an agent reports for its"
                " own tasks only. If the gateway's key was changed, the task runs again when its lease lapses."
            ) from None
        return _bytes(request)

    return check


_of_any_answer: Final = _of_a_task("RespondActivityTaskCompletedRequest")


def _answer(scope: Scope, content: bytes) -> bytes:
    """An attempt is answered with one payload that a workflow can read. With none or several, the SDK of its worker
    fails the workflow's task again and again, before any code of ours ("Not exactly one payload"). Whose answer it is
    is written beside it: what it says of that itself counts for nothing.
    """
    request = scope.messages.read("RespondActivityTaskCompletedRequest", _of_any_answer(scope, content))
    payloads = request.result.payloads
    encodings = [entry.value for payload in payloads for entry in payload.metadata if entry.key == "encoding"]
    if len(payloads) != 1 or len(encodings) != 1 or encodings[0] not in READABLE:
        raise malformed(
            "An attempt is answered with exactly one payload, a result as JSON, sealed or not; this answer has"
            f" {len(payloads)} payloads. The attempt goes to another agent when its lease lapses: look at this agent's"
            " version, and at who else has its token."
        )
    metadata = payloads[0].metadata
    others = [entry for entry in metadata if entry.key != HOLDER]
    del metadata[:]
    metadata.extend(others)
    metadata.add(key=HOLDER, value=scope.caller.agent_id.encode())
    return _bytes(request)


def _worker_heartbeat(scope: Scope, content: bytes) -> bytes:
    request = scope.messages.read("RecordWorkerHeartbeatRequest", content)
    _own_namespace(scope, request)
    if len(request.worker_heartbeat) > _MAX_WORKERS:
        raise malformed(f"A heartbeat may tell of {_MAX_WORKERS} workers at most.")
    for heartbeat in request.worker_heartbeat:
        _own_heartbeat(scope, heartbeat)
    return _bytes(request)


def _shutdown(scope: Scope, content: bytes) -> bytes:
    request = scope.messages.read("ShutdownWorkerRequest", content)
    _own_namespace(scope, request)
    if request.sticky_task_queue:
        raise denied("An agent runs activities only: it has no sticky task queue to give up.")
    if request.task_queue:
        _own_queue(scope, request.task_queue)
    if request.HasField("worker_heartbeat"):
        _own_heartbeat(scope, request.worker_heartbeat)
    return _bytes(request)


def _own_namespace(scope: Scope, request: Any) -> None:
    """Also says who is asking, whatever the request says."""
    if request.namespace and request.namespace != scope.namespace:
        raise denied(f"An agent works in the namespace {scope.namespace} only.")
    request.namespace = scope.namespace
    request.identity = scope.caller.agent_id


def _own_heartbeat(scope: Scope, heartbeat: Any) -> None:
    if heartbeat.task_queue:
        _own_queue(scope, heartbeat.task_queue)
    heartbeat.worker_identity = scope.caller.agent_id


def _own_queue(scope: Scope, queue: str) -> None:
    own = pool_queue(scope.caller.pool)
    # The form of what follows the pool's name too: an agent must not fill Temporal with queues of its invention.
    if not is_queue_of(scope.caller.pool, queue) or _OF_A_POOL.fullmatch(queue.removeprefix(own)) is None:
        raise denied(f"Agent {scope.caller.agent_id} works for the queues of {own} only, not for this one.")


def _bytes(message: Any) -> bytes:
    content: bytes = message.SerializeToString()
    return content


METHODS: Final[Mapping[str, Method]] = {
    SERVICE + name: method
    for name, method in {
        "GetSystemInfo": Method(_nothing_to_check),
        "DescribeNamespace": Method(_describe_namespace),
        "PollActivityTaskQueue": Method(_poll, _bind, seconds=70.0, holds=True),
        **{
            name: Method(_of_a_task(f"{name}Request", bare=True), max_bytes=MAX_MESSAGE_BYTES, seconds=60.0)
            for name in ("RespondActivityTaskFailed", "RespondActivityTaskCanceled", "RecordActivityTaskHeartbeat")
        },
        "RespondActivityTaskCompleted": Method(_answer, max_bytes=MAX_MESSAGE_BYTES, seconds=60.0),
        "RecordWorkerHeartbeat": Method(_worker_heartbeat, max_bytes=1 << 20),
        "ShutdownWorker": Method(_shutdown),
    }.items()
}
"""Full name → rule."""
