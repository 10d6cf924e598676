"""Searching logs: what is found, what bounds it, and that no expression stops the API."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.main import app as cli
from api.logs import search, search_routes
from api.logs.needle import Wanted, needle_of
from api.logs.search import LogSearch
from tests.api.cli_bench import ADMIN_KEY, Served, environment, served
from tests.api.conftest import Bench
from workflows.contracts.errors import ValidationFailed
from workflows.contracts.statuses import JobStatus

JOBS = "/api/dashboard/jobs"
TEXT: bytes = b"".join(
    b"%d %s\n" % (number, b"FAILED: refused" if number % 7 == 0 else b"ok \xff") for number in range(1, 1001)
)


async def with_log(bench: Bench, text: bytes, *, cut: int = 777) -> str:
    job_id = await bench.submit()
    await bench.start(job_id)
    for offset in range(0, len(text), cut):
        await bench.log(job_id, offset, text[offset : offset + cut], final=offset + cut >= len(text))
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.SUCCESS, log_bytes=len(text))
    return job_id


async def found(bench: Bench, job_id: str, **query: Any) -> dict[str, Any]:
    answer = await bench.admin.get(f"{JOBS}/{job_id}/logs/search", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize(
    ("query", "expression"),
    [
        ({"text": "FAILED: ref"}, rb"FAILED: ref"),
        ({"text": "failed: REF", "ignore_case": "true"}, rb"FAILED: ref"),
        ({"text": "(.*"}, rb"never"),
        ({"regex": "^7[0-9]*7 "}, rb"^7[0-9]*7 "),
        ({"regex": "refused$"}, rb"refused$"),
        ({"regex": "[^0-9]+"}, rb"."),
        ({"regex": ""}, None),
        ({"regex": "ok|FAIL"}, rb"ok|FAIL"),
        ({"regex": "x*"}, rb"^"),
    ],
)
async def test_the_lines_that_are_found_are_those_of_grep(
    bench: Bench, query: dict[str, str], expression: bytes | None
) -> None:
    job_id = await with_log(bench, TEXT + b"last one FAILED: refused without an end")
    if expression is None:
        refused = await bench.admin.get(f"{JOBS}/{job_id}/logs/search", params=query)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "regex")
        return
    whole: bytes = TEXT + b"last one FAILED: refused without an end"
    lines = whole.splitlines(keepends=True)
    expected = [number for number, line in enumerate(lines, 1) if re.search(expression, line.rstrip(b"\n"))]
    answer = await found(bench, job_id, **query, limit=1000)
    assert (answer["count"], answer["next_cursor"]) == (len(expected), None)
    assert [hit["line"] for hit in answer["hits"]] == expected[:1000]
    for hit in answer["hits"]:
        line = lines[int(hit["line"]) - 1]
        assert hit["offset"] == len(b"".join(lines[: int(hit["line"]) - 1]))
        assert hit["text"] == line.rstrip(b"\n").decode("utf-8", "replace")


async def test_a_search_that_reaches_its_bounds_says_where_to_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await with_log(bench, TEXT)
    for name, value in (("MOST_BYTES", 2000), ("MOST_SECONDS", -1.0)):
        with monkeypatch.context() as patch:
            patch.setattr(search, name, value)
            cursor, lines, count, requests = None, list[int](), 0, 0
            while requests == 0 or cursor is not None:
                assert requests < 1000
                more = {} if cursor is None else {"cursor": cursor}
                answer = await found(bench, job_id, text="FAILED", **more)
                lines += [hit["line"] for hit in answer["hits"]]
                cursor, count, requests = answer["next_cursor"], count + answer["count"], requests + 1
            assert lines == list(range(7, 1001, 7)), name
            assert count == len(lines)
            assert requests >= 5


async def test_a_long_line_is_shown_around_what_was_found(bench: Bench) -> None:
    job_id = await with_log(bench, b"a" * 90_000 + b"needle" + b"b" * 90_000 + b"\n", cut=50_000)
    (hit,) = (await found(bench, job_id, text="needle"))["hits"]
    assert len(hit["text"]) == 500
    assert "needle" in hit["text"]


async def test_no_expression_holds_the_api_up(bench: Bench) -> None:
    """Python's ``re`` would take longer than the universe is old."""
    job_id = await with_log(bench, (b"a" * 3000 + b"!\n") * 20, cut=30_000)
    answer = await asyncio.wait_for(found(bench, job_id, regex="(a+)+$"), 60)
    assert answer["count"] == 0
    for bad in ("(a", "(?=a)b", "a{1001}", "(a)\\1", "((a{100}){100}){100}", "a\nb"):
        refused = await bench.admin.get(f"{JOBS}/{job_id}/logs/search", params={"regex": bad})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "regex"), bad
    for query in ({}, {"text": "a", "regex": "a"}, {"text": "a" * 1001}, {"text": "a", "cursor": "x"}):
        assert (await bench.admin.get(f"{JOBS}/{job_id}/logs/search", params=query)).status_code == 422
    assert (
        await bench.admin.get(f"{JOBS}/{job_id}/logs/search", params={"text": "a", "attempt": 9})
    ).status_code == 404


async def test_one_caller_searches_twice_at_a_time_at_most(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, gate, real = await with_log(bench, TEXT), asyncio.Event(), LogSearch.run

    async def held(self: LogSearch, *given: Any) -> Any:
        await gate.wait()
        return await real(self, *given)

    monkeypatch.setattr(LogSearch, "run", held)
    path = f"{JOBS}/{job_id}/logs/search?text=FAILED"
    waiting = [asyncio.create_task(bench.admin.get(path)) for _ in range(2)]
    while search_routes._running["admin"] < 2:  # pyright: ignore[reportPrivateUsage]  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    refused = await bench.admin.get(path)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    gate.set()
    assert [(await each).json()["count"] for each in waiting] == [142, 142]
    assert (await bench.admin.get(path)).status_code == 200


def test_a_needle_is_a_text_or_an_expression() -> None:
    for wanted in (Wanted(), Wanted("a", "b"), Wanted(""), Wanted("a\nb")):
        with pytest.raises(ValidationFailed):
            needle_of(wanted)
    assert needle_of(Wanted("a.c"))(b"abc a.c", 0) == (4, 7)


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def test_the_command_shows_lines_and_counts_all(api: Served) -> None:
    job_id = api.ended(log=TEXT)
    env: dict[str, str | None] = {**environment(api.url, ADMIN_KEY), "HYBRIDCI_DATA_DIR": None}
    shown = CliRunner().invoke(cli, ["job", "search", job_id, "FAILED", "--limit", "2"], env=env)
    assert (shown.exit_code, shown.stdout) == (0, "7: 7 FAILED: refused\n14: 14 FAILED: refused\n")
    assert "142 lines of attempt 1, the first 2 are shown." in shown.stderr
    regex = CliRunner().invoke(cli, ["job", "search", job_id, "^99[0-9] failed", "-E", "-i", "--json"], env=env)
    assert (regex.exit_code, '"line": 994' in regex.stdout) == (0, True)
    nothing = CliRunner().invoke(cli, ["job", "search", job_id, "nowhere"], env=env)
    assert (nothing.exit_code, nothing.stdout) == (1, "")


async def test_every_page_of_what_is_found_can_be_reached(bench: Bench) -> None:
    job_id = await with_log(bench, TEXT)
    whole = await found(bench, job_id, text="FAILED", limit=1000)
    first = await found(bench, job_id, text="FAILED", limit=30, pages="true")
    assert (first["count"], len(first["pages"])) == (142, 4)
    lines = [hit["line"] for hit in first["hits"]]
    for cursor in first["pages"]:
        page = await found(bench, job_id, text="FAILED", limit=30, stop="true", cursor=cursor)
        lines += [hit["line"] for hit in page["hits"]]
    assert lines == [hit["line"] for hit in whole["hits"]]
    assert "pages" not in whole, "only who asks is told"


async def test_a_search_that_stops_says_where_to_go_on(bench: Bench) -> None:
    job_id = await with_log(bench, TEXT, cut=20_000)
    lines, cursor = list[int](), dict[str, str]()
    for _ in range(200):
        page = await found(bench, job_id, text="FAILED", limit=1, stop="true", **cursor)
        lines += [hit["line"] for hit in page["hits"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert lines == list(range(7, 1001, 7))
