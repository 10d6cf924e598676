"""The pages of jobs, dead letters and logs."""

import re
from urllib.parse import quote

import pytest

from tests.api.conftest import Bench
from tests.api.dashboard.browser import (
    signed_in,
)
from workflows.contracts.statuses import JobStatus


async def test_forms_do_what_they_say(bench: Bench) -> None:
    browser = await signed_in(bench)
    job_id = await bench.submit()
    answer = await browser.submit(f"/jobs/{job_id}/cancel", reason="not needed")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job_id}")
    assert (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()["status"] == "cancelled"
    again = await browser.submit(f"/jobs/{job_id}/retry")
    assert again.status_code == 303
    assert again.headers["location"] not in {f"/jobs/{job_id}", "/jobs/"}, "the new job's page"


async def test_a_dead_letter_is_changed_and_runs_again(bench: Bench) -> None:
    job_id = await bench.submit(env={"DB": "live", "OLD": "1"})
    await bench.start(job_id)
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED)
    browser = await signed_in(bench)
    page = await browser.see(f"/jobs/{job_id}")
    assert "(now: DB, OLD)" in page
    same = {"pool": "default", "priority": "NORMAL", "timeout_seconds": "3600"}
    wrong = await browser.submit(f"/jobs/{job_id}/redrive", **{**same, "timeout_seconds": "soon"}, env="DB=test")
    assert wrong.status_code == 422
    assert "timeout_seconds" in wrong.text
    assert "DB=test" in wrong.text, "what was filled in is kept"
    changed = {**same, "pool": "big", "max_attempts": "2", "env": "DB=test\r\nOLD", "reason": "the other database"}
    answer = await browser.submit(f"/jobs/{job_id}/redrive", **changed)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job_id}")
    job = (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()
    assert (job["pool"], job["priority"], job["timeout_seconds"], job["env"]) == ("big", "NORMAL", 3600, {"DB": "test"})


@pytest.mark.parametrize("attempt", ["\u00b2", "9" * 5000, "-1", "x"])
async def test_an_attempt_that_is_none(bench: Bench, attempt: str) -> None:
    job_id = await bench.submit()
    browser = await signed_in(bench)
    assert "Log of attempt 1" in await browser.see(f"/jobs/{job_id}?attempt={quote(attempt)}")


async def test_a_range_of_a_log(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.log(job_id, 0, b"".join(b"line %d\n" % number for number in range(1, 3001)), final=True)
    browser = await signed_in(bench)
    answer = await browser.web.get(f"/jobs/{job_id}/log/lines?attempt=1&lines=5-7")
    assert answer.headers["log-lines"] == "5-7/3000"
    assert re.findall(r'data-line="(\d+)"', answer.text) == ["5", "6", "7"]
    assert '<span class="x">line 6</span>' in answer.text
    many = await browser.web.get(f"/jobs/{job_id}/log/lines?attempt=1&lines=1-3000")
    assert many.headers["log-lines"] == "1-1000/3000", "an answer has its bounds"
    last = await browser.web.get(f"/jobs/{job_id}/log/lines?lines=-2")
    assert last.headers["log-lines"] == "2999-3000/3000"
    assert (await browser.web.get(f"/jobs/{job_id}/log/lines?lines=x")).status_code == 422
