"""What the gateway reads and writes of Temporal's messages: views with the few fields that decide who may do what.

A view has the numbers of the real message's fields (a test compares them); whatever else a message holds, of today or
of a later version, protobuf keeps and passes on untouched. Temporal's generated classes would do the same for 18 MB.
Deliberately not here: the rules (``methods``).
"""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from api.gateway.refusals import malformed

_Field = descriptor_pb2.FieldDescriptorProto
_TEXT: Final = _Field.TYPE_STRING
_BYTES: Final = _Field.TYPE_BYTES
_NUMBER: Final = _Field.TYPE_INT32
_TRUTH: Final = _Field.TYPE_BOOL

VIEWS: Final[Mapping[str, Mapping[str, tuple[int, Any]]]] = {
    "TaskQueue": {"name": (1, _TEXT), "kind": (2, _NUMBER), "normal_name": (3, _TEXT)},
    "WorkerHeartbeat": {"worker_identity": (2, _TEXT), "task_queue": (4, _TEXT)},
    "ApplicationFailureInfo": {"type": (1, _TEXT), "non_retryable": (2, _TRUTH)},
    "MetadataEntry": {"key": (1, _TEXT), "value": (2, _BYTES)},
    "Payload": {"metadata": (1, ["MetadataEntry"]), "data": (2, _BYTES)},
    "Failure": {"message": (1, _TEXT), "application_failure_info": (5, "ApplicationFailureInfo")},
    "DescribeNamespaceRequest": {"namespace": (1, _TEXT), "id": (2, _TEXT)},
    "PollActivityTaskQueueRequest": {
        "namespace": (1, _TEXT),
        "task_queue": (2, "TaskQueue"),
        "identity": (3, _TEXT),
        "worker_instance_key": (8, _TEXT),
        "poller_group_id": (10, _TEXT),
    },
    "PollActivityTaskQueueResponse": {"task_token": (1, _BYTES)},
    "Payloads": {"payloads": (1, ["Payload"])},
    "RespondActivityTaskCompletedRequest": {
        "task_token": (1, _BYTES),
        "result": (2, "Payloads"),
        "identity": (3, _TEXT),
        "namespace": (4, _TEXT),
    },
    "RespondActivityTaskFailedRequest": {
        "task_token": (1, _BYTES),
        "failure": (2, "Failure"),
        "identity": (3, _TEXT),
        "namespace": (4, _TEXT),
    },
    "RespondActivityTaskCanceledRequest": {"task_token": (1, _BYTES), "identity": (3, _TEXT), "namespace": (4, _TEXT)},
    "RecordActivityTaskHeartbeatRequest": {"task_token": (1, _BYTES), "identity": (3, _TEXT), "namespace": (4, _TEXT)},
    "RecordWorkerHeartbeatRequest": {
        "namespace": (1, _TEXT),
        "identity": (2, _TEXT),
        "worker_heartbeat": (3, ["WorkerHeartbeat"]),
    },
    "ShutdownWorkerRequest": {
        "namespace": (1, _TEXT),
        "sticky_task_queue": (2, _TEXT),
        "identity": (3, _TEXT),
        "worker_heartbeat": (5, "WorkerHeartbeat"),
        "task_queue": (7, _TEXT),
    },
}
"""Message → field → (number, type); a name is another view, a list of one is repeated."""


class Messages:
    """Reads the bytes of the messages above."""

    def __init__(self) -> None:
        file = descriptor_pb2.FileDescriptorProto(name="gateway.proto", package="gateway", syntax="proto3")
        for name, fields in VIEWS.items():
            view = file.message_type.add(name=name)
            for field, (number, kind) in fields.items():
                view.field.add(name=field, number=number, **_declared(kind))
        pool = DescriptorPool()
        pool.Add(file)
        self._classes = {
            name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"gateway.{name}")) for name in VIEWS
        }

    def read(self, name: str, content: bytes) -> Any:
        """The message. Raises Refused for bytes that are none."""
        try:
            return self._classes[name].FromString(content)
        except DecodeError as error:
            raise malformed(f"The request is no {name}: use Temporal's own SDK.") from error


def _declared(kind: Any) -> dict[str, Any]:
    if isinstance(kind, list):
        return {**_declared(kind[0]), "label": _Field.LABEL_REPEATED}
    if isinstance(kind, str):
        return {"type": _Field.TYPE_MESSAGE, "type_name": f".gateway.{kind}", "label": _Field.LABEL_OPTIONAL}
    return {"type": kind, "label": _Field.LABEL_OPTIONAL}
