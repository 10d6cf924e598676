"""Many tabs before one API: live together over one stream, and none loses what was typed into it."""

import os
import re
import signal
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import House
from tests.browser.test_logs import SECONDS, calm, steps
from tests.servers import wait_until

LOST = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "503", "ERR_EMPTY")


def test_eight_open_tabs_are_live_over_one_stream(house: House, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    script = f"until test -e {stop}; do echo still; sleep 0.2; done; echo over"
    jobs = [house.submit(script) for _ in range(2)]
    for job_id in jobs:
        house.stack.wait_for_status(job_id, "running", seconds=90)
    with house.look() as context:
        first = context.new_page()
        house.sign_in(first)
        tabs = [first, *(context.new_page() for _ in range(7))]
        for number, tab in enumerate(tabs):
            tab.goto(f"/jobs/{jobs[number % 2]}")
            expect(tab.locator("#live-state")).to_have_text("live", timeout=SECONDS)
        protocol: Any = context.new_cdp_session(first)
        targets: list[dict[str, str]] = protocol.send("Target.getTargets")["targetInfos"]
        workers = [each for each in targets if each["type"] == "shared_worker"]
        assert len(workers) == 1, "one holds the stream for all"
        for tab in tabs:
            expect(tab.locator(".line >> text=still").first).to_be_visible(timeout=SECONDS)
        stop.touch()
        for tab in tabs:
            expect(tab.locator(".line >> text=over")).to_be_visible(timeout=SECONDS)
            expect(tab.locator("h1 .badge")).to_contain_text("success", timeout=SECONDS)
        late = context.new_page()
        late.goto("/jobs", timeout=10_000)
        expect(late.locator("h1")).to_have_text("Jobs")
    calm(house)


def test_what_is_typed_stays_while_the_page_changes_and_the_api_dies(house: House, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    job_id = house.submit(f"until test -e {go_on}; do sleep 0.1; done; exit 3", "--retries", "0")
    house.stack.wait_for_status(job_id, "running")
    with house.look() as context:
        page = context.new_page()
        house.sign_in(page)
        page.goto(f"/jobs/{job_id}")
        expect(page.locator("#live-state")).to_have_text("live", timeout=SECONDS)
        icon = page.locator("link[rel=icon]")
        expect(icon).to_have_attribute("href", re.compile("favicon-running"))
        page.fill("form[action$=cancel] input[name=reason]", "half a rea")
        os.kill(house.stack.children()["api"], signal.SIGKILL)
        expect(page.locator("#live-state")).to_contain_text("reconnecting in", timeout=SECONDS)
        expect(page.locator("#live-state")).to_have_text("live", timeout=SECONDS)
        go_on.touch()
        expect(page.locator("h1 .badge")).to_contain_text("dead lettered", timeout=SECONDS)
        assert page.input_value("form[action$=cancel] input[name=reason]") == "half a rea"
        assert page.title().startswith("☠")
        expect(icon).to_have_attribute("href", re.compile("favicon-bad"))
    calm(house, *LOST)


def test_a_session_that_ends_while_a_form_is_filled_loses_nothing(house: House) -> None:
    job_id = house.submit("exit 5", "--retries", "0")
    house.stack.wait_for_status(job_id, "dead_lettered")
    for scripts in (True, False):
        with house.look(scripts=scripts) as context:
            page = context.new_page()
            page.goto("/")
            page.fill("input[name=key]", house.key)
            page.click("main button")
            page.goto(f"/jobs/{job_id}")
            page.fill("form[action$=redrive] input[name=reason]", "the disk was full")
            context.clear_cookies(name="hybridci_session")
            page.click("button:has-text('Run again')")
            expect(page.locator("h1")).to_have_text("You were signed out meanwhile")
            with context.expect_page() as opening:
                page.click("text=Sign in in a new tab")
            other = opening.value
            other.fill("input[name=key]", house.key)
            other.click("main button")
            expect(other.locator("h1")).to_have_text("Overview")
            page.click("text=I have signed in")
            expect(page.locator("h1")).to_have_text("Send it now?")
            expect(page.locator("main")).to_contain_text("the disk was full")
            if not scripts:
                page.click("main button:has-text('Send it')")
                expect(page.locator("h1 .badge")).to_be_visible()
    with house.stack.http() as api:
        wait_until(
            lambda: len(api.get(f"/api/dashboard/jobs/{job_id}").json()["attempts"]) > 1, seconds=60, what="a redrive"
        )
    calm(house, "401")


def test_a_tab_that_is_signed_out_says_so_and_comes_back(house: House) -> None:
    with house.look() as context:
        page = context.new_page()
        house.sign_in(page)
        expect(page.locator("#live-state")).to_have_text("live", timeout=SECONDS)
        context.clear_cookies()
        os.kill(house.stack.children()["api"], signal.SIGKILL)
        expect(page.locator("#live-state")).to_have_text("signed out", timeout=SECONDS)
        expect(page.locator("#live-said")).to_contain_text("signed out")
    calm(house, "401", *LOST)


def test_keys_the_theme_and_times(house: House) -> None:
    job_id = steps(house, ("one", "true"))
    house.stack.wait_for_status(job_id, "success")
    with house.look() as context:
        page = context.new_page()
        house.sign_in(page)
        page.keyboard.press("g")
        page.keyboard.press("j")
        expect(page.locator("h1")).to_have_text("Jobs")
        expect(page.locator("tbody time").first).to_have_text(re.compile("now|ago"))
        expect(page.locator("tbody time").first).to_have_attribute("title", re.compile("UTC"))
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_selector("log-view .log-bar")
        page.keyboard.press("/")
        expect(page.locator(".log-search input")).to_be_focused()
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        expect(page.locator("dialog")).to_be_visible()
        page.uncheck("#single-keys")
        page.keyboard.press("Escape")
        expect(page.locator("dialog")).to_be_hidden()
        page.locator("h1").click()
        page.keyboard.press("?")
        expect(page.locator("dialog")).to_be_hidden()
        page.click("#theme button")
        page.click("#theme button")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        page.goto("/jobs")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        expect(page.locator("#theme button")).to_have_text("Theme: dark")
    calm(house)
