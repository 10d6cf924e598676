"""Spool and shipper against a real HTTP server: order, resending, limits, leftovers."""

import asyncio
import errno
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from shutil import rmtree

import pytest

from agent.control.api import ControlPlane
from agent.logs.sender import LogOrigin, LogShipper, UnsentLog
from agent.logs.spool import LOST_MARKER, LogSpool
from tests.control_plane_server import KEY, ControlPlaneServer
from workflows.contracts.attempts import MAX_CHUNK_BYTES
from workflows.contracts.ids import new_job_id


@pytest.fixture
async def server() -> AsyncIterator[ControlPlaneServer]:
    async with ControlPlaneServer() as server:
        yield server


@pytest.fixture
async def plane(server: ControlPlaneServer) -> AsyncIterator[ControlPlane]:
    async with ControlPlane(server.url, KEY, connections=8) as plane:
        yield plane


@pytest.fixture
def shipper(plane: ControlPlane) -> LogShipper:
    return LogShipper(plane)


@pytest.fixture
def origin() -> LogOrigin:
    return LogOrigin(new_job_id(), 1)


async def eventually(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert condition(), what


async def test_a_short_log_is_one_request(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path
) -> None:
    spool = LogSpool.create(tmp_path)
    sending = shipper.ship(origin, spool)
    spool.write(b"hello ")
    await asyncio.sleep(0.02)
    spool.write(b"world\n")
    spool.finish()
    await sending
    stored = server.log(origin.job_id)
    assert (stored.data, stored.final, stored.requests) == (b"hello world\n", True, 1)


async def test_an_empty_log_is_finished_too(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path
) -> None:
    spool = LogSpool.create(tmp_path)
    spool.finish()
    await shipper.ship(origin, spool)
    assert server.log(origin.job_id).final
    assert server.log(origin.job_id).data == b""


async def test_new_bytes_leave_soon_and_binary_bytes_stay_as_they_are(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path
) -> None:
    spool = LogSpool.create(tmp_path)
    sending = shipper.ship(origin, spool)
    everything = bytes(range(256))
    loop = asyncio.get_running_loop()
    behind, count = 1.0, 0
    while behind >= 0.75 and count < 20:  # a busy machine is late now and then
        began, count = loop.time(), count + 1
        spool.write(everything)
        await eventually(lambda count=count: len(server.log(origin.job_id).data) == 256 * count, "bytes arrive")
        behind = loop.time() - began
    assert behind < 0.75, "live follow must be less than a second behind"
    spool.finish()
    await sending
    assert server.log(origin.job_id).data == everything * count


async def test_a_big_log_goes_in_chunks_of_one_mebibyte(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path
) -> None:
    spool = LogSpool.create(tmp_path)
    data = os.urandom(3 * MAX_CHUNK_BYTES + 5)
    for start in range(0, len(data), 50_000):
        spool.write(data[start : start + 50_000])
    spool.finish()
    await shipper.ship(origin, spool)
    stored = server.log(origin.job_id)
    assert stored.data == data
    assert [len(stored.chunks[offset]) for offset in sorted(stored.chunks)] == [MAX_CHUNK_BYTES] * 3 + [5]


async def test_nothing_is_lost_or_doubled_while_the_api_is_down(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path
) -> None:
    spool = LogSpool.create(tmp_path)
    sending = shipper.ship(origin, spool)
    written = b""

    async def write(count: int) -> bytes:
        lines = b""
        for number in range(count):
            line = b"line %d\n" % number
            spool.write(line)
            lines += line
            await asyncio.sleep(0.002)
        return lines

    written += await write(100)
    await eventually(lambda: server.log(origin.job_id).requests > 0, "the first chunk")
    await server.down()
    written += await write(150)
    server.keep_but_fail = 2  # the answers to chunks that were kept get lost
    await server.up()
    written += await write(100)
    spool.finish()
    await asyncio.wait_for(sending, 60)
    assert server.log(origin.job_id).data == written


async def test_a_refused_log_is_given_up_and_output_still_drains(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = 404
    spool = LogSpool.create(tmp_path)
    spool.write(b"x")
    await asyncio.wait_for(shipper.ship(origin, spool), 60)
    spool.write(b"y")
    spool.finish()
    assert len(server.requests) == 1
    assert [record.levelname for record in caplog.records if "given up" in record.message] == ["ERROR"]


async def test_the_limit_is_marked_and_the_rest_is_counted(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path
) -> None:
    spool = LogSpool.create(tmp_path, max_bytes=1000)
    spool.write(b"a" * 990)
    spool.write(b"b" * 30)
    spool.write(b"c" * 500)
    spool.finish()
    await shipper.ship(origin, spool)
    assert server.log(origin.job_id).data.decode() == (
        "a" * 990 + "b" * 10 + "\n[hybridci] The log reached its limit of 1000 bytes: what follows is dropped.\n"
        "[hybridci] 520 bytes of output were dropped.\n"
    )


async def test_marks_say_when_bytes_were_read_and_survive_the_cut(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path
) -> None:
    clock = 1_000_000
    spool = LogSpool.create(tmp_path, now_ms=lambda: clock)
    expected: list[tuple[int, int]] = []
    for number in range(1200):
        if number % 2 == 0:
            expected.append((number * 10, clock))
        spool.write(b"123456789\n")
        clock += 5
    spool.finish()
    await shipper.ship(origin, spool)
    stored = server.log(origin.job_id)
    assert stored.data == b"123456789\n" * 1200
    assert stored.marks == expected
    assert len(stored.chunks) == 2, "500 marks a chunk"


async def test_every_chunk_has_a_mark_at_its_beginning(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path
) -> None:
    spool = LogSpool.create(tmp_path, now_ms=lambda: 77_000)
    spool.write(b"x" * (2 * MAX_CHUNK_BYTES + 1))
    spool.finish()
    await shipper.ship(origin, spool)
    assert server.log(origin.job_id).marks == [(0, 77_000), (MAX_CHUNK_BYTES, 77_000), (2 * MAX_CHUNK_BYTES, 77_000)]


def leftover(origin: LogOrigin, folder: Path, sent: list[LogOrigin]) -> UnsentLog:
    async def done() -> None:
        sent.append(origin)

    return UnsentLog(origin, folder, done)


async def killed(shipper: LogShipper, sending: Awaitable[None]) -> None:
    """The agent dies: nothing more is sent."""
    assert await shipper.drain(0) == 1
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_a_dead_agents_log_is_finished_and_sent_with_its_cuts(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path
) -> None:
    spool = LogSpool.create(tmp_path)
    sending = shipper.ship(origin, spool)
    spool.write(b"one\n")
    await eventually(lambda: server.log(origin.job_id).requests == 1, "the first chunk")
    server.keep_but_fail = 1
    spool.write(b"two")
    await eventually(lambda: server.log(origin.job_id).requests == 2, "the second chunk")
    spool.write(b" three")
    await killed(shipper, sending)
    sent: list[LogOrigin] = []
    await shipper.ship_leftovers([leftover(origin, tmp_path, sent)])
    stored = server.log(origin.job_id)
    assert stored.data == b"one\ntwo three\n" + LOST_MARKER.encode() + b"\n"
    assert stored.final
    assert sent == [origin]


async def test_a_finished_log_that_was_not_sent_is_sent_unchanged(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path
) -> None:
    await server.down()
    spool = LogSpool.create(tmp_path)
    sending = shipper.ship(origin, spool)
    spool.write(b"all of it\n")
    spool.finish()
    await killed(shipper, sending)
    await server.up()
    sent: list[LogOrigin] = []
    other = LogOrigin(new_job_id(), 2)
    (tmp_path / "empty").mkdir()
    await shipper.ship_leftovers([leftover(origin, tmp_path, sent), leftover(other, tmp_path / "empty", sent)])
    assert server.log(origin.job_id).data == b"all of it\n"
    assert sent == [origin, other], "a folder without a log is done with at once"


async def test_a_full_disk_is_told_once_and_what_was_stored_is_sent(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path
) -> None:
    spool = LogSpool.create(tmp_path, now_ms=lambda: 1_000)  # one mark only: the second would meet the limit first
    sending = shipper.ship(origin, spool)
    spool.write(b"before\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))  # the kernel refuses to let files grow, as a full disk does
    try:
        with pytest.raises(OSError, match="File too large"):
            spool.write(b"x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    spool.write(b"dropped")
    spool.finish()
    await sending
    assert server.log(origin.job_id).data.decode().splitlines() == [
        "before",
        "x" * 9,
        "[hybridci] The log was cut off at byte 16: the agent's disk did not take what came next (File too large).",
        "[hybridci] 98 bytes of output were dropped.",
    ]


async def test_the_digest_of_what_is_kept_is_that_of_what_arrives(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path
) -> None:
    spool = LogSpool.create(tmp_path, max_bytes=3 << 20)
    sending = shipper.ship(origin, spool)
    for number in range(40):
        spool.write(os.urandom(100_000))
        spool.line(f"line {number}")
    spool.finish()
    await sending
    stored = server.log(origin.job_id)
    assert (spool.sha256, spool.size) == (sha256(stored.data).hexdigest(), len(stored.data))
    assert stored.hashed == len(stored.data), "each piece came with the digest up to its end"
    assert spool.cut_off is None


@pytest.mark.parametrize("ended", [True, False])
async def test_a_log_whose_file_was_emptied_says_so_and_ends(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path, ended: bool
) -> None:
    """Somebody cleans up on the agent's host while the API is away."""
    spool = LogSpool.create(tmp_path)
    sending = shipper.ship(origin, spool)
    spool.write(b"sent\n")
    await eventually(lambda: server.log(origin.job_id).data == b"sent\n" and spool.sent == 5, "the first piece")
    await server.down()
    spool.write(b"lost " * 20)
    if ended:
        os.truncate(tmp_path / "log", 3)
        spool.finish()
    else:
        spool.finish()
        os.truncate(tmp_path / "log.ended", 15)
    before = spool.cut_off
    await server.up()
    await sending
    kept, end, lost = (b"sent\n", 5, 100) if ended else (b"sent\nlost lost \n", 15, 90)
    said = f"The log was cut off at byte {end}: {lost} bytes were lost,"
    assert spool.cut_off is not None
    assert spool.cut_off.startswith(said), spool.cut_off
    assert (before is not None) == ended, "the result is made when the log ends"
    stored = server.log(origin.job_id)
    assert stored.data == kept + f"[hybridci] {spool.cut_off}\n".encode()
    assert stored.final
    assert (spool.sha256, spool.size) == (sha256(stored.data).hexdigest(), len(stored.data))


async def test_a_log_whose_folder_was_removed_arrives_whole(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    spool = LogSpool.create(folder)
    sending = shipper.ship(origin, spool)
    spool.write(b"one\n")
    rmtree(folder)
    for number in range(3):
        spool.write(b"x" * 100 + b"\n")
        await eventually(lambda end=4 + 101 * (number + 1): spool.sent == end, "what was written")
    spool.finish()
    await sending
    assert server.log(origin.job_id).data == b"one\n" + (b"x" * 100 + b"\n") * 3
    assert (spool.cut_off, server.log(origin.job_id).final) == (None, True)


async def test_a_disk_that_is_full_is_said_in_the_log(
    server: ControlPlaneServer, shipper: LogShipper, origin: LogOrigin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = LogSpool.create(tmp_path)
    spool.write(b"one\ntw")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            spool.write(b"o\n" * 50)
        spool.write(b"more\n")
        spool.line("[hybridci] The attempt is given up.")
    spool.finish()
    await shipper.ship(origin, spool)
    assert server.log(origin.job_id).data.decode().splitlines() == [
        "one",
        "tw",
        "[hybridci] The log was cut off at byte 6: the agent's disk did not take what came next"
        " (No space left on device).",
        "[hybridci] The attempt is given up.",
        "[hybridci] 105 bytes of output were dropped.",
    ]
    assert spool.sha256 == sha256(server.log(origin.job_id).data).hexdigest()
