"""People who sign in at an issuer, in a browser: the whole way there and back, and what they are shown afterwards."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.api.sign_in import policy_text
from tests.browser.conftest import House
from tests.browser.test_logs import calm
from tests.e2e.stack import Stack, repository
from tests.oidc_issuer import OidcIssuer, running_issuer

_RULES = """
users:
  - {match: {issuer: corp, groups: {contains: platform}}, grants: [{role: operator}]}
  - {match: {issuer: corp, groups: {contains: readers}}, grants: [{role: viewer}]}
"""


class Issuer:
    """It runs in a thread of its own, since Playwright's calls hold this one."""

    def __init__(self) -> None:
        self.issuer, self._loop = OidcIssuer(), asyncio.new_event_loop()
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))

    async def _run(self) -> None:
        async with running_issuer() as self.issuer:
            self._ready.set()
            await self._over.wait()

    def __enter__(self) -> OidcIssuer:
        self._thread.start()
        assert self._ready.wait(20)
        return self.issuer

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)
        self._loop.close()


@pytest.fixture
def corp(tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[House, OidcIssuer]]:
    """A stack whose people come from an issuer."""
    with Issuer() as issuer:
        policy = tmp_path / "policy.yaml"
        policy.write_text(policy_text(issuer, tmp_path, _RULES))
        monkeypatch.setenv("HYBRIDCI_ACCESS_POLICY", str(policy))
        stack = Stack(tmp_path)
        monkeypatch.setenv("HYBRIDCI_PUBLIC_URL", stack.url)
        sha = repository(tmp_path / "repo")
        stack.start()
        try:
            stack.wait_ready()
            yield House(stack, tmp_path / "repo", sha, browser), issuer
        finally:
            stack.kill_everything()


def test_a_person_signs_in_with_an_issuer_and_sees_what_they_may_do(corp: tuple[House, OidcIssuer]) -> None:
    house, issuer = corp
    job_id = house.submit("exit 3", "--retries", "0")
    house.stack.wait_for_status(job_id, "dead_lettered")
    issuer.person = {"sub": "7", "email": "ann@example.com", "email_verified": True, "groups": ["platform"]}
    with house.look() as context:
        page = context.new_page()
        page.goto(f"/jobs/{job_id}")  # somebody sent the link
        page.click("text=Sign in with corp")
        expect(page.locator("h1 .badge")).to_contain_text("dead lettered")
        assert page.url.endswith(f"/jobs/{job_id}"), "where they wanted to go"
        expect(page.locator("body")).to_contain_text("ann@example.com")
        expect(page.locator("button:has-text('Run again')")).to_be_visible()
        cookies = {each.get("name"): each for each in context.cookies()}
        assert cookies["hybridci_session"].get("httpOnly")
        page.click("button:has-text('Sign out')")
        expect(page.locator("text=Sign in with corp")).to_be_visible()
        page.goto("/jobs")
        expect(page.locator("text=Sign in with corp")).to_be_visible()
    issuer.person = {**issuer.person, "sub": "8", "email": "bob@example.com", "groups": ["readers"]}
    with house.look() as context:
        page = context.new_page()
        page.goto("/")
        page.click("text=Sign in with corp")
        expect(page.locator("h1")).to_have_text("Overview")
        page.goto(f"/jobs/{job_id}")
        expect(page.locator("button:has-text('Run again')")).to_have_count(0)
    issuer.person = {**issuer.person, "sub": "9", "email": "eve@example.com", "groups": []}
    with house.look() as context:
        page = context.new_page()
        page.goto("/")
        page.click("text=Sign in with corp")
        expect(page.locator("main")).to_contain_text("no rule in `users` of the access policy matches it")
        page.click("text=Sign in")
        expect(page.locator("text=Sign in with corp")).to_be_visible()
    calm(house, "401", "403")
