"""The page of dead letters: by cause, and some or all of them run again or given up, after a look."""

import re
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.api.conftest import Bench
from tests.api.dashboard.browser import HTML, SITE, Browser, key_of, signed_in
from tests.stores.lives import make_job
from workflows.contracts.access import Role
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus


async def parked(bench: Bench, **changes: object) -> str:
    job_id = await bench.submit(**changes)
    await bench.start(job_id)
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED)
    return job_id


async def send(browser: Browser, command: str, ids: list[str], **fields: str) -> httpx.Response:
    form = [("csrf", browser.csrf), *fields.items(), *(("job", job_id) for job_id in ids)]
    headers = {**HTML, "Origin": SITE, "Content-Type": "application/x-www-form-urlencoded"}
    return await browser.web.post(f"/dead-letters/{command}", content=urlencode(form), headers=headers)


async def status_of(bench: Bench, job_id: str) -> str:
    return str((await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()["status"])


async def test_they_stand_by_cause(bench: Bench) -> None:
    letters: dict[str, Any] = {"status": JobStatus.DEAD_LETTERED, "queue_status": QueueStatus.DEAD_LETTERED}
    for cause in ("exit_code", "exit_code", "agent_lost"):
        await bench.stores.jobs.write(JobWrite(job=make_job(cause=cause, **letters)))
    browser = await signed_in(bench)
    page = await browser.see("/dead-letters")
    rows = re.findall(
        r'<th scope="row"><a href="/dead-letters\?cause=(\w+)"[^>]*>[^<]+</a></th>\s*<td class="number">(\d+)', page
    )
    assert rows == [("exit_code", "2"), ("agent_lost", "1")]
    assert "(3) Dead letters" in page
    assert "The agent stopped answering" in page, "and what to do about it"
    narrowed = await browser.see("/dead-letters?cause=agent_lost")
    assert narrowed.count('<tr id="job-') == 1
    assert "<code>since</code>" in await browser.see("/dead-letters?since=soon", 422)


async def test_chosen_ones_run_again(bench: Bench) -> None:
    one, two, three = [await parked(bench) for _ in range(3)]
    browser = await signed_in(bench)
    review = await send(browser, "review", [one, two], what="redrive", scope="chosen")
    assert review.status_code == 200
    assert "Run again: 2 dead letters" in review.text
    assert await status_of(bench, one) == "dead_lettered", "a look changes nothing"
    answer = await send(browser, "redrive", [one, two], what="redrive", reason="the disk is mended")
    assert (answer.status_code, answer.headers["location"]) == (303, "/dead-letters")
    assert [await status_of(bench, each) for each in (one, two, three)] == ["queued", "queued", "dead_lettered"]
    again = await send(browser, "redrive", [three], what="redrive", only_pool="gpu", only_since="2h")
    assert again.headers["location"] == "/dead-letters?pool=gpu&since=2h", "who has filtered goes on with the others"


async def test_chosen_ones_are_given_up_with_a_reason_and_the_second_person_is_told(bench: Bench) -> None:
    one, two = [await parked(bench) for _ in range(2)]
    ann, bob = await signed_in(bench), await signed_in(bench)
    assert (await send(ann, "discard", [one], reason="obsolete")).status_code == 303
    assert await status_of(bench, one) == "failed"
    second = await send(bob, "discard", [one, two], reason="me too")
    assert second.status_code == 409
    assert "1 given up, 1 not" in second.text
    assert one[:8] in second.text
    assert await status_of(bench, two) == "failed"


async def test_all_that_a_filter_means_run_again_with_canaries(bench: Bench) -> None:
    await parked(bench, pool="gpu")
    browser = await signed_in(bench)
    review = await send(browser, "review", [], what="redrive", scope="filter", pool="gpu", since="2h")
    assert "Run again: 1 dead letter<" in review.text
    key = re.search(r'name="key" value="([\w-]+)"', review.text)
    assert key is not None
    assert 'name="only_pool" value="gpu"' in review.text
    assert 'name="pool" value=""' in review.text, "an edit of the pool is another field"
    wanted = {"scope": "meant", "only_pool": "gpu", "only_since": "2026-01-01", "canary": "2", "limit": "50"}
    edit = {"timeout_seconds": "900", "pool": "large", "key": key[1]}
    first, again = [await send(browser, "redrive", [], **wanted, **edit) for _ in range(2)]
    assert first.status_code == 303
    assert first.headers["location"] == again.headers["location"], "one form, one redrive"
    ((redrive_id, request),) = bench.job_client.redrives.items()
    assert first.headers["location"] == f"/dead-letters/redrives/{redrive_id}"
    assert (request.filter.pool, request.filter.since, request.limit) == ("gpu", 1_767_225_600_000, 50)
    assert request.canary is not None
    assert request.canary.count == 2
    assert request.edit is not None
    assert (request.edit.timeout_seconds, request.edit.pool) == (900, "large")
    assert "nothing matched" in await browser.see(first.headers["location"])
    await browser.see("/dead-letters/redrives/00000000-0000-4000-8000-000000000000", 404)


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"canary": "many"}, "canary.count"), ({"canary": "1", "timeout_seconds": "x"}, "timeout_seconds")],
)
async def test_what_is_wrong_is_told_with_what_was_filled_in(bench: Bench, fields: dict[str, str], field: str) -> None:
    job_id = await parked(bench)
    browser = await signed_in(bench)
    answer = await send(browser, "redrive", [job_id], what="redrive", reason="kept words", **fields)
    assert answer.status_code == 422
    assert f"<code>{field}</code>" in answer.text
    assert "kept words" in answer.text
    assert job_id in answer.text
    assert not bench.job_client.redrives


async def test_a_form_of_an_older_dashboard_whose_filter_is_not_understood_means_nothing(bench: Bench) -> None:
    browser = await signed_in(bench)
    answer = await send(browser, "redrive", [], what="redrive", scope="filter", pool="gpu", canary="1")
    assert answer.status_code == 422
    assert not bench.job_client.redrives


@pytest.mark.parametrize("command", ["review", "redrive", "discard"])
async def test_nothing_chosen_is_not_all(bench: Bench, command: str) -> None:
    job_id = await parked(bench)
    browser = await signed_in(bench)
    answer = await send(browser, command, ["no-id", "*"], what="redrive", scope="chosen")
    assert answer.status_code == 422
    assert "Choose at least one" in answer.text
    assert await status_of(bench, job_id) == "dead_lettered"
    assert not bench.job_client.redrives


async def test_all_of_a_filter_are_not_given_up(bench: Bench) -> None:
    job_id = await parked(bench)
    browser = await signed_in(bench)
    assert (await send(browser, "discard", [], scope="meant")).status_code == 404
    assert await status_of(bench, job_id) == "dead_lettered"


@pytest.mark.parametrize("command", ["review", "redrive", "discard", "odd"])
async def test_a_viewer_may_not(bench: Bench, command: str) -> None:
    job_id = await parked(bench)
    viewer = await signed_in(bench, await key_of(bench, Role.VIEWER))
    page = await viewer.see("/dead-letters")
    assert "needs the role operator" in page
    assert "/dead-letters/review" not in page
    for fields in ({"scope": "filter"}, {}):
        answer = await send(viewer, command, [job_id] if not fields else [], what="redrive", **fields)
        assert answer.status_code == 403
    assert (await viewer.submit(f"/jobs/{job_id}/review", pool="big")).status_code == 403
    assert await status_of(bench, job_id) == "dead_lettered"


async def test_what_one_runs_and_its_commit_are_changed_in_its_form(bench: Bench) -> None:
    hostile = "\n</textarea><script>alert(1)</script>\nmake"
    job_id = await parked(bench, steps=[{"name": "unit", "run": hostile}, {"name": "ls", "run": "ls"}])
    browser = await signed_in(bench)
    page = await browser.see(f"/jobs/{job_id}")
    assert 'name="git_commit_sha"' in page
    assert 'name="run_1"' in page
    assert "<script>alert(1)" not in page
    form = {"run_0": hostile.replace("\n", "\r\n"), "run_1": "ls -l\r\npwd", "git_commit_sha": "c" * 40}
    review = await browser.submit(f"/jobs/{job_id}/review", **form)
    assert review.status_code == 200
    assert "step ls" in review.text
    assert "step unit" not in review.text, "line ends of browsers change nothing"
    assert "<script>alert(1)" not in review.text
    assert (await browser.submit(f"/jobs/{job_id}/edit", **form)).status_code == 303
    job = (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()
    assert [step["run"] for step in job["steps"]] == [hostile, "ls -l\npwd"]
    assert (job["git_commit_sha"], job["status"]) == ("c" * 40, "dead_lettered")
