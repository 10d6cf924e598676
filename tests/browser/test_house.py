"""What is done in the rooms of services, agents and access, in a browser, on real servers."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import House

SECONDS = 60_000
ENDS = ("selectionStart", "selectionEnd")
TEXT = """name: shop
git_repo: https://example.com/shop.git
environments:
  - name: production
    steps:
      - {name: deploy, run: 5}
"""


def _calm(house: House, *expected: str) -> None:
    left = [each for each in house.complaints if not any(words in each for words in expected)]
    house.complaints.clear()
    assert left == []


def test_a_service_is_written_with_an_error_at_a_line_mended_and_applied(house: House) -> None:
    with house.look() as context:
        page = context.new_page()
        house.sign_in(page)
        page.goto("/new-service")
        page.fill("#text", TEXT)
        page.click("button:has-text('Check')")
        expect(page.locator("#errors")).to_contain_text("line 6", timeout=SECONDS)
        page.click("#errors a:has-text('line 6')")
        begin, end = (page.evaluate(f"document.getElementById('text').{each}") for each in ENDS)
        assert page.input_value("#text")[begin:end] == "      - {name: deploy, run: 5}"
        mended = TEXT.replace("run: 5", "run: ./deploy.sh")
        page.fill("#text", mended)
        page.click("button:has-text('Check')")
        expect(page.locator("#checked")).to_contain_text("+git_repo", timeout=SECONDS)
        page.click("button:has-text('Register')")
        expect(page.locator("h1")).to_have_text("shop", timeout=SECONDS)
        page.click("text=Change it")
        page.fill("#text", page.input_value("#text") + "description: The shop\n")
        page.click("button:has-text('Check')")
        expect(page.locator("#checked")).to_contain_text("+description: The shop", timeout=SECONDS)
        page.click("button:has-text('Apply')")
        expect(page.locator("main")).to_contain_text("definition 2", timeout=SECONDS)
        page.click("a:has-text('Definition')")
        expect(page.locator("pre.difference .add")).to_contain_text(["description: The shop"], timeout=SECONDS)
    _calm(house, "422")


def test_a_freeze_is_drawn_and_removed(house: House) -> None:
    with house.look(390) as context:
        page = context.new_page()
        house.sign_in(page)
        page.goto("/services/checkout")
        production = page.locator("section[aria-label=production]")
        production.locator("text=Freeze it for a time").click()
        production.locator("input[name=name]").fill("fair")
        production.locator("input[name=hours]").fill("48")
        production.locator("button:has-text('Freeze')").click()
        expect(page.locator("svg.calendar rect.freeze")).to_have_count(1, timeout=SECONDS)
        page.click("button:has-text('End it')")
        expect(page.locator("svg.calendar rect.freeze")).to_have_count(0, timeout=SECONDS)
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    _calm(house)


def test_a_key_is_shown_once_and_revoked_and_signing_out_reaches_everywhere(house: House) -> None:
    with house.look() as here, house.look() as there:
        page, other = here.new_page(), there.new_page()
        house.sign_in(page)
        house.sign_in(other)
        page.goto("/access")
        if not page.locator("input[name=name]").is_visible():
            page.click("text=Make a key")
        page.fill("input[name=name]", "nightly deliveries")
        page.click("button:has-text('Make it')")
        secret = page.locator("#secret").inner_text()
        page.click("text=I have it")
        expect(page.locator("main")).not_to_contain_text(secret)
        row = page.locator("tr", has_text="nightly deliveries")  # ids of sessions are any letters
        row.locator("summary:has-text('Revoke')").click()
        row.locator("input[name=sure]").check()
        row.locator("button:has-text('Revoke')").click()
        expect(page.locator("main")).to_contain_text("revoked", timeout=SECONDS)
        page.click("button:has-text('Sign out everywhere')")
        expect(page.locator("h1")).to_have_text("Sign in", timeout=SECONDS)
        other.goto("/jobs")
        expect(other.locator("h1")).to_have_text("Sign in", timeout=SECONDS)
    _calm(house)


def test_an_agent_is_drained_and_resumed(house: House) -> None:
    with house.look() as context:
        page = context.new_page()
        house.sign_in(page)
        page.goto("/agents")
        page.locator("main tbody a").first.click()
        expect(page).to_have_url(re.compile(r"/agents/[^/]+$"))
        page.click("button:has-text('Pause')")
        expect(page.locator("main")).to_contain_text("paused until resumed", timeout=SECONDS)
        page.click("button:has-text('Resume')")
        expect(page.locator("button:has-text('Pause')")).to_be_visible(timeout=SECONDS)
        page.click("button:has-text('Drain')")
        expect(page.locator("h1, main")).to_contain_text(["draining"], timeout=SECONDS, ignore_case=True)
    _calm(house)
