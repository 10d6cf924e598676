"""Logs: what agents send is what people read, live, across attempts, also when the end never comes."""

import asyncio
import hashlib
import json
from hashlib import sha256
from typing import cast

import pytest

from activities.stores.interfaces.logs import LogChunk, LogStore
from api.logs.compactor import MANY, LogCompactor
from tests.api.conftest import SPEC, Bench
from workflows.contracts.commands import JobInput
from workflows.contracts.errors import Unavailable
from workflows.contracts.ids import new_job_id
from workflows.contracts.jobs import JobSpec, StepResult
from workflows.contracts.statuses import JobStatus, Outcome

JOBS = "/api/dashboard/jobs"


async def finished(
    bench: Bench, job_id: str, data: bytes, *, status: JobStatus = JobStatus.SUCCESS, attempt: int = 1
) -> None:
    await bench.start(job_id, attempt)
    await bench.log(job_id, 0, data, attempt=attempt, final=True)
    await bench.job_client.end_attempt(job_id, attempt, status=status, log_bytes=len(data))


async def test_bytes_come_back_as_they_were_sent(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    data = bytes(range(256)) * 40 + "größe ✓\r\n".encode()
    for offset in range(0, len(data), 1000):
        await bench.log(job_id, offset, data[offset : offset + 1000])
    await bench.log(job_id, 2000, data[2000:3000])  # sent again after a lost answer
    path = f"{JOBS}/{job_id}/logs"
    unfinished = await bench.admin.get(path)
    assert unfinished.content == data
    assert (unfinished.headers["log-attempt"], unfinished.headers["log-complete"]) == ("1", "false")
    await bench.log(job_id, len(data), b"", final=True)
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.SUCCESS, log_bytes=len(data))
    answer = await bench.admin.get(path, params={"start": 1500})
    assert answer.content == data[1500:]
    assert answer.headers["log-complete"] == "true"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_the_last_attempt_is_shown_unless_another_is_asked_for(bench: Bench) -> None:
    job_id = await bench.submit()
    await finished(bench, job_id, b"one\n", status=JobStatus.QUEUED)
    await finished(bench, job_id, b"two", status=JobStatus.SUCCESS, attempt=2)
    path = f"{JOBS}/{job_id}/logs"
    assert (await bench.admin.get(path)).text == "two"
    assert (await bench.admin.get(path, params={"attempt": 1})).text == "one\n"
    everything = await bench.admin.get(path, params={"attempt": "all"})
    assert everything.text == ("[hybridci] attempt 1 on agent agent-7\none\n[hybridci] attempt 2 on agent agent-7\ntwo")
    assert everything.headers["log-complete"] == "true"
    assert (await bench.admin.get(path, params={"attempt": 3})).status_code == 404
    for wrong in ("0", "-1", "x", "1e3", "99999999999999999999"):
        assert (await bench.admin.get(path, params={"attempt": wrong})).status_code == 422


async def test_times_stand_before_lines(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.log(job_id, 0, b"one\ntw", marks="[[0, 1700000000000], [4, 1700000001500]]")
    await bench.log(job_id, 6, b"o\rtwo\n\nfour", marks="[[6, 1700000002000]]", final=True)
    answer = await bench.admin.get(f"{JOBS}/{job_id}/logs", params={"timestamps": "true"})
    assert answer.text == (
        "2023-11-14T22:13:20.000Z one\n"
        "2023-11-14T22:13:21.500Z two\rtwo\n"
        "2023-11-14T22:13:22.000Z \n"
        "2023-11-14T22:13:22.000Z four"
    )


@pytest.mark.parametrize(
    "marks", ["x", "{}", "[[1]]", "[[-1, 0]]", "[[9, 0]]", "[[0, 1e99]]", "[[1, 5], [0, 6]]", "[[0,1],"]
)
async def test_bad_marks_are_named(bench: Bench, marks: str) -> None:
    job_id = await bench.submit()
    path = f"/api/queue/jobs/{job_id}/attempts/1/log/0"
    answer = await bench.agent.put(path, content=b"text", headers={"Log-Marks": marks})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("Log-Marks")


async def test_nothing_is_kept_for_a_job_that_does_not_exist(bench: Bench) -> None:
    path = "/api/queue/jobs/00000000-0000-4000-8000-000000000000/attempts/1"
    assert (await bench.agent.put(f"{path}/log/0", content=b"x")).status_code == 404
    body = {"attempt": 1, "agent_id": "agent-7", "claimed_at": 1}
    assert (await bench.agent.put(f"{path}/start", json=body)).status_code == 404


@pytest.mark.parametrize("what", ["log/0", "artifacts/report.txt"])
async def test_what_an_agent_brings_before_anybody_created_the_record_is_kept(bench: Bench, what: str) -> None:
    """The API died between the job's start and its record, and the agent was faster than the next look at it."""
    job_id = new_job_id()
    await bench.job_client.start(JobInput(job_id=job_id, spec=JobSpec.model_validate(SPEC)), 1)
    assert await bench.stores.jobs.get(job_id) is None
    path = f"/api/queue/jobs/{job_id}/attempts/1/{what}"
    digest = hashlib.sha256(b"bytes").hexdigest()
    answer = await bench.agent.put(path, content=b"bytes", headers={"Content-SHA256": digest})
    assert answer.status_code == 204, answer.text
    assert (await bench.admin.get(f"{JOBS}/{job_id}")).json()["status"] == "queued"


async def test_an_announcement_must_name_its_own_attempt(bench: Bench) -> None:
    job_id = await bench.submit()
    body = {"attempt": 2, "agent_id": "a", "claimed_at": 1}
    answer = await bench.agent.put(f"/api/queue/jobs/{job_id}/attempts/1/start", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "attempt")


async def _put(bench: Bench, job_id: str, offset: int, data: bytes, *, final: bool = False) -> int:
    path = f"/api/queue/jobs/{job_id}/attempts/1/log/{offset}"
    return (await bench.agent.put(path, content=data, headers={"Log-Final": str(final).lower()})).status_code


async def test_an_ended_log_can_neither_be_emptied_nor_changed_nor_grow(bench: Bench) -> None:
    job_id = await bench.submit()
    await finished(bench, job_id, b"one\ntwo\n")
    text = f"{JOBS}/{job_id}/logs"
    for offset, data, final in (
        (0, b"", True),
        (0, b"", False),
        (0, b"evil", False),
        (0, b"evil\nevil", True),
        (4, b"two\nthree\n", True),
        (8, b"three\n", False),
        (9, b"later\n", True),
    ):
        expected = 204 if (data, final) == (b"", False) else 409
        assert await _put(bench, job_id, offset, data, final=final) == expected, (offset, data, final)
        assert (await bench.admin.get(text)).text == "one\ntwo\n"
    assert await _put(bench, job_id, 0, b"one\ntwo\n", final=True) == 204, "its answer was lost: sent again"
    assert await _put(bench, job_id, 4, b"two\n") == 204


async def test_after_the_last_piece_a_log_is_closed_though_its_attempt_has_not_been_reported_yet(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.log(job_id, 0, b"one\n", final=True)
    assert await _put(bench, job_id, 0, b"", final=True) == 409
    assert await _put(bench, job_id, 4, b"two\n") == 409
    assert (await bench.admin.get(f"{JOBS}/{job_id}/logs")).text == "one\n"


async def test_of_an_ended_attempts_log_only_the_rest_may_come(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.log(job_id, 0, b"one\n")
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.SUCCESS, log_bytes=8)
    bench.app.state.services.deliveries._until.clear()  # pyright: ignore[reportPrivateUsage]
    assert await _put(bench, job_id, 0, b"", final=True) == 409
    assert await _put(bench, job_id, 2, b"e\nTWO") == 204, "it goes on where the stored part ends"
    assert await _put(bench, job_id, 4, b"x" * 10_000) == 409
    assert await _put(bench, job_id, 7, b"x" * 10_000) == 409, "far beyond what the agent has reported"
    assert await _put(bench, job_id, 7, b"\n", final=True) == 204
    assert (await bench.admin.get(f"{JOBS}/{job_id}/logs")).text == "one\nTWO\n"


async def test_a_log_asks_temporal_once_whose_it_is(bench: Bench) -> None:
    job_id = await bench.submit()
    for number in range(20):
        await bench.log(job_id, number, b"x")
    await bench.start(job_id)
    assert bench.job_client.asked_for_holder == 1
    other = await bench.submit()
    bench.job_client.holders[other] = None
    assert await _put(bench, other, 0, b"x") == 403, "nobody has begun it"


async def _altered(bench: Bench, job_id: str, **query: str) -> str:
    return (await bench.admin.get(f"{JOBS}/{job_id}/logs", params=query)).text


async def test_reading_says_when_a_log_is_not_what_its_agent_sent(bench: Bench) -> None:
    """Whoever can write to the bucket has changed it."""
    job_id = await bench.submit()
    await bench.start(job_id)
    pieces, sent = [b"one\n", b"two\n", b"three\n"], b""
    for piece in pieces:
        path = f"/api/queue/jobs/{job_id}/attempts/1/log/{len(sent)}"
        sent += piece
        headers = {"Log-Sha256": sha256(sent).hexdigest(), "Log-Final": str(piece == pieces[-1]).lower()}
        assert (await bench.agent.put(path, content=piece, headers=headers)).status_code == 204
    job = await bench.job_client.end_attempt(job_id, 1, status=JobStatus.SUCCESS, log_bytes=len(sent))
    reported = job.attempts[0].model_copy(update={"log_sha256": sha256(sent).hexdigest()})
    job = await bench.job_client.put(job, attempts=[reported])
    assert await _altered(bench, job_id) == "one\ntwo\nthree\n", "it is what was sent"
    changed = LogChunk(4, b"TWO\n", sha256=sha256(b"one\ntwo\n").hexdigest())
    await bench.stores.logs.append(job_id, 1, changed)
    for follow in ("false", "true"):
        text = await _altered(bench, job_id, follow=follow)
        assert text.startswith("one\nTWO\nthree\n[hybridci] attempt 1's log is not what its agent sent: the agent sent")
        assert text.endswith("; up to byte 4 it is what was sent\n")
    events = await _altered(bench, job_id, format="sse")
    assert json.loads(events.rsplit("data: ", 1)[1])["altered"] is True
    no_digest = reported.model_copy(update={"log_sha256": None})
    await bench.job_client.put(job, attempts=[no_digest])
    assert "has another digest than what the agent sent; up to byte 4" in await _altered(bench, job_id)


async def test_the_log_of_a_lost_attempt_shows_how_much_of_it_is_stored(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.log(job_id, 0, b"half a log\n")
    job = await bench.job_client.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED, log_bytes=0)
    lost = {"outcome": Outcome.AGENT_LOST, "cause": Outcome.AGENT_LOST.value}
    await bench.job_client.put(job, attempts=[job.attempts[0].model_copy(update=lost)])
    for path in (f"{JOBS}/{job_id}", f"/api/queue/jobs/{job_id}"):
        assert (await bench.admin.get(path)).json()["attempts"][0]["log_bytes"] == 11
    await bench.log(job_id, 11, b"[hybridci] the agent was lost here\n", final=True)
    assert (await bench.admin.get(f"{JOBS}/{job_id}")).json()["attempts"][0]["log_bytes"] == 46


async def test_lines_are_read_from_either_end(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    text = b"".join(b"line %d\n" % number for number in range(1, 101))
    for offset in range(0, len(text), 37):
        await bench.log(job_id, offset, text[offset : offset + 37], marks="[[0, 1700000000000]]")
    path, all_lines = f"{JOBS}/{job_id}/logs", text.splitlines(keepends=True)
    for asked, first, last in (
        ("7-9", 7, 9),
        ("1-1", 1, 1),
        ("42", 42, 42),
        ("99-", 99, 100),
        ("-3", 98, 100),
        ("-3-", 98, 100),
        ("-5--4", 96, 97),
        ("-5--1", 96, 100),
        ("98--1", 98, 100),
        ("95-1000", 95, 100),
        ("-1000--99", 1, 2),
    ):
        answer = await bench.admin.get(path, params={"lines": asked})
        assert answer.content == b"".join(all_lines[first - 1 : last]), asked
        assert answer.headers["log-lines"] == f"{first}-{last}/100"
        assert int(answer.headers["log-start"]) == len(b"".join(all_lines[: first - 1]))
    assert (await bench.admin.get(path, params={"lines": "101-"})).content == b""
    stamped = await bench.admin.get(path, params={"lines": "8-9", "timestamps": "true"})
    assert stamped.text == "2023-11-14T22:13:20.000Z line 8\n2023-11-14T22:13:20.000Z line 9\n"
    for bad, field in (
        ({"lines": "9-7"}, "lines"),
        ({"lines": "0"}, "lines"),
        ({"lines": "1-2-3"}, "lines"),
        ({"lines": "a"}, "lines"),
        ({"lines": "7-9", "follow": "true"}, "lines"),
        ({"lines": "7-9", "attempt": "all"}, "lines"),
        ({"lines": "7-9", "start": "4"}, "lines"),
        ({"lines": "7-9", "step": "1"}, "lines"),
        ({"step": "1", "start": "4"}, "step"),
        ({"step": "0"}, "step"),
        ({"since": "1", "start": "4"}, "since"),
        ({"since": "1", "attempt": "all"}, "since"),
        ({"since": "-1"}, "since"),
    ):
        refused = await bench.admin.get(path, params=bad)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field), bad


async def test_a_steps_part_of_the_log_is_where_its_agent_says(bench: Bench) -> None:
    """And not where some step prints a line that looks like another's beginning."""
    job_id = await bench.submit()
    text = b"--- build\n--- deploy\nfake\n--- deploy\nreal\n"
    path = f"{JOBS}/{job_id}/logs"
    await bench.start(job_id)
    early = await bench.admin.get(path, params={"step": "1"})
    assert (early.status_code, early.json()["code"]) == (409, "invalid_state")
    await bench.log(job_id, 0, text, final=True)
    job = await bench.job_client.end_attempt(job_id, 1, status=JobStatus.SUCCESS, log_bytes=len(text))
    steps = [
        StepResult(name="build", log_start=0, log_end=26),
        StepResult(name="deploy", log_start=26, log_end=len(text)),
        StepResult(name="never ran"),
    ]
    await bench.job_client.put(job, attempts=[job.attempts[0].model_copy(update={"steps": steps})])
    assert (await bench.admin.get(path, params={"step": "2"})).text == "--- deploy\nreal\n"
    assert (await bench.admin.get(path, params={"step": "1"})).text == "--- build\n--- deploy\nfake\n"
    for step in ("3", "4"):
        assert (await bench.admin.get(path, params={"step": step})).status_code == 404


async def test_logs_of_many_pieces_are_compacted_beside_the_requests() -> None:
    compacted: list[tuple[str, int]] = []
    failing = [True]

    class Store:
        async def compact(self, job_id: str, attempt: int) -> bool:
            compacted.append((job_id, attempt))
            if failing:
                failing.clear()
                raise Unavailable("S3 does not answer.")
            return True

    compactor = LogCompactor()
    async with compactor.running(cast("LogStore", Store())):
        for number in range(16):
            compactor.stored("few", 1, LogChunk(number, b"x", final=number == 15))
        for number in range(MANY):
            compactor.stored("grows", 1, LogChunk(number, b"x"))
        for number in range(17):
            compactor.stored("ends", 2, LogChunk(number, b"x", final=number == 16))
        await asyncio.wait_for(compactor.settle(), 60)
        assert compacted == [("grows", 1), ("ends", 2)]
        for _ in range(3):
            compactor.wanted("ends", 2)
            compactor.wanted("grows", 1)
            await asyncio.wait_for(compactor.settle(), 60)
    assert compacted[2:] == [("grows", 1)], "the one that failed is asked for again, the other is done"


async def test_what_was_printed_since_a_moment(bench: Bench) -> None:
    """A line a second, some pieces without times, in a log that is longer than what is looked through at once."""
    job_id = await bench.submit()
    await bench.start(job_id)
    lines = [b"%06d %s\n" % (number, b"x" * 4000) for number in range(200)]
    offset = 0
    for number, line in enumerate(lines):
        marks = "[]" if number % 3 == 2 else f"[[0, {1_000_000 + 1000 * number}]]"
        await bench.log(job_id, offset, line, marks=marks)
        offset += len(line)
    path = f"{JOBS}/{job_id}/logs"
    timed = [number for number in range(200) if number % 3 != 2]
    for since in (0, 1_000_000, 1_000_001, 1_003_000, 1_150_000, 1_151_000, 1_197_001, 1_198_000, 1_199_001):
        first = next((number for number in timed if 1_000_000 + 1000 * number >= since), 200)
        answer = await bench.admin.get(path, params={"since": since})
        assert answer.content == b"".join(lines[first:]), since
        assert answer.headers["log-lines"].partition("-")[0] == str(first + 1)
        assert int(answer.headers["log-start"]) == sum(map(len, lines[:first]))
    assert (await bench.admin.get(path, params={"since": 1_100_000, "lines": "-2"})).content == b"".join(lines[-2:])
    assert (await bench.admin.get(path, params={"since": 1_199_000, "lines": "-9"})).content == lines[-1]
    assert (await bench.admin.get(path, params={"since": 1_300_000, "lines": "5-9"})).content == b""


async def test_a_log_without_times_is_shown_from_its_beginning(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    path = f"{JOBS}/{job_id}/logs"
    assert (await bench.admin.get(path, params={"since": 5})).content == b""
    await bench.log(job_id, 0, b"one\ntwo\n")
    assert (await bench.admin.get(path, params={"since": 5})).content == b"one\ntwo\n"
