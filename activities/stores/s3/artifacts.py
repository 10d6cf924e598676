"""ArtifactStore on S3: one object per file, ``artifacts/<job>/<attempt>/<path>``, its digest as object metadata; small
files that came together are in ``bundles``.

The bucket's creation is here too; logs share the bucket.
"""

import asyncio
import builtins
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from activities.stores.bundles import BundledFile
from activities.stores.dynamo.client import AwsClients, Exists, Missing
from activities.stores.interfaces.amounts import Amount
from activities.stores.paths import can_be_kept, check_artifact_path
from activities.stores.s3.bundles import S3Bundles
from activities.stores.s3.prefixes import ARTIFACTS, amount_under, remove_under
from activities.stores.s3.reading import pieces_of
from workflows.contracts.errors import Unavailable
from workflows.contracts.jobs import ArtifactRef

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CreateBucketRequestTypeDef

logger = logging.getLogger(__name__)

_HEADS: Final = 8
"""How many objects of a list are looked at at the same time."""
_EXECUTABLE: Final = "executable"
"""Metadata of an object whose file its owner may run."""
_DEFAULT_REGION: Final = "us-east-1"
_UPLOAD_DAYS: Final = 7


class S3ArtifactStore:
    """ArtifactStore in one bucket."""

    def __init__(self, clients: AwsClients, bucket: str) -> None:
        self._clients, self._bucket = clients, bucket
        self._bundles = S3Bundles(clients, bucket)

    async def put(
        self, job_id: str, attempt: int, path: str, body: BinaryIO, *, sha256: str, executable: bool = False
    ) -> ArtifactRef:
        """See ArtifactStore. Raises ValidationFailed for a path that cannot be kept."""
        check_artifact_path(path)
        key = _prefix(job_id, attempt) + path
        metadata = {"sha256": sha256, **({_EXECUTABLE: "1"} if executable else {})}
        await self._clients.upload(self._bucket, key, body, metadata)
        ref = await self._ref(_prefix(job_id, attempt), path)
        if ref is None:
            raise Unavailable(f"The artifact {key} was removed while it was stored; send it again.", key=key)
        return ref

    async def put_bundle(
        self, job_id: str, attempt: int, body: BinaryIO, files: builtins.list[BundledFile], *, sha256: str
    ) -> None:
        """See ArtifactStore."""
        await self._bundles.keep(job_id, attempt, body, files, sha256=sha256)

    async def list(self, job_id: str, attempt: int) -> builtins.list[ArtifactRef]:
        """See ArtifactStore. One request per file that was put alone, since S3's listing leaves metadata out."""
        bundled = await self._bundles.files(job_id, attempt)
        alone = [ref for ref in await self._alone(job_id, attempt) if ref.path not in bundled]
        return sorted([*alone, *(each.file.ref for each in bundled.values())], key=lambda ref: ref.path)

    async def _alone(self, job_id: str, attempt: int) -> builtins.list[ArtifactRef]:
        prefix, after = _prefix(job_id, attempt), ""
        refs: builtins.list[ArtifactRef] = []
        slots = asyncio.Semaphore(_HEADS)

        async def look(path: str) -> ArtifactRef | None:
            async with slots:
                return await self._ref(prefix, path)

        while True:
            page = await self._clients.call_s3(
                self._clients.s3.list_objects_v2, Bucket=self._bucket, Prefix=prefix, StartAfter=after or prefix
            )
            keys = [entry.get("Key", "") for entry in page.get("Contents", [])]
            found = await asyncio.gather(*(look(key[len(prefix) :]) for key in keys))
            refs += [ref for ref in found if ref is not None]
            if not page.get("IsTruncated") or not keys:
                return refs
            after = keys[-1]

    async def find(self, job_id: str, attempt: int, path: str) -> ArtifactRef | None:
        """See ArtifactStore."""
        if not can_be_kept(path):
            return None
        bundled = await self._bundles.find(job_id, attempt, path)
        return await self._ref(_prefix(job_id, attempt), path) if bundled is None else bundled.file.ref

    async def open(self, job_id: str, attempt: int, path: str) -> AsyncIterator[bytes]:
        """See ArtifactStore."""
        bundled = await self._bundles.find(job_id, attempt, path)
        absent = f"Attempt {attempt} of job {job_id} left no artifact {path!r}; list them to see which it left."
        if bundled is None:
            key, part = _prefix(job_id, attempt) + path, None
        elif bundled.file.ref.size:
            key, part = bundled.key, (bundled.file.offset, bundled.file.ref.size)
        else:
            return
        async with aclosing(pieces_of(self._clients, self._bucket, key, absent, part)) as pieces:
            async for piece in pieces:
                yield piece

    async def stored(self, job_id: str) -> Amount:
        """See ArtifactStore."""
        return await amount_under(self._clients, self._bucket, f"{ARTIFACTS}{job_id}/")

    async def remove(self, job_id: str) -> Amount:
        """See ArtifactStore."""
        self._bundles.forget(job_id)
        return await remove_under(self._clients, self._bucket, f"{ARTIFACTS}{job_id}/")

    async def _ref(self, prefix: str, path: str) -> ArtifactRef | None:
        try:
            head = await self._clients.call_s3(self._clients.s3.head_object, Bucket=self._bucket, Key=prefix + path)
        except Missing:
            return None
        said = head["Metadata"]
        return ArtifactRef(
            path=path, size=head["ContentLength"], sha256=said.get("sha256", ""), executable=_EXECUTABLE in said
        )


async def create_bucket(clients: AwsClients, bucket: str) -> None:
    """Create the bucket unless it is there. Repeatable, also at the same time. Raises Unavailable."""
    try:
        await clients.call_s3(clients.s3.head_bucket, Bucket=bucket)
    except Missing:
        request: CreateBucketRequestTypeDef = {"Bucket": bucket}
        if clients.region != _DEFAULT_REGION:
            request["CreateBucketConfiguration"] = {"LocationConstraint": clients.region}  # type: ignore[typeddict-item]
        try:
            await clients.call_s3(clients.s3.create_bucket, **request)
        except Exists:
            return  # another process was faster
        await _end_uploads(clients, bucket)


async def _end_uploads(clients: AwsClients, bucket: str) -> None:
    """Of an upload in parts whose process died, the parts go by themselves, where the server knows such rules."""
    rule = {
        "ID": "abandoned-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _UPLOAD_DAYS},
    }
    configuration: Any = {"Rules": [rule]}
    try:
        await clients.call_s3(
            clients.s3.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration=configuration
        )
    except Exception as error:
        logger.warning("uploads that nobody ends stay in the bucket", extra={"bucket": bucket, "because": str(error)})


def _prefix(job_id: str, attempt: int) -> str:
    return f"artifacts/{job_id}/{attempt:04d}/"
