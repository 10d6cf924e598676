"""The one file that imports boto3: clients, the hop to a thread, and AWS's errors turned into ours by their code.

Deliberately not here: tables and requests (``table``, ``jobs``, and the S3 stores).
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, BinaryIO, Final, ParamSpec, TypeVar, cast

import boto3
import botocore.session
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.parsers import JSONParser, ResponseParserFactory

from activities.stores.settings import StoreSettings
from workflows.contracts.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = 16
_USER_AGENT: Final = "hybridci"
"""boto3 composes its own anew for every call, which is a tenth of a call's cost."""
_PATIENT_SECONDS: Final = 60
_PART_BYTES: Final = 8 * 1024 * 1024
_BUGS: Final = frozenset({"ValidationException", "SerializationException", "InvalidArgument", "MalformedXML"})
"""Codes that mean that a request of ours is malformed: they are raised as they are, since no later try can help."""
_MISSING: Final = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound", "ResourceNotFoundException"})
_EXISTS: Final = frozenset({"ResourceInUseException", "BucketAlreadyOwnedByYou"})
_CONFLICTS: Final = frozenset({"TransactionConflict", "TransactionConflictException", "TransactionInProgressException"})

_AS_THEY_ARE: Final = frozenset({"GetItemOutput", "QueryOutput", "BatchGetItemOutput"})
_BYTES: Final = (b'"B"', b'"BS"')
"""Where one of these stands, be it in a text, there may be bytes, which boto3 decodes."""
_OK: Final = 200

RequestWatcher = Callable[[str, str, str, float], None]
"""Told of each request, on any thread: service, operation, outcome (``ok``, ``refused``, ``failed``), seconds."""
_BEGAN: Final = "hybridci_began"


class ConditionFailed(Exception):
    """A request's condition did not hold: nothing was changed."""


class WriteConflict(Exception):
    """Another write to the same items was under way: nothing was changed, the same request can succeed at once."""


class Missing(Unavailable):
    """There is no such table, bucket or object. Unless it is caught, the stores are not set up."""


class Exists(Exception):
    """Somebody created the same table or bucket before."""


class AwsClients:
    """DynamoDB and S3 clients of one process, shared by all its stores (boto3's clients are thread-safe)."""

    def __init__(self, settings: StoreSettings) -> None:
        self.region = settings.aws_region
        self.dynamodb = _dynamodb_client(settings)
        self.settings = settings
        self.shared: dict[str, object] = {}
        """What all stores on these clients have in common, by whose it is."""
        # Two pools: a slow upload must not hold up the records.
        self._record_threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="dynamodb")
        self._object_threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")
        self._watcher: RequestWatcher | None = None

    @cached_property
    def patient_dynamodb(self) -> "DynamoDBClient":
        """For requests that read a whole table: the embedded server looks at all that is left before it answers."""
        return _dynamodb_client(self.settings, _PATIENT_SECONDS)

    @cached_property
    def s3(self) -> "S3Client":
        """Made when it is first used: its description of the service takes 11 MB, and an idle API needs none."""
        client = _s3_client(self.settings)
        if self._watcher is not None:
            _watch(client, "s3", self._watcher)
        return client

    def watch(self, watcher: RequestWatcher) -> None:
        """Tell it of each request from now on. Called once, before the first one."""
        self._watcher = watcher
        _watch(self.dynamodb, "dynamodb", watcher)

    async def call(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a DynamoDB call (or several, in a function) in a thread.

        Raises ConditionFailed, WriteConflict, Missing, Exists or Unavailable; a malformed request's error as it is.
        """
        return await _hop(self._record_threads, partial(method, *args, **kwargs))

    async def call_s3(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an S3 call in a thread. Raises Missing, Exists or Unavailable."""
        return await _hop(self._object_threads, partial(method, *args, **kwargs))

    async def upload(self, bucket: str, key: str, body: BinaryIO, metadata: dict[str, str]) -> None:
        """Store what ``body`` yields, in parts above 8 MiB: at most three of them are in memory. Raises as call_s3."""
        config = TransferConfig(
            multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, max_concurrency=2, io_chunksize=1 << 18
        )
        # s3transfer's own bound on parts in memory is 10; this is what the client's docstring above promises.
        config.max_in_memory_upload_chunks = 2
        extra = {"Metadata": metadata}
        await self.call_s3(self.s3.upload_fileobj, body, bucket, key, ExtraArgs=extra, Config=config)

    def close(self) -> None:
        """Wait for calls under way, then close the connections."""
        self._record_threads.shutdown()
        self._object_threads.shutdown()
        self.dynamodb.close()
        if "patient_dynamodb" in self.__dict__:
            self.patient_dynamodb.close()
        if "s3" in self.__dict__:
            self.s3.close()


def _watch(client: Any, service: str, watcher: RequestWatcher) -> None:
    """By botocore's own events. A request's context is its own, whichever thread it runs on."""

    def began(context: dict[str, Any], **_: object) -> None:
        context[_BEGAN] = time.perf_counter()

    def ended(model: Any, context: dict[str, Any], http_response: Any = None, **_: object) -> None:
        status = 0 if http_response is None else http_response.status_code
        # What a condition or a race refuses is part of the work; what the service cannot do is not.
        outcome = "ok" if 200 <= status < 300 else "refused" if 400 <= status < 500 else "failed"
        watcher(service, model.name, outcome, time.perf_counter() - context.get(_BEGAN, time.perf_counter()))

    def failed(context: dict[str, Any], **_: object) -> None:
        watcher(service, "any", "failed", time.perf_counter() - context.get(_BEGAN, time.perf_counter()))

    events = client.meta.events
    events.register(f"before-call.{service}", began)
    events.register(f"after-call.{service}", ended)
    events.register(f"after-call-error.{service}", failed)


async def _hop(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, work)
    except ClientError as error:
        raise _translated(error) from error
    except (BotoCoreError, HTTPClientError) as error:
        name = type(error).__name__
        raise Unavailable(
            f"AWS did not answer ({name}): {error}. Check its endpoint and credentials.", aws=name
        ) from error


def _translated(error: ClientError) -> Exception:
    code = str(error.response.get("Error", {}).get("Code", ""))
    codes = {code, *_cancellation_codes(error)}
    if codes & {"ConditionalCheckFailedException", "ConditionalCheckFailed"}:
        return ConditionFailed(code)
    if codes & _CONFLICTS:
        return WriteConflict(code)
    if codes & _EXISTS:
        return Exists(code)
    if codes & _MISSING:
        return Missing(
            f"{error.operation_name} was refused ({code}): the table or bucket does not exist. Start the control "
            "worker, which creates what is missing, or check the settings that name it.",
            aws=code,
        )
    if codes & _BUGS or "ValidationError" in codes:
        return error
    return Unavailable(f"{error.operation_name} was refused by AWS ({code}): {error}", aws=code)


def _cancellation_codes(error: ClientError) -> list[str]:
    """Why each action of a transaction was refused; ``None`` stands for an action that was not."""
    reasons = cast("list[dict[str, Any]]", error.response.get("CancellationReasons", []))
    return [str(reason.get("Code")) for reason in reasons]


def _dynamodb_client(settings: StoreSettings, seconds: float = 5) -> "DynamoDBClient":
    config = Config(
        region_name=settings.aws_region,
        connect_timeout=2,
        read_timeout=seconds,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=_THREADS,
        tcp_keepalive=True,
        # Types are checked by pyright; the check at run time is a tenth of a call's cost.
        parameter_validation=False,
        user_agent=_USER_AGENT,
    )
    session = _session(settings.dynamodb_endpoint_url)
    client: DynamoDBClient = session.client("dynamodb", endpoint_url=settings.dynamodb_endpoint_url, config=config)
    return client


def _s3_client(settings: StoreSettings) -> "S3Client":
    config = Config(
        region_name=settings.aws_region,
        connect_timeout=2,
        read_timeout=30,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=_THREADS + 4,
        tcp_keepalive=True,
        # Servers other than AWS have no host name per bucket, and some know nothing of the newer checksums.
        s3={"addressing_style": "path"} if settings.s3_endpoint_url else None,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = _session(settings.s3_endpoint_url)
    client: S3Client = session.client("s3", endpoint_url=settings.s3_endpoint_url, config=config)
    return client


def has_credentials() -> bool:
    """Whether boto finds any for AWS: an instance's metadata come last, which takes 2 s where there are none."""
    return botocore.session.get_session().get_credentials() is not None


def _session(endpoint_url: str | None) -> Any:
    """A session with boto3's own search for credentials. Untyped: its stubs name services that are not installed.

    At an endpoint of our own, the search stays on this machine (asking EC2's metadata service takes seconds where
    there is none) and ends with a placeholder, since the embedded servers check none.
    """
    core = botocore.session.get_session()
    core.register_component("response_parser_factory", PlainAnswersFactory())
    if endpoint_url is not None:
        providers = core.get_component("credential_provider")
        for remote in ("container-role", "iam-role"):
            providers.remove(remote)
        if core.get_credentials() is None:
            core.set_credentials("local", "local")
    return boto3.Session(botocore_session=core)


class PlainAnswers(JSONParser):
    """DynamoDB's answers as they come: their JSON is what boto3 makes of it, but for bytes and times.

    boto3 walks through every value of an answer by its description of the service, which takes twenty times as long as
    reading the JSON: 3 ms for a day's counters. Answers that can hold neither, and errors, are its own.
    """

    def parse(self, response: Mapping[str, Any], shape: Any) -> Any:
        """What the answer says, as boto3 says it."""
        body = response["body"]
        if (
            response["status_code"] != _OK
            or getattr(shape, "name", None) not in _AS_THEY_ARE
            or any(mark in body for mark in _BYTES)
        ):
            return super().parse(response, shape)
        try:
            found = json.loads(body)
        except ValueError:
            return super().parse(response, shape)
        headers = {name.lower(): value for name, value in response["headers"].items()}
        about = {"HTTPStatusCode": _OK, "HTTPHeaders": headers}
        if "x-amzn-requestid" in headers:
            about["RequestId"] = headers["x-amzn-requestid"]
        return {**{name: value for name, value in found.items() if value is not None}, "ResponseMetadata": about}


class PlainAnswersFactory(ResponseParserFactory):
    """Registered as the session's ``response_parser_factory``."""

    def create_parser(self, protocol_name: str) -> Any:
        """Of DynamoDB's protocol ours."""
        return PlainAnswers() if protocol_name == "json" else super().create_parser(protocol_name)
