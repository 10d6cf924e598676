"""Artifacts: streamed in with their digest, listed, and only ever handed out as downloads."""

import hashlib
import io
import os
import zipfile
from urllib.parse import quote

import pytest

from api.http import middleware
from tests.api.conftest import AGENT_TOKEN, Bench
from tests.api.live import serving
from tests.stores.test_artifacts import bundle
from workflows.contracts.statuses import JobStatus

JOBS = "/api/dashboard/jobs"
HOSTILE = 'dist/größe "x".html'


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def put(bench: Bench, job_id: str, path: str, data: bytes, sha256: str | None = None) -> int:
    answer = await bench.agent.put(
        f"/api/queue/jobs/{job_id}/attempts/1/artifacts/{quote(path)}",
        content=data,
        headers={"Content-SHA256": digest(data) if sha256 is None else sha256},
    )
    return answer.status_code


async def test_files_come_back_as_downloads(bench: Bench) -> None:
    job_id = await bench.submit()
    data = os.urandom(3_000_000)
    assert await put(bench, job_id, HOSTILE, data) == 204
    assert await put(bench, job_id, "dist/empty", b"") == 204
    listed = (await bench.admin.get(f"{JOBS}/{job_id}/artifacts")).json()
    assert listed == {
        "attempt": 1,
        "items": [
            {"path": "dist/empty", "size": 0, "sha256": digest(b"")},
            {"path": HOSTILE, "size": len(data), "sha256": digest(data)},
        ],
    }
    answer = await bench.admin.get(f"{JOBS}/{job_id}/artifacts/{quote(HOSTILE)}")
    assert answer.content == data
    assert answer.headers["content-type"] == "application/octet-stream"
    disposition = answer.headers["content-disposition"]
    assert disposition == "attachment; filename=\"gr__e__x_.html\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%20%22x%22.html"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert (await bench.admin.get(f"{JOBS}/{job_id}/artifacts/dist/other")).status_code == 404
    assert (await bench.admin.get(f"{JOBS}/{job_id}/artifacts?attempt=2")).status_code == 404
    empty = await bench.admin.get(f"{JOBS}/{job_id}/artifacts/dist/empty")
    assert (empty.status_code, empty.content, empty.headers["content-length"]) == (200, b"", "0")


@pytest.mark.parametrize("path", ["../x", "a/../b", "/etc/passwd", "a//b", "./a", "a\tb", "a\0b", "x" * 1000])
async def test_paths_stay_inside(bench: Bench, path: str) -> None:
    job_id = await bench.submit()
    answer = await bench.agent.put(
        f"/api/queue/jobs/{job_id}/attempts/1/artifacts/{quote(path, safe='')}",
        content=b"x",
        headers={"Content-SHA256": digest(b"x")},
    )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "path")


async def put_bundle(bench: Bench, job_id: str, body: bytes, sha256: str | None = None) -> tuple[int, str]:
    answer = await bench.agent.put(
        f"/api/queue/jobs/{job_id}/attempts/1/artifact-bundles",
        content=body,
        headers={"Content-SHA256": digest(body) if sha256 is None else sha256},
    )
    return answer.status_code, answer.text


async def test_a_bundles_files_are_downloads_like_others(bench: Bench) -> None:
    job_id = await bench.submit()
    files = {f"out/{number}.txt": os.urandom(number) for number in range(200)} | {HOSTILE: b"<script>"}
    assert await put_bundle(bench, job_id, bundle(files, ["out/7.txt"])) == (204, "")
    listed = (await bench.admin.get(f"{JOBS}/{job_id}/artifacts")).json()["items"]
    assert {item["path"]: (item["size"], item["sha256"]) for item in listed} == {
        path: (len(data), digest(data)) for path, data in files.items()
    }
    assert [item["path"] for item in listed if item.get("executable")] == ["out/7.txt"]
    for path in ("out/0.txt", "out/7.txt", HOSTILE):
        answer = await bench.admin.get(f"{JOBS}/{job_id}/artifacts/{quote(path)}")
        assert (answer.status_code, answer.content) == (200, files[path])
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers.get("artifact-executable") == ("true" if path == "out/7.txt" else None)


async def test_a_bundle_is_taken_whole_or_not_at_all(bench: Bench) -> None:
    job_id = await bench.submit()
    good = {"a": b"a", "b": b"b"}
    damaged = bytearray(bundle(good))
    damaged[damaged.index(b"a", 30 + 1)] ^= 1
    compressed = io.BytesIO()
    with zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"a" * 1000)
    with zipfile.ZipFile(without := io.BytesIO(), "w") as archive:
        archive.writestr("a", b"a")
    for body in (
        b"", b"no zip", bytes(damaged), bundle(good)[:-30], compressed.getvalue(), without.getvalue(),
        bundle({"../a": b"a"}), bundle({"/a": b"a"}), bundle({"a/": b""}), bundle({"x" * 901: b"a"}),
        bundle({str(number): b"" for number in range(1001)}),
    ):  # fmt: skip
        status, said = await put_bundle(bench, job_id, body)
        assert (status, "errors" in said) == (422, True), said
    assert (await put_bundle(bench, job_id, bundle(good), "0" * 64))[0] == 422
    assert (await put_bundle(bench, job_id, b"x" * ((16 << 20) + 1)))[0] == 413
    assert (await bench.admin.get(f"{JOBS}/{job_id}/artifacts")).json()["items"] == []


def overlapping(size: int) -> bytes:
    """Two files that share ``size`` bytes: the second begins within the first."""
    data, made = b"x" * size, io.BytesIO()
    with zipfile.ZipFile(inner := io.BytesIO(), "w") as archive:
        archive.writestr("b", data)
        second = archive.getinfo("b")
    shared = inner.getvalue()[: 30 + 1 + size]
    with zipfile.ZipFile(made, "w") as archive:
        first = zipfile.ZipInfo("a")
        first.comment, second.comment = digest(shared).encode(), digest(data).encode()
        archive.writestr(first, shared)
        second.header_offset = 30 + 1
        archive.filelist.append(second)
    return made.getvalue()


async def test_files_of_a_bundle_do_not_share_their_bytes_without_end(bench: Bench) -> None:
    job_id = await bench.submit()
    body = overlapping(9 << 20)
    assert len(body) < 10 << 20
    status, said = await put_bundle(bench, job_id, body)
    assert (status, "bytes together" in said) == (422, True), said


@pytest.mark.parametrize("offset", [1 << 33, 1 << 63, (1 << 64) - 1])
async def test_a_file_that_begins_where_no_body_reaches_is_refused(bench: Bench, offset: int) -> None:
    """A zip can say any number of 64 bits."""
    with zipfile.ZipFile(made := io.BytesIO(), "w") as archive:
        archive.writestr("a", b"a")
        archive.getinfo("a").header_offset = offset
    job_id = await bench.submit()
    status, said = await put_bundle(bench, job_id, made.getvalue())
    assert (status, "is no zip that can be read" in said) == (422, True), said


async def test_no_bundle_comes_after_the_attempts_end(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.SUCCESS)
    assert (await put_bundle(bench, job_id, bundle({"a": b"a"})))[0] == 409


@pytest.mark.parametrize("sha256", ["0" * 64, "x", "", "A" * 64])
async def test_the_digest_must_be_the_bodys(bench: Bench, sha256: str) -> None:
    job_id = await bench.submit()
    assert await put(bench, job_id, "a.bin", b"data", sha256) == 422
    assert (await bench.admin.get(f"{JOBS}/{job_id}/artifacts")).json()["items"] == []


async def test_an_ended_attempts_files_cannot_be_replaced(bench: Bench) -> None:
    """Its record names their sizes: a download would break off."""
    job_id = await bench.submit()
    await bench.start(job_id)
    assert await put(bench, job_id, "a.bin", b"data") == 204
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.SUCCESS)
    assert await put(bench, job_id, "a.bin", b"other data") == 409
    assert (await bench.admin.get(f"{JOBS}/{job_id}/artifacts/a.bin")).content == b"data"


async def test_the_length_must_be_declared_and_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await bench.submit()

    async def parts():
        yield b"data"

    path = f"/api/queue/jobs/{job_id}/attempts/1/artifacts/a.bin"
    answer = await bench.agent.put(path, content=parts(), headers={"Content-SHA256": digest(b"data")})
    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")
    monkeypatch.setattr(middleware, "MAX_ARTIFACT_BYTES", 3)
    assert await put(bench, job_id, "a.bin", b"data") == 413


async def test_a_chunk_of_a_log_is_at_most_1_mib(bench: Bench) -> None:
    job_id = await bench.submit()
    path = f"/api/queue/jobs/{job_id}/attempts/1/log/0"
    assert (await bench.agent.put(path, content=b"x" * (1 << 20))).status_code == 204
    assert (await bench.agent.put(path, content=b"x" * ((1 << 20) + 1))).status_code == 413


async def test_an_upload_over_http_reaches_the_store(bench: Bench) -> None:
    job_id = await bench.submit()
    data = os.urandom(5_000_000)
    async with serving(bench.app) as client:
        path = f"/api/queue/jobs/{job_id}/attempts/1/artifacts/big.bin"
        headers = {"Content-SHA256": digest(data), "Authorization": f"Bearer {AGENT_TOKEN}"}
        answer = await client.put(path, content=data, headers=headers)
        assert answer.status_code == 204
        read = await client.get(f"{JOBS}/{job_id}/artifacts/big.bin")
        assert read.content == data


async def test_all_files_come_as_one_archive_that_unpacks_inside(bench: Bench) -> None:
    job_id = await bench.submit()
    files = {
        "dist/app.tar": os.urandom(700_000),
        "dist/empty": b"",
        HOSTILE: b"<script>",
        "..\\..\\up.txt": b"1",
        "C:x": b"2",
    }
    for path, data in files.items():
        assert await put(bench, job_id, path, data) == 204
    answer = await bench.admin.get(f"{JOBS}/{job_id}/artifacts.zip")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="job-{job_id[:8]}-attempt-1.zip"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = dict(zip(sorted(files), archive.namelist(), strict=True))
        assert {path: archive.read(names[path]) for path in files} == files
    assert names["..\\..\\up.txt"] == ".._.._up.txt"
    assert names["C:x"] == "C_x"
    assert names[HOSTILE] == "dist/größe _x_.html"


async def test_what_could_be_run_can_be_run_from_the_archive_too(bench: Bench) -> None:
    job_id = await bench.submit()
    assert await put_bundle(bench, job_id, bundle({"run.sh": b"1", "text": b"2"}, ["run.sh"])) == (204, "")
    answer = await bench.admin.get(f"{JOBS}/{job_id}/artifacts.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
    assert modes == {"run.sh": 0o755, "text": 0o644}


async def test_there_is_no_archive_of_nothing(bench: Bench) -> None:
    job_id = await bench.submit()
    assert (await bench.admin.get(f"{JOBS}/{job_id}/artifacts.zip")).status_code == 404
    assert (await bench.admin.get(f"{JOBS}/{job_id}/artifacts.zip?attempt=2")).status_code == 404
