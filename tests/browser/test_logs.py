"""The log viewer as it is used: live, any length, every line with an address, found, folded, copied, read aloud."""

import os
import re
import signal
import time
from itertools import pairwise
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import House

SECONDS = 60_000
_NEWEST = """() => {
  const texts = [...document.querySelectorAll(".line .x")].map((each) => each.textContent);
  const ticks = texts.filter((text) => text.startsWith("tick ")).map((text) => Number(text.split(" ")[1]));
  return Date.now() / 1000 - Math.max(...ticks);
}"""


def calm(house: House, *expected: str) -> None:
    left = [each for each in house.complaints if not any(words in each for words in expected)]
    house.complaints.clear()
    assert left == []


def line(page: Page, number: int) -> Locator:
    return page.locator(f'.line[data-line="{number}"]')


def open_log(house: House, page: Page, job_id: str, more: str = "") -> None:
    house.sign_in(page)
    page.goto(f"/jobs/{job_id}{more}")
    page.wait_for_selector("log-view .log-bar")


def steps(house: House, *scripts: tuple[str, str]) -> str:
    """A job of several steps."""
    spec = {
        "job_type": "test", "git_repo": house.repo.as_uri(), "git_commit_sha": house.commit[3], "git_author": "ann",
        "steps": [{"name": name, "run": script} for name, script in scripts], "retry": {"max_attempts": 1},
    }  # fmt: skip
    with house.stack.http() as api:
        answer = api.post("/api/dashboard/jobs", json=spec)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job_id"])


def test_a_line_is_seen_soon_and_reading_upwards_is_left_in_peace(house: House, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    job_id = house.submit(f"seq 1 200; until test -e {stop}; do echo tick $(date +%s.%N); sleep 0.1; done")
    house.stack.wait_for_status(job_id, "running")
    with house.look() as context:
        page = context.new_page()
        open_log(house, page, job_id)
        expect(page.locator(".line >> text=tick").first).to_be_visible(timeout=SECONDS)
        expect(page.locator(".log-state")).to_have_text("following")
        page.wait_for_function(f"() => ({_NEWEST})() < 1", timeout=SECONDS)  # a busy machine is late now and then
        page.locator(".log-lines").hover()
        page.mouse.wheel(0, -400)
        expect(page.locator(".log-state")).to_have_text("live")
        expect(page.locator(".log-new")).to_have_text(re.compile(r"^[\d,]+ new lines ↓$"), timeout=SECONDS)
        seen = page.locator(".line").first.get_attribute("data-line")
        page.wait_for_timeout(1000)
        assert page.locator(".line").first.get_attribute("data-line") == seen, "nothing moves under who reads"
        assert page.locator(".line").count() < 300
        page.click(".log-new")
        expect(page.locator(".log-state")).to_have_text("following")
        expect(page.locator(".log-new")).to_be_hidden()
        stop.touch()
        expect(page.locator(".log-state")).to_have_text("ended", timeout=SECONDS)
        expect(page.locator("h1 .badge")).to_contain_text("success", timeout=SECONDS)
    calm(house)


def test_steps_are_folded_and_times_count_from_where_one_wants(house: House) -> None:
    job_id = steps(house, ("build", "seq 1 3000"), ("test", "sleep 1.2; echo late; echo an error; exit 3"))
    house.stack.wait_for_status(job_id, "dead_lettered")
    with house.look() as context:
        page = context.new_page()
        open_log(house, page, job_id)
        expect(page.locator(".log-steps button")).to_have_text(["✓ build", "✗ test"], timeout=SECONDS)
        page.click("text=✓ build")
        expect(page.locator(".line.step").first).to_be_in_viewport()
        page.locator(".fold").first.click()
        expect(page.locator(".folded").first).to_contain_text("3,000 lines")
        page.locator(".log-range, footer").last.scroll_into_view_if_needed()
        expect(page.locator(".line >> text=late")).to_be_in_viewport()
        page.locator("select[aria-label=Times]").select_option("step")
        late = page.locator(".line:has-text('late') .t")
        expect(late).to_have_text(re.compile(r"^\+1\.[2-9]"), timeout=SECONDS)
        page.locator("select[aria-label=Times]").select_option("utc")
        expect(late).to_have_text(re.compile(r"^\d\d:\d\d:\d\d\.\d{3}$"))
        page.fill(".log-search input", "2999")
        page.keyboard.press("Enter")
        expect(page.locator(".line.now .x")).to_have_text("2999", timeout=SECONDS)
        expect(page.locator(".folded").first).to_have_text("")
        page.click("text=First error")
        expect(page.locator(".line.now .x")).to_have_text("an error", timeout=SECONDS)
        page.click("button:has-text('Fold steps')")
        expect(page.locator(".line.step")).to_have_count(2)
        expect(page.locator(".line >> text=2999")).to_have_count(0)
    calm(house)


def test_every_hit_of_a_whole_log_is_reached_and_a_range_has_an_address(house: House) -> None:
    job_id = house.submit("seq -f %.0f# 1 120000")
    house.stack.wait_for_status(job_id, "success")
    with house.look() as context:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        open_log(house, page, job_id, "#a1:L5")
        expect(page.locator(".line.chosen")).to_be_in_viewport(timeout=SECONDS)
        page.fill(".log-search input", "99#")  # no commit in the log's head has it
        page.keyboard.press("Enter")
        count = sum(str(number).endswith("99") for number in range(1, 120_001))
        hits = page.locator(".log-count")
        expect(hits).to_have_text(re.compile(rf"^1 of {count:,}$"), timeout=SECONDS)
        page.click("[aria-label=Previous]")
        expect(hits).to_have_text(f"{count:,} of {count:,}", timeout=SECONDS)
        expect(page.locator(".line.now .x")).to_have_text("119999#")
        page.click("[aria-label=Next]")
        expect(page.locator(".line.now .x")).to_have_text("99#")
        now = int(page.locator(".line.now").get_attribute("data-line") or 0)
        line(page, now).locator("a.n").click()
        line(page, now + 2).locator("a.n").click(modifiers=["Shift"])
        assert page.url.endswith(f"#a1:L{now}-L{now + 2}")
        page.click(".log-range button:has-text('Copy') >> nth=0")
        expect(hits).to_have_text(f"copied lines {now} to {now + 2}")
        assert page.evaluate("navigator.clipboard.readText()") == "99#\n100#\n101#\n"
        page.click("text=Copy with times")
        expect(hits).to_have_text(f"copied lines {now} to {now + 2}")
        page.wait_for_timeout(300)
        assert re.fullmatch(r"(\d{4}-\d\d-\d\dT\S+Z \d+#\n){3}", page.evaluate("navigator.clipboard.readText()"))
        again = context.new_page()
        again.goto(page.url)
        expect(again.locator(".line.chosen .x")).to_have_text(["99#", "100#", "101#"], timeout=SECONDS)
    calm(house)


def _below_the_last(page: Page) -> float:
    """Pixels of the box below the last line, which is in it; 8 are its margin."""
    page.wait_for_timeout(400)
    found: float = page.evaluate(
        """() => document.querySelector(".log-lines").getBoundingClientRect().bottom
             - [...document.querySelectorAll("log-view .line")].at(-1).getBoundingClientRect().bottom"""
    )
    expect(page.locator("log-view .line").last).to_have_text(re.compile(r"exit code 0\)\.$"))
    assert found >= 0
    return found


def test_long_lines_are_wrapped_and_the_last_one_stands_at_the_bottom(house: House) -> None:
    job_id = house.submit("for i in $(seq 1 300); do printf '%s %0.s-' $i $(seq 1 200); echo; done; echo the last")
    house.stack.wait_for_status(job_id, "success")
    with house.look(390) as context:
        page = context.new_page()
        open_log(house, page, job_id)
        expect(page.locator(".line >> text=the last")).to_be_visible(timeout=SECONDS)
        page.click("button:has-text('Wrap')")
        assert _below_the_last(page) < 20
        rows = page.evaluate(
            """() => [...document.querySelectorAll("log-view .line")].map((each) => each.getBoundingClientRect())
                 .map((each) => [each.top, each.bottom])"""
        )
        assert all(abs(above[1] - below[0]) < 1.5 for above, below in pairwise(rows)), "no gap"
        assert max(bottom - top for top, bottom in rows) > 40
        page.click("[aria-label=Start]")
        page.locator(".log-lines").evaluate("(box) => box.scrollIntoView()")
        expect(line(page, 1)).to_be_in_viewport()
        page.locator(".log-lines").hover()
        for _ in range(40):
            page.mouse.wheel(0, 2000)
        page.wait_for_timeout(500)
        page.mouse.wheel(0, 4000)
        page.click("[aria-label=End]")
        assert _below_the_last(page) < 20
    calm(house)


def test_attempts_change_without_a_reload_and_a_log_is_read_as_text(house: House, tmp_path: Path) -> None:
    second = tmp_path / "second"
    job_id = house.submit(f"if test -e {second}; then echo it worked; else touch {second}; echo it broke; exit 1; fi")
    house.stack.wait_for_status(job_id, "success", seconds=90)
    with house.look() as context:
        page = context.new_page()
        open_log(house, page, job_id)
        expect(page.locator(".log-lines")).to_contain_text("it worked", timeout=SECONDS)
        page.evaluate("window.same = true")
        page.click(".log-attempts a >> nth=0")
        expect(page.locator(".log-lines")).to_contain_text("it broke", timeout=SECONDS)
        assert page.url.endswith("?attempt=1")
        page.evaluate("location.hash = '#a2:L2'")
        expect(page.locator(".log-lines")).to_contain_text("it worked", timeout=SECONDS)
        assert page.evaluate("window.same"), "the page was not loaded again"
        page.click("text=Read as text")
        expect(page.locator("h1")).to_have_text("Log of attempt 2")
        expect(page.locator("main")).to_contain_text("it worked")
        page.go_back()
        with page.expect_download() as downloading:
            page.click("text=Download")
        assert "it worked" in Path(downloading.value.path()).read_text()
    calm(house)


def test_a_line_of_an_attempt_that_is_not_the_last_is_opened(house: House, tmp_path: Path) -> None:
    second = tmp_path / "second"
    job_id = house.submit(f"if test -e {second}; then echo it worked; else touch {second}; seq 1 2000; exit 1; fi")
    house.stack.wait_for_status(job_id, "success", seconds=90)
    with house.look() as context:
        page = context.new_page()
        open_log(house, page, job_id, "#a1:L1500")
        expect(line(page, 1500)).to_have_class(re.compile("chosen"), timeout=SECONDS)
        assert page.evaluate("location.hash") == "#a1:L1500"
    calm(house)


def test_who_follows_goes_on_to_each_further_attempt(house: House, tmp_path: Path) -> None:
    script = (
        f"n=$(ls {tmp_path} | wc -l); until test $(ls {tmp_path} | wc -l) -gt $n; do sleep 0.1; done; echo try $n; "
    )
    job_id = house.submit(f"{script} test $n -gt 1", "--retries", "2")
    with house.look() as context:
        page = context.new_page()
        house.stack.wait_for_status(job_id, "running")
        open_log(house, page, job_id)
        for number in (1, 2, 3):
            expect(page.locator(".log-lines")).to_have_attribute(
                "aria-label", f"Log of attempt {number}", timeout=SECONDS
            )
            expect(page.locator(f"#attempt-{number} .badge").first).to_contain_text("running", timeout=SECONDS)
            expect(page.locator(".log-state")).to_have_text("following", timeout=SECONDS)
            (tmp_path / str(number)).touch()
        expect(page.locator(".line >> text=try 2")).to_be_visible(timeout=SECONDS)
        expect(page.locator(".log-attempts a").nth(0)).to_contain_text("failed", timeout=SECONDS)
        expect(page.locator(".log-attempts a").nth(2)).to_contain_text("succeeded", timeout=SECONDS)
        assert "attempt=" not in page.url, "nobody has chosen one"
    calm(house)


def test_a_log_outlives_the_api_and_the_end_of_its_agent(house: House, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    script = f"for i in $(seq 1 400); do echo number $i; sleep 0.05; done; until test -e {go_on}; do sleep 0.1; done"
    job_id = house.submit(script, "--retries", "0")
    house.stack.wait_for_status(job_id, "running")
    with house.look() as context:
        page = context.new_page()
        open_log(house, page, job_id)
        expect(page.locator(".line >> text=number").first).to_be_visible(timeout=SECONDS)
        os.kill(house.stack.children()["api"], signal.SIGKILL)
        expect(page.locator("#live-state")).to_contain_text("reconnecting in", timeout=SECONDS)
        expect(page.locator("#live-state")).to_have_text("live", timeout=SECONDS)
        expect(page.locator(".line >> text=number 400")).to_be_visible(timeout=SECONDS)
        shown = page.evaluate("[...document.querySelectorAll('.line .x')].map((each) => each.textContent)")
        numbers = [int(each.split()[1]) for each in shown if each.startswith("number ")]
        assert numbers == list(range(numbers[0], 401)), "no gap and no repetition"
        agent = next(pid for name, pid in house.stack.children().items() if name.startswith("agent"))
        os.kill(agent, signal.SIGKILL)
        go_on.touch()
        expect(page.locator("h1 .badge")).not_to_contain_text("running", timeout=3 * SECONDS)
        expect(page.locator(".line >> text=number 400")).to_be_visible()
    calm(house, "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "503", "ERR_EMPTY")


def test_who_follows_for_long_keeps_little(house: House) -> None:
    job_id = house.submit("for i in $(seq 1 60); do seq 1 5000; sleep 0.02; done; echo done now")
    with house.look() as context:
        page = context.new_page()
        open_log(house, page, job_id)
        began = time.monotonic()
        most = 0
        while page.locator(".line >> text=done now").count() == 0:
            most = max(most, page.locator(".line").count())
            assert time.monotonic() - began < 60
        assert most < 300
        assert page.evaluate("document.querySelector('log-view').source.ranges.size") <= 24
    calm(house)
