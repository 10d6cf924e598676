"""The contract of ArtifactStore."""

import hashlib
import io
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from typing import BinaryIO, cast

import pytest

from activities.stores.bundles import read_bundle
from activities.stores.dynamo.client import AwsClients
from activities.stores.interfaces.artifacts import ArtifactStore
from activities.stores.s3.artifacts import S3ArtifactStore
from workflows.contracts.errors import NotFound, ValidationFailed
from workflows.contracts.ids import new_job_id

PATHS = ["dist/shop.whl", "größe/naïve 🚀 + &?#%.txt", "a", "a.b/c", "x" * 255, "dots/...hidden", "space /end "]


class Endless:
    """A file of a given size that is nowhere: reading makes its bytes. It cannot be sought in, as a request's body."""

    def __init__(self, size: int) -> None:
        self.left, self.digest = size, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        count = self.left if size < 0 else min(size, self.left)
        piece = bytes([count % 251]) * count
        self.left -= count
        self.digest.update(piece)
        return piece


async def put(artifacts: ArtifactStore, job_id: str, path: str, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    ref = await artifacts.put(job_id, 1, path, io.BytesIO(content), sha256=digest)
    assert (ref.path, ref.size, ref.sha256) == (path, len(content), digest)


async def content(artifacts: ArtifactStore, job_id: str, path: str) -> bytes:
    return b"".join([piece async for piece in artifacts.open(job_id, 1, path)])


async def test_what_was_put_is_listed_by_path_and_read(artifacts: ArtifactStore) -> None:
    job_id = new_job_id()
    for path in PATHS:
        await put(artifacts, job_id, path, path.encode() * 3)
    await artifacts.put(job_id, 2, "another attempt", io.BytesIO(b""), sha256="")
    refs = await artifacts.list(job_id, 1)
    assert [ref.path for ref in refs] == sorted(PATHS)
    assert [await artifacts.find(job_id, 1, ref.path) for ref in refs] == refs
    for path in ("another attempt", "b", "", "../1/a", "a\0", "\ud800", "x" * 2000):
        assert await artifacts.find(job_id, 1, path) is None
    assert {ref.path: ref.sha256 for ref in refs} == {
        path: hashlib.sha256(path.encode() * 3).hexdigest() for path in PATHS
    }
    for path in PATHS:
        assert await content(artifacts, job_id, path) == path.encode() * 3


async def test_a_repeated_put_replaces(artifacts: ArtifactStore) -> None:
    job_id = new_job_id()
    await put(artifacts, job_id, "report.html", b"old")
    await put(artifacts, job_id, "report.html", b"newer")
    assert [ref.size for ref in await artifacts.list(job_id, 1)] == [5]
    assert await content(artifacts, job_id, "report.html") == b"newer"


async def test_an_empty_file_is_a_file(artifacts: ArtifactStore) -> None:
    job_id = new_job_id()
    await put(artifacts, job_id, "empty", b"")
    assert await content(artifacts, job_id, "empty") == b""


async def test_what_is_not_there(artifacts: ArtifactStore) -> None:
    job_id = new_job_id()
    assert await artifacts.list(job_id, 1) == []
    with pytest.raises(NotFound):
        await content(artifacts, job_id, "nothing")


async def test_a_path_that_cannot_be_kept_is_refused(artifacts: ArtifactStore) -> None:
    for path in ("", "/etc", "../up", "a/../b", "a//b", "a/", "./a", "a\nb", "\ud800", "ü" * 451):
        with pytest.raises(ValidationFailed) as refused:
            await artifacts.put(new_job_id(), 1, path, io.BytesIO(b"x"), sha256="")
        assert [bad.field for bad in refused.value.errors] == ["path"]


def bundle(files: dict[str, bytes], executable: Sequence[str] = ()) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path)
            entry.comment = hashlib.sha256(data).hexdigest().encode()
            entry.external_attr = (0o100755 if path in executable else 0o100644) << 16
            archive.writestr(entry, data)
    return body.getvalue()


async def put_bundle(artifacts: ArtifactStore, job_id: str, body: bytes) -> None:
    found = read_bundle(io.BytesIO(body))
    await artifacts.put_bundle(job_id, 1, io.BytesIO(body), found, sha256=hashlib.sha256(body).hexdigest())


async def test_the_files_of_a_bundle_are_artifacts_like_others(artifacts: ArtifactStore) -> None:
    job_id, files = new_job_id(), {path: path.encode() * 3 for path in PATHS} | {"empty": b""}
    await put(artifacts, job_id, "alone", b"alone")
    await put_bundle(artifacts, job_id, bundle(files, ["a"]))
    refs = await artifacts.list(job_id, 1)
    assert [ref.path for ref in refs] == sorted([*files, "alone"])
    assert [ref.path for ref in refs if ref.executable] == ["a"]
    assert [await artifacts.find(job_id, 1, ref.path) for ref in refs] == refs
    assert (await artifacts.find(job_id, 1, "nothing"), await artifacts.find(job_id, 2, "a")) == (None, None)
    for path, data in files.items():
        assert await content(artifacts, job_id, path) == data
    assert await content(artifacts, job_id, "alone") == b"alone"
    with pytest.raises(NotFound):
        await content(artifacts, job_id, "nothing")
    await put_bundle(artifacts, job_id, bundle({"late": b"late"}))
    assert await content(artifacts, job_id, "late") == b"late"
    assert (await artifacts.stored(job_id)).objects >= 2
    await artifacts.remove(job_id)
    assert await artifacts.find(job_id, 1, "late") is None
    assert await artifacts.list(job_id, 1) == []


async def test_a_bundle_that_comes_again_changes_nothing(artifacts: ArtifactStore) -> None:
    job_id, body = new_job_id(), bundle({"a": b"a", "b": b"b"})
    await put_bundle(artifacts, job_id, body)
    before = await artifacts.stored(job_id)
    await put_bundle(artifacts, job_id, body)
    assert await artifacts.stored(job_id) == before
    assert len(await artifacts.list(job_id, 1)) == 2


async def test_a_bundle_whose_list_was_never_written_is_not_there(
    clients_of: Callable[[str], AwsClients], bucket: str
) -> None:
    """Killed between the two: no half bundle."""
    clients, job_id, body = clients_of("aws_endpoint"), new_job_id(), bundle({"a": b"a"})
    key = f"artifacts/{job_id}/0001.bundles/{hashlib.sha256(body).hexdigest()}.zip"
    await clients.call_s3(clients.s3.put_object, Bucket=bucket, Key=key, Body=body)
    artifacts = S3ArtifactStore(clients, bucket)
    assert (await artifacts.list(job_id, 1), await artifacts.find(job_id, 1, "a")) == ([], None)


async def test_mode_of_a_file_alone(artifacts: ArtifactStore) -> None:
    job_id = new_job_id()
    ref = await artifacts.put(job_id, 1, "run.sh", io.BytesIO(b"x"), sha256="", executable=True)
    assert ref.executable
    assert [each.executable for each in await artifacts.list(job_id, 1)] == [True]


async def test_20_megabytes_stream_both_ways(artifacts: ArtifactStore) -> None:
    job_id, body, size = new_job_id(), Endless(20_000_000), 20_000_000
    ref = await artifacts.put(job_id, 1, "image.tar", cast("BinaryIO", body), sha256="0" * 64)
    assert ref.size == size
    digest = hashlib.sha256()
    async for piece in artifacts.open(job_id, 1, "image.tar"):
        assert len(piece) <= 1 << 20
        digest.update(piece)
    assert digest.hexdigest() == body.digest.hexdigest()


async def test_an_upload_keeps_few_parts_in_memory(clients_of: Callable[[str], AwsClients], bucket: str) -> None:
    artifacts = S3ArtifactStore(clients_of("aws_endpoint"), bucket)
    tracemalloc.start()
    await artifacts.put(new_job_id(), 1, "large", cast("BinaryIO", Endless(80_000_000)), sha256="")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48 << 20
