"""The pages of jobs, dead letters and logs."""

import re
from urllib.parse import quote

import pytest

from tests.api.conftest import Bench
from tests.api.dashboard.browser import HOSTILE, HTML, signed_in
from workflows.contracts.jobs import Attempt, Job, StepResult
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, Outcome


async def test_forms_do_what_they_say(bench: Bench) -> None:
    browser = await signed_in(bench)
    job_id = await bench.submit()
    answer = await browser.submit(f"/jobs/{job_id}/cancel", reason="not needed")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job_id}")
    assert (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()["status"] == "cancelled"
    again = await browser.submit(f"/jobs/{job_id}/retry")
    assert again.status_code == 303
    assert again.headers["location"] not in {f"/jobs/{job_id}", "/jobs/"}, "the new job's page"


async def parked(bench: Bench, **changes: object) -> str:
    job_id = await bench.submit(**changes)
    await bench.start(job_id)
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED)
    return job_id


def seen_on(page: str) -> str:
    found = re.search(r'name="seen" value="(\w+)"', page)
    assert found is not None
    return found[1]


async def test_a_dead_letter_is_changed_and_runs_again(bench: Bench) -> None:
    job_id = await parked(bench, env={"DB": "live", "OLD": "1"})
    browser = await signed_in(bench)
    page = await browser.see(f"/jobs/{job_id}")
    assert "(now: DB, OLD)" in page
    same = {"pool": "default", "priority": "NORMAL", "timeout_seconds": "3600"}
    wrong = await browser.submit(f"/jobs/{job_id}/review", **{**same, "timeout_seconds": "soon"}, env="DB=test")
    assert wrong.status_code == 422
    assert "timeout_seconds" in wrong.text
    assert "DB=test" in wrong.text, "what was filled in is kept"
    changed = {**same, "pool": "big", "max_attempts": "2", "env": "DB=test\r\nOLD", "reason": "the other database"}
    review = await browser.submit(f"/jobs/{job_id}/review", **changed)
    assert review.status_code == 200
    differs = re.findall(r'<th scope="row">([^<]+)</th>\s*<td>(.*?)</td>\s*<td>(.*?)</td>', review.text)
    assert [tuple(re.sub("<[^>]+>", "", cell) for cell in row) for row in differs] == [
        ("pool", "default", "big"), ("max attempts", "not set", "2"), ("env DB", "live", "test"),
        ("env OLD", "1", "taken away"),
    ]  # fmt: skip
    record = (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()
    assert (record["status"], record["pool"]) == ("dead_lettered", "default"), "a look changes nothing"
    answer = await browser.submit(f"/jobs/{job_id}/redrive", **changed, seen=seen_on(review.text))
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job_id}")
    job = (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()
    assert (job["pool"], job["priority"], job["timeout_seconds"], job["env"]) == ("big", "NORMAL", 3600, {"DB": "test"})


async def test_a_dead_letter_is_changed_and_stays(bench: Bench) -> None:
    job_id = await parked(bench)
    browser = await signed_in(bench)
    seen = seen_on(await browser.see(f"/jobs/{job_id}"))
    answer = await browser.submit(f"/jobs/{job_id}/edit", pool="big", seen=seen)
    assert answer.status_code == 303
    job = (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()
    assert (job["status"], job["pool"]) == ("dead_lettered", "big")


@pytest.mark.parametrize("command", ["redrive", "discard", "edit"])
async def test_the_second_of_two_people_on_one_page_is_told(bench: Bench, command: str) -> None:
    job_id = await parked(bench)
    ann, bob = await signed_in(bench), await signed_in(bench)
    seen = seen_on(await ann.see(f"/jobs/{job_id}"))
    assert (await ann.submit(f"/jobs/{job_id}/edit", pool="big", seen=seen)).status_code == 303
    second = await bob.submit(f"/jobs/{job_id}/{command}", pool="small", seen=seen, reason="mine")
    assert second.status_code == 409
    assert "Somebody was faster" in second.text
    assert "as it is" in second.text, "and decides again, by what is there now"
    job = (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()
    assert (job["status"], job["pool"]) == ("dead_lettered", "big"), "nothing was done twice"


async def test_a_new_job_comes_once_of_a_form_that_is_sent_twice(bench: Bench) -> None:
    job_id = await bench.submit()
    browser = await signed_in(bench)
    await browser.submit(f"/jobs/{job_id}/cancel")
    key = re.search(r'name="key" value="([\w-]+)"', await browser.see(f"/jobs/{job_id}"))
    assert key is not None
    first, again = [await browser.submit(f"/jobs/{job_id}/retry", key=key[1]) for _ in range(2)]
    assert first.headers["location"] == again.headers["location"] != f"/jobs/{job_id}"


async def test_a_queued_job_gets_another_place_and_other_labels(bench: Bench) -> None:
    job_id = await bench.submit(labels={"service": "cart"})
    browser = await signed_in(bench)
    assert "Change its place in line" in await browser.see(f"/jobs/{job_id}")
    moved = await browser.submit(f"/jobs/{job_id}/amend", priority="HIGH", pool="big")
    assert moved.status_code == 303, moved.text[:500]
    labelled = await browser.submit(f"/jobs/{job_id}/amend", labels="service=cart\r\nteam=x", tags="night")
    assert labelled.status_code == 303, labelled.text[:500]
    job = (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()
    assert (job["priority"], job["pool"], job["labels"], job["tags"]) == (
        "HIGH", "big", {"service": "cart", "team": "x"}, ["night"],
    )  # fmt: skip


async def test_filters_are_asked_of_the_api_and_stay_in_the_address(bench: Bench) -> None:
    mine = await bench.submit(labels={"team": "shop", "service": "cart"}, git_ref="main")
    other = await bench.submit(git_ref="next")
    browser = await signed_in(bench)
    for query in ("label=team%3Dshop", "service=cart&since=2h", "branch=main&status=queued", "commit=aaaa&branch=main"):
        page = await browser.see(f"/jobs?{query}")
        assert f"job-{mine}" in page, query
        assert f"job-{other}" not in page, query
    for query, field in (("since=soon", "since"), ("commit=xyz", "commit"), ("label=owner%3Dann", "label")):
        page = await browser.see(f"/jobs?{query}", 422)
        assert f"<code>{field}</code>" in page
        assert f'value="{query.partition("=")[2].replace("%3D", "=")}"' in page, "what was written is kept"
    assert "job-" not in await browser.see("/jobs?until=2020-01-01")


async def test_the_box_goes_straight_to_the_one_job_that_fits(bench: Bench) -> None:
    one = await bench.submit(git_commit_sha="c0ffee" + "0" * 34)
    await bench.submit()
    await bench.submit()
    browser = await signed_in(bench)
    for words in (one, one[:13].upper(), "c0ffee", f" {one} "):
        answer = await browser.web.get("/jobs", params={"q": words}, headers=HTML)
        assert (answer.status_code, answer.headers.get("location")) == (303, f"/jobs/{one}"), words
    assert "These begin with" in await browser.see("/jobs?q=aaaaaaa")
    assert "begins with" in await browser.see("/jobs?q=ffff")
    assert "neither a job" in await browser.see(f"/jobs?q={quote('<b>')}")


async def test_a_step_leads_to_its_line_in_the_log(bench: Bench) -> None:
    job_id = await bench.submit(steps=[{"name": "unit", "run": "x"}, {"name": "unit", "run": "y"}])
    await bench.start(job_id)
    await bench.log(job_id, 0, b"--- Check out\n--- unit\nout\n--- other\n--- unit\n", final=True)
    browser = await signed_in(bench)
    for step, place in (("1", "#a1:L2"), ("2", "#a1:L5"), ("3", "#log"), ("0", "#log"), ("\u00b2", "#log")):
        answer = await browser.web.get(f"/jobs/{job_id}?attempt=1&step={quote(step)}", headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job_id}?attempt=1{place}")


async def test_a_step_is_found_behind_those_that_did_not_run(bench: Bench) -> None:
    job_id = await bench.submit(steps=[{"name": name, "run": "x"} for name in ("a", "b", "c")])
    await bench.start(job_id)
    await bench.log(job_id, 0, b"--- c\nout\n", final=True)
    job = await bench.stores.jobs.get(job_id)
    assert job is not None
    steps = [
        StepResult(name="a", started_at=1, finished_at=2, resumed=True),
        StepResult(name="b"),
        StepResult(name="c", started_at=5, finished_at=6),
    ]
    await bench.job_client.put(job, attempts=[job.attempts[0].model_copy(update={"steps": steps})])
    browser = await signed_in(bench)
    for step, place in (("1", "#log"), ("2", "#log"), ("3", "#a1:L1")):
        answer = await browser.web.get(f"/jobs/{job_id}?attempt=1&step={step}", headers=HTML)
        assert answer.headers["location"] == f"/jobs/{job_id}?attempt=1{place}"


async def test_the_page_links_to_the_workflow_where_the_temporal_ui_is_known(bench: Bench) -> None:
    job_id = await bench.submit()
    browser = await signed_in(bench)
    assert "in Temporal" not in await browser.see(f"/jobs/{job_id}")
    ui = "https://temporal.example.com/namespaces/ci/workflows"
    object.__setattr__(bench.app.state.services, "temporal_workflows", ui)
    assert f'href="{ui}/job-{job_id}"' in await browser.see(f"/jobs/{job_id}")


async def test_lists_of_the_temporal_ui_are_linked_where_it_is_known(bench: Bench) -> None:
    browser = await signed_in(bench)
    assert "HYBRIDCI_TEMPORAL_UI_URL" in await browser.see("/temporal")
    ui = "https://temporal.example.com/namespaces/ci/workflows"
    object.__setattr__(bench.app.state.services, "temporal_workflows", ui)
    shown = await browser.see("/temporal")
    assert shown.count(f'href="{ui}?query=%60WorkflowType%60') == 5
    assert "HYBRIDCI_TEMPORAL_UI_URL" not in shown


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


async def test_the_page_shows_what_the_steps_said(bench: Bench) -> None:
    job_id = await bench.submit(steps=[{"name": "unit", "run": "x"}, {"name": "tell", "run": "y", "when": "failure"}])
    job = await bench.stores.jobs.get(job_id)
    assert job is not None
    done = StepResult(name="unit", outcome=Outcome.SUCCEEDED, exit_code=0, started_at=5, finished_at=9)
    attempt = Attempt(
        number=1, queued_at=1, claimed_at=2, started_at=3, finished_at=10, outcome=Outcome.SUCCEEDED,
        steps=[done, StepResult(name="tell")], summary=f"# Fine\n\n{HOSTILE} [r](https://ok.example)",
        outputs={"VERSION": "1.2\u202e", "NOTES": f"first\n{HOSTILE}", "EMPTY": ""},
        resumed="From the beginning: nothing is kept of what had been done.",
    )  # fmt: skip
    shown = {"status": "success", "queue_status": "COMPLETED", "flaky": True, "attempts": [attempt], "sequence": 900}
    changed = Job.model_validate({**job.model_dump(), **shown})
    await bench.stores.jobs.write(JobWrite(job=changed, previous=job.queue_status))
    browser = await signed_in(bench)
    page = await browser.see(f"/jobs/{job_id}")
    assert '<span class="flaky"' in page
    assert "<h3>Fine</h3>" in page
    assert '<a href="https://ok.example" rel="noopener noreferrer nofollow">r</a>' in page
    assert '<code>1.2<span class="odd">U+202E</span></code>' in page
    assert re.search(r"<summary>first <span", page), "a long one is folded"
    assert "From the beginning: nothing is kept" in page
    assert "not needed: it runs only after a failure" in page
    assert "<script>alert(2)" not in page
    assert "<img" not in page
    assert '<span class="flaky">' in await browser.see("/jobs")


async def test_the_page_says_in_which_round_a_redriven_dead_letter_is(bench: Bench) -> None:
    job_id = await parked(bench)
    browser = await signed_in(bench)
    assert "round" not in await browser.see(f"/jobs/{job_id}")
    job = await bench.stores.jobs.get(job_id)
    assert job is not None
    second = job.attempts[0].model_copy(update={"number": 2})
    await bench.job_client.put(job, attempts=[*job.attempts, second], round=2, round_start=1)
    page = await browser.see(f"/jobs/{job_id}")
    assert "round 2 began behind attempt 1" in page
    headings = [re.sub(r"<[^>]+>", "", each) for each in re.findall(r"<b>Attempt .*", page)]
    assert ["(round 2, attempt 1)" in each for each in headings] == [True, False]
