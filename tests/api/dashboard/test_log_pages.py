"""A log as text, for who has no scripts or hears the page; and its lines for the viewer."""

import json
import re

from tests.api.conftest import Bench
from tests.api.dashboard.browser import Browser, signed_in
from workflows.contracts.jobs import StepResult
from workflows.contracts.statuses import JobStatus

_MIDDLE = b"".join(b"line %d\n" % each for each in range(2, 1300))
TEXT: bytes = b"--- build\n" + _MIDDLE + b"--- test\nit <b>broke</b>\n"


async def _with_log(bench: Bench) -> tuple[Browser, str]:
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.log(job_id, 0, TEXT, final=True)
    job = await bench.job_client.end_attempt(job_id, 1, status=JobStatus.FAILED, log_bytes=len(TEXT))
    begin = TEXT.index(b"--- test")
    steps = [
        StepResult(name="build", exit_code=0, log_start=0, log_end=begin),
        StepResult(name="test", exit_code=2, log_start=begin, log_end=len(TEXT)),
    ]
    await bench.job_client.put(job, attempts=[job.attempts[0].model_copy(update={"steps": steps})])
    return await signed_in(bench), job_id


def _numbers(page: str) -> list[int]:
    return [int(each) for each in re.findall(r'<div class="line" id="L(\d+)">', page)]


async def test_a_log_is_read_as_text_from_either_end(bench: Bench) -> None:
    browser, job_id = await _with_log(bench)
    last = await browser.see(f"/jobs/{job_id}/log")
    assert _numbers(last) == list(range(802, 1302))
    assert "<h2>Step 2: test</h2>" in last
    assert "it &lt;b&gt;broke&lt;/b&gt;" in last
    earlier = re.search(r'rel="prev" href="([^"]+)"', last)
    assert earlier is not None
    page = await browser.see(earlier[1].replace("&amp;", "&"))
    assert _numbers(page) == list(range(302, 802))
    first = await browser.see(f"/jobs/{job_id}/log?attempt=1&lines=1-500")
    assert _numbers(first) == list(range(1, 501))
    assert 'rel="prev"' not in first
    assert 'rel="next"' in first
    assert 'lines=1300-1799#L1300">Step 2: test</a>' in first
    assert "ends at line 3" in await browser.see(f"/jobs/{job_id}/log?lines=9-3")


async def test_the_viewer_gets_any_lines_and_how_many_there_are(bench: Bench) -> None:
    browser, job_id = await _with_log(bench)
    answer = await browser.web.get(f"/jobs/{job_id}/log/lines?attempt=1&lines=1290-9999")
    assert answer.headers["log-lines"] == "1290-1301/1301"
    assert answer.text.count('class="line"') == 12
    job = await browser.see(f"/jobs/{job_id}")
    facts = re.search(r'data-facts="([^"]+)"', job)
    assert facts is not None
    assert json.loads(facts[1].replace("&#34;", '"')) == {"attempt": 1, "attempts": [1], "runs": [], "over": True}
    assert f'href="/jobs/{job_id}/log?attempt=1">Read as text</a>' in job
    assert 'role="log" aria-live="off"' in job
