"""Debian's Chromium, driven by Playwright, before a whole `hybridci up`. Skipped, and told why, where it is missing."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.e2e.stack import Stack, repository

CHROMIUM = shutil.which("chromium")
_ARGUMENTS = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
SERVICE = """
name: checkout
git_repo: {repo}
git_ref: main
environments:
  - name: staging
    steps: [{{name: deploy, run: "true"}}]
  - name: production
    steps: [{{name: deploy, run: "true"}}]
    approval: {{required: 1}}
    verification: {{max_error_rate: 0.1}}
    rollback: {{steps: [{{name: back, run: "true"}}]}}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium on the PATH: apt-get install chromium, as .ci/run does")
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=[*root, *_ARGUMENTS])
        yield started
        started.close()


class House:
    """A stack with a repository, and browsers that look at it."""

    def __init__(self, stack: Stack, repo: Path, sha: str, browser: Browser) -> None:
        self.stack, self.repo, self._browser = stack, repo, browser
        self.commit = ("--repo", repo.as_uri(), "--sha", sha)
        self.complaints: list[str] = []
        self._plain: list[BrowserContext] = []  # without scripts
        self.key = (stack.data / "admin.key").read_text().strip()

    def look(self, width: int = 1280, *, scripts: bool = True) -> BrowserContext:
        """A browser that is not signed in. What its console complains of is kept."""
        context = self._browser.new_context(
            viewport={"width": width, "height": 844}, java_script_enabled=scripts, base_url=self.stack.url
        )
        if not scripts:
            self._plain.append(context)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in {"error", "warning"} else None
        )
        return context

    def sign_in(self, page: Page) -> None:
        """Ends when the page's scripts run: keys that are pressed before that are nobody's."""
        page.goto("/")
        page.fill("input[name=key]", self.key)
        page.click("main button")
        page.wait_for_selector("h1:has-text('Overview')")
        if page.context not in self._plain:
            expect(page.locator("#live-state")).to_have_text("live", timeout=30_000)

    def submit(self, script: str, *more: str) -> str:
        done = self.stack.cli("job", "submit", "--repo", self.repo.as_uri(), "--run", script, *more)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[-1].split()[-1] if "\n" not in done.stdout else done.stdout.split()[0]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    stack = Stack(folder)
    sha = repository(folder / "repo")
    stack.start()
    try:
        stack.wait_ready()
        file = folder / "service.yml"
        file.write_text(SERVICE.format(repo=(folder / "repo").as_uri()))
        done = stack.cli("service", "apply", "-f", str(file))
        assert done.returncode == 0, done.stderr
        yield House(stack, folder / "repo", sha, browser)
    finally:
        stack.kill_everything()
