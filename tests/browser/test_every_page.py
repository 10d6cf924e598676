"""Every page of the router, in every state that matters, in a real browser: nothing of a stranger's words runs, nothing
overflows, nothing breaks the policy, and axe finds nothing serious.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.api.dashboard.browser import HOSTILE
from tests.browser.story import Story, play
from tests.browser.walk import Findings, addresses, axe_source, ids_of, is_document, listen, look_at
from tests.e2e.stack import Stack, repository

_LOOKS: Final = ((1280, "light"), (390, "dark"))
_EXPECTED: Final = ("404", "401", "403", "422")
"""The browser itself tells of each answer that is no success."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("walk")
    sha = repository(folder / "repo")
    stack = Stack(folder)
    stack.start()
    try:
        stack.wait_ready()
        yield Story(stack, (folder / "repo").as_uri(), sha)
    finally:
        stack.kill_everything()


@contextmanager
def _looking(browser: Browser, story: Story, width: int, scheme: str, found: Findings) -> Generator[BrowserContext]:
    """A browser; what its console says is a finding."""
    complaints: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": 844},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        base_url=story.stack.url,
    )
    listen(context, complaints)
    try:
        yield context
    finally:
        context.close()
    found.wrong += [f"{scheme} {width}: {each}" for each in complaints if not any(no in each for no in _EXPECTED)]


def _sign_in(context: BrowserContext, key: str) -> None:
    page = context.new_page()
    page.goto("/sign-in")
    page.fill("input[name=key]", key)
    page.click("form:has(input[name=key]) button.main")
    page.wait_for_selector("h1:has-text('Overview')")
    page.close()


def _walk(browser: Browser, story: Story, state: str, key: str | None = None) -> None:
    """Look at all pages and tell all that is wrong at once."""
    found, axe, seen = Findings(), axe_source(), 0
    admin = (story.stack.data / "admin.key").read_text().strip()
    with story.stack.http() as api:
        ids = ids_of(api)
    for width, scheme in _LOOKS:
        with _looking(browser, story, width, scheme, found) as context:
            _sign_in(context, key or admin)
            page = context.new_page()
            for where in addresses(ids):
                if is_document(context, where):
                    look_at(page, where, axe, found, f"{state}, {scheme} {width}:")
                    seen += 1
    print(*sorted(set(found.remarks)), sep="\n")
    assert seen > 2 * 10
    assert not found.wrong, "\n".join(found.wrong)


def test_pages_of_a_stack_that_is_new(browser: Browser, story: Story) -> None:
    _walk(browser, story, "empty")


def test_pages_full_of_hostile_words(browser: Browser, story: Story) -> None:
    play(story, HOSTILE)
    _walk(browser, story, "hostile")
    found = Findings()
    with _looking(browser, story, 320, "light", found) as context:
        _sign_in(context, (story.stack.data / "admin.key").read_text().strip())
        page = context.new_page()
        with story.stack.http() as api:
            for where in addresses(ids_of(api)):
                if is_document(context, where):
                    look_at(page, where, None, found, "hostile, 320")
        page.goto("/")
        assert "<img src=x onerror=alert(1)>" in page.locator("main").inner_text(), "nothing is hidden"
    assert not found.wrong, "\n".join(found.wrong)


def test_pages_of_a_viewer(browser: Browser, story: Story) -> None:
    with story.stack.http() as api:
        made = api.post("/api/access/keys", json={"name": "vera", "grants": [{"role": "viewer"}]})
        assert made.status_code == 201, made.text
    _walk(browser, story, "viewer", made.json()["key"])


def test_pages_of_refusals(browser: Browser, story: Story) -> None:
    found, axe = Findings(), axe_source()
    with story.stack.http() as api:
        deployment = ids_of(api)["deployment_id"]
    for width, scheme in _LOOKS:
        with _looking(browser, story, width, scheme, found) as context:
            page = context.new_page()
            page.goto("/sign-in")
            page.fill("input[name=key]", "wrong")
            page.click("form:has(input[name=key]) button.main")
            page.wait_for_selector("#problem")
            look_at(page, "/sign-in?next=/jobs", axe, found, f"signed out, {scheme} {width}")
            _sign_in(context, (story.stack.data / "admin.key").read_text().strip())
            look_at(page, "/nothing", axe, found, f"nothing, {scheme} {width}")
            page.goto(f"/deployments/{deployment}")
            csrf = page.locator("input[name=csrf]").first.get_attribute("value") or ""
            page.evaluate(
                """([action, csrf]) => { const form = document.createElement("form"); form.method = "post";
                form.action = action; for (const [name, value] of [["csrf", csrf], ["reason", "r".repeat(3000)]]) {
                const input = document.createElement("input"); input.name = name; input.value = value;
                form.append(input); } document.body.append(form); form.submit(); }""",
                [f"/deployments/{deployment}/cancel", csrf],
            )
            page.wait_for_selector("#problem")
            page.evaluate(axe)
            result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
            found.wrong += [
                f"refused, {scheme} {width}: {each['id']} {each['nodes'][0]['html'][:200]}"
                for each in result["violations"]
                if each["impact"] in {"serious", "critical"}
            ]
    assert not found.wrong, "\n".join(found.wrong)
