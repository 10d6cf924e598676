"""What operators and approvers do in a browser, on real servers: no story ends with a word on the console."""

import os
import signal
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import House

SECONDS = 60_000
PAGES = (
    "/",
    "/jobs",
    "/dead-letters",
    "/deployments",
    "/services",
    "/services/checkout",
    "/agents",
    "/webhooks",
    "/audit",
)


def _overflows(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def _calm(house: House, *expected: str) -> None:
    """Nobody complained, but for what had to fail."""
    left = [each for each in house.complaints if not any(words in each for words in expected)]
    house.complaints.clear()
    assert left == []


def test_why_a_job_died_and_getting_it_through(house: House, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    job_id = house.submit(f"echo looking for {mended}; test -e {mended}", "--retries", "0")
    with house.look() as context:
        page = context.new_page()
        house.sign_in(page)
        page.click("nav >> text=Dead letters")
        page.click(f"main a:has-text('{job_id[:8]}')", timeout=SECONDS)
        expect(page.locator(".box.bad")).to_contain_text("exit code 1")
        expect(page.locator(".log-lines")).to_contain_text("looking for", timeout=SECONDS)
        mended.touch()
        page.fill("form[action$=redrive] input[name=reason]", "the file is there now")
        page.click("button:has-text('Run again')")
        expect(page.locator("h1 .badge")).to_contain_text("success", timeout=SECONDS)
        assert "✓" in page.title()
    _calm(house)


def test_an_approval_on_a_phone_and_a_rollback(house: House) -> None:
    for version in ("1.0", "1.1"):
        done = house.stack.cli(
            "deploy", "start", "checkout", "--version", version, *house.commit
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with house.look(390) as context:
            page = context.new_page()
            house.sign_in(page)
            page.click(f"main a:has-text('checkout {version}')", timeout=SECONDS)
            page.click("button:has-text('Approve')", timeout=SECONDS)
            expect(page.locator("h1 .badge")).to_contain_text("live", timeout=SECONDS)
            assert _overflows(page) == 0
    with house.look() as context:
        page = context.new_page()
        house.sign_in(page)
        page.goto("/services/checkout")
        page.click("main a:has-text('1.1') >> nth=0")
        page.fill("form[action$=rollback] input[name=reason]", "customers complain")
        page.fill("form[action$=rollback] input[name=typed]", "checkout")
        page.click("button:text-is('Roll back')")
        expect(page.locator("h1 .badge")).to_contain_text("rolled back", timeout=SECONDS)
    _calm(house)


def test_a_line_of_a_long_log_is_found_and_has_an_address(house: House) -> None:
    job_id = house.submit("seq 1 60000; printf 'a %s\\n' needle; seq 1 60000")
    house.stack.wait_for_status(job_id, "success")
    with house.look() as context:
        page = context.new_page()
        house.sign_in(page)
        page.goto(f"/jobs/{job_id}")
        expect(page.locator(".line >> text=60000").last).to_be_visible(timeout=SECONDS)
        assert page.locator(".line").count() < 300, "only what is seen is in the document"
        page.fill("input[type=search]", "a needle")
        page.keyboard.press("Enter")
        expect(page.locator(".line.now .x")).to_have_text("a needle", timeout=SECONDS)
        line = page.locator(".line.now").get_attribute("data-line")
        page.locator(".line.now a.n").click()
        assert page.url.endswith(f"#a1:L{line}")
        again = context.new_page()
        again.goto(page.url)
        expect(again.locator(".line.chosen .x")).to_have_text("a needle", timeout=SECONDS)
        expect(again.locator(".line.chosen")).to_be_in_viewport()
    _calm(house)


def test_a_log_is_followed_and_the_page_outlives_the_api(house: House, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    script = f"echo first; until test -e {go_on}; do sleep 0.1; done; echo second; sleep 1"
    job_id = house.submit(script)
    house.stack.wait_for_status(job_id, "running")
    with house.look() as context:
        page = context.new_page()
        house.sign_in(page)
        page.goto(f"/jobs/{job_id}")
        expect(page.locator(".log-lines")).to_contain_text("first", timeout=SECONDS)
        expect(page.locator("#live-state")).to_have_text("live", timeout=SECONDS)
        os.kill(house.stack.children()["api"], signal.SIGKILL)
        expect(page.locator("#live-state")).to_contain_text("reconnecting", timeout=SECONDS)
        expect(page.locator("#live-state")).to_have_text("live", timeout=SECONDS)
        go_on.touch()
        expect(page.locator(".log-lines")).to_contain_text("second", timeout=SECONDS)
        expect(page.locator("h1 .badge")).to_contain_text("success", timeout=SECONDS)
    _calm(house, "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "503")


def test_without_scripts_everything_can_be_read_and_done(house: House) -> None:
    job_id = house.submit("echo no scripts here; exit 4", "--retries", "0")
    house.stack.wait_for_status(job_id, "dead_lettered")
    with house.look(scripts=False) as context:
        page = context.new_page()
        house.sign_in(page)
        page.goto(f"/jobs/{job_id}")
        expect(page.locator(".log-lines")).to_contain_text("no scripts here")
        page.click("summary:has-text('Give it up')")
        page.click("button:has-text('Give up')")
        expect(page.locator("h1 .badge")).to_contain_text("failed")
        page.click("text=Sign out")
        expect(page.locator("h1")).to_have_text("Sign in")


def test_the_first_click_shows_the_dashboard(house: House) -> None:
    link = house.stack.cli("open", "--print").stdout.strip()
    with house.look() as context:
        page = context.new_page()
        page.goto(link)
        expect(page.locator("h1")).to_have_text("Overview", timeout=SECONDS)
        assert "#" not in page.url
        again = context.browser.new_context() if context.browser else context
        page = again.new_page()
        page.goto(link)
        expect(page.locator("#problem")).to_contain_text("hybridci open", timeout=SECONDS)
    _calm(house, "401")


def test_every_page_fits_and_is_calm_in_both_themes(house: House) -> None:
    for width in (320, 390, 1280):
        with house.look(width) as context:
            page = context.new_page()
            house.sign_in(page)
            for path in (
                "/",
                "/jobs",
                "/dead-letters",
                "/deployments",
                "/services",
                "/services/checkout",
                "/agents",
                "/audit",
            ):
                for scheme in ("light", "dark"):
                    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                    page.goto(path)
                    page.wait_for_selector("h1")
                    assert _overflows(page) == 0, (width, path)
    _calm(house)
