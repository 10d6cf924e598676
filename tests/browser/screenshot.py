"""The README's picture of the dashboard: a stack is started, a story is played on it, and its first page is taken.

``python -m tests.browser.screenshot`` (``make screenshot``) writes ``docs/dashboard.png``. ``--all FOLDER`` takes every
page, light and dark, at 1280 and 390 px, to be looked at. The past day is written into the store as work would have
left it; what else is seen has really happened.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from api.cli.benchmark.own_stack import OwnStack
from tests.browser.conftest import CHROMIUM
from tests.browser.story import Story
from tests.browser.walk import addresses, ids_of, is_document
from tests.e2e.stack import Stack, repository

PICTURE: Final = Path(__file__).parents[2] / "docs" / "dashboard.png"
MOST_BYTES: Final = 300_000
_PAST: Final = """
import asyncio, time
from activities.stores.settings import StoreSettings
from api.cli.benchmark.seed import history, seed
now = round(time.time() * 1000) - 60_000
asyncio.run(seed(StoreSettings(), history(700, now=now, spacing=120_000)))
"""


def main() -> None:
    """Take the picture, or all pages."""
    folder = Path(sys.argv[2]) if sys.argv[1:2] == ["--all"] else None
    with tempfile.TemporaryDirectory(prefix="hybridci-picture-") as name:
        stack = Stack(Path(name))
        sha = repository(Path(name) / "repo")
        stack.start()
        try:
            stack.wait_ready()
            _play(Story(stack, (Path(name) / "repo").as_uri(), sha))
            _take(stack, folder)
        finally:
            stack.kill_everything()


def _play(story: Story) -> None:
    _past(story.stack)
    for name, words in (("checkout", "Takes the money"), ("search", "Finds things"), ("accounts", "Who is who")):
        story.service(name, words)
    done = [story.job("echo 12 passed in 0.4 s") for _ in range(3)]
    done.append(story.job("echo 'E  assert 3 == 4' >&2; exit 1", author="ben@example.com"))
    story.ended(done)
    for service, versions in {"checkout": ("4.1", "4.2"), "search": ("2.7",), "accounts": ("1.9", "1.10")}.items():
        for version in versions:
            deployment = story.deploy(service, version, author="ann@example.com")
            if version == versions[-1] and service != "search":
                story.until(deployment, "staged")
            else:
                story.approve(deployment)
                story.until(deployment, "live")
    with story.stack.http() as api:
        hold = {"name": "Sale", "reason": "No changes while the sale runs", "scope": {"services": ["search"]}}
        assert api.post("/api/dashboard/holds", json=hold).is_success
    for _ in range(4):
        story.job("sleep 60", author="cleo@example.com")


def _past(stack: Stack) -> None:
    from api.cli.stack.children import Options
    from api.cli.stack.data_dir import DataDir

    options = Options(
        api_port=stack.ports["--api-port"], temporal_port=stack.ports["--temporal-port"],
        ui_port=stack.ports["--ui-port"], aws_port=stack.ports["--aws-port"],
        gateway_port=stack.ports["--gateway-port"],
    )  # fmt: skip
    environment = OwnStack(options, DataDir(stack.data), 0).environment("worker")
    subprocess.run([sys.executable, "-P", "-c", _PAST], env=dict(environment), check=True)


def _take(stack: Stack, folder: Path | None) -> None:
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*root, "--disable-gpu"])
        if folder is None:
            with _signed_in(browser, stack, 1280, "light") as context:
                page = _page(context, "/")
                page.screenshot(path=PICTURE, clip={"x": 0, "y": 0, "width": 1280, "height": 860}, full_page=True)
            assert PICTURE.stat().st_size < MOST_BYTES, "the picture is too large"
            return
        folder.mkdir(parents=True, exist_ok=True)
        for width in (1280, 390):
            for scheme in ("light", "dark"):
                with _signed_in(browser, stack, width, scheme) as context:
                    _all(context, stack, folder, f"{width}-{scheme}")
        browser.close()


def _all(context: BrowserContext, stack: Stack, folder: Path, name: str) -> None:
    with stack.http() as api:
        places = list(addresses(ids_of(api)))
    for place in places:
        if is_document(context, place):
            words = place.strip("/").replace("/", "_") or "overview"
            _page(context, place).screenshot(path=folder / f"{words}-{name}.png", full_page=True)


def _page(context: BrowserContext, place: str) -> Page:
    for each in context.pages:
        each.close()
    page = context.new_page()
    page.goto(place)
    page.wait_for_selector("h1")
    page.wait_for_timeout(300)  # times are put into the viewer's zone
    return page


def _signed_in(browser: Browser, stack: Stack, width: int, scheme: str) -> BrowserContext:
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme="dark" if scheme == "dark" else "light",
        base_url=stack.url, locale="en-GB", timezone_id="UTC",
    )  # fmt: skip
    page = context.new_page()
    page.goto("/sign-in")
    page.fill("input[name=key]", (stack.data / "admin.key").read_text().strip())
    page.click("form:has(input[name=key]) button.main")
    page.wait_for_selector("h1:has-text('Overview')")
    return context


if __name__ == "__main__":
    main()
