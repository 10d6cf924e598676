"""What approvers and operators do with deployments in a browser, on real servers: from a forge's push to a rollback."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.browser.conftest import House
from tests.e2e.stack import Stack, repository
from tests.servers import wait_until

SECONDS = 60_000
WEBHOOK_SECRET = "what-the-forge-and-we-know"
MINIMUM_TARGET = 44
PHONE_HEIGHT = 844
SERVICE = """
name: shop
git_repo: {repo}
git_ref: main
environments:
  - name: staging
    steps: [{{name: deploy, run: "true"}}]
  - name: production
    steps: [{{name: deploy, run: "echo rolls out"}}]
    approval: {{required: 1}}
    verification: {{run: "echo smoke", max_error_rate: 0.1, consecutive_breaches: 2}}
    rollback: {{steps: [{{name: back, run: "echo goes back"}}]}}
---
name: steps
git_repo: {repo}
triggers: {{branches: []}}
environments:
  - name: production
    steps: [{{name: deploy, run: "true"}}]
    rollout:
      steps: [{{percent: 10}}, {{pause: until_resumed}}, {{percent: 50}}, {{pause: until_resumed}}, {{percent: 100}}]
"""


class Works(House):
    """A house whose forge sends signed pushes."""

    sha: str

    def push(self, commit: str, message: str, before: str = "0" * 40) -> None:
        """As GitHub tells it."""
        by = {"name": "Ann", "email": "ann@example.com"}
        head = {"id": commit, "message": message, "author": by, "committer": by}
        repo = {"clone_url": self.repo.as_uri(), "full_name": "acme/shop", "default_branch": "main", "pushed_at": 1}
        payload = {
            "ref": "refs/heads/main", "before": before, "after": commit, "created": False, "deleted": False,
            "forced": False, "head_commit": head, "commits": [head], "repository": repo, "sender": {"login": "ann"},
            "pusher": {"name": "ann"},
        }  # fmt: skip
        body = json.dumps(payload).encode()
        signed = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": commit[:32],
            "X-Hub-Signature-256": f"sha256={signed}",
        }
        answer = httpx.post(
            f"{self.stack.url}/api/webhooks/github",
            content=body,
            headers={**headers, "Content-Type": "application/json"},
            timeout=30,
        )
        assert answer.status_code in {200, 201, 202}, answer.text

    def start(self, service: str, version: str) -> str:
        body = {
            "service_name": service, "version": version, "git_commit_sha": self.sha, "git_author": "ann@example.com"
        }  # fmt: skip
        with self.stack.http() as api:
            answer = api.post("/api/dashboard/deployments", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["deployment_id"])

    def record(self, deployment_id: str) -> Any:
        with self.stack.http() as api:
            return api.get(f"/api/dashboard/deployments/{deployment_id}").json()

    def waits(self, deployment_id: str, what: str) -> None:
        """Until its record says that it waits for this."""
        seen: list[Any] = []

        def waits() -> bool:
            seen[:] = [self.record(deployment_id)]
            return what in (seen[0]["waits_for"] or "")

        try:
            wait_until(waits, seconds=60, what=f"waiting for {what}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen}") from None

    def command(self, deployment_id: str, command: str, **fields: Any) -> None:
        with self.stack.http() as api:
            answer = api.post(f"/api/dashboard/deployments/{deployment_id}/{command}", json=fields)
        assert answer.status_code < 300, answer.text

    def live(self, version: str) -> str:
        """A version of the shop that is live."""
        deployment_id = self.start("shop", version)
        self.waits(deployment_id, "approval")
        self.command(deployment_id, "approve")
        wait_until(lambda: self.record(deployment_id)["status"] == "live", seconds=60, what=f"{version} being live")
        return deployment_id

    def released(self) -> None:
        """Nothing is on hold any more, as each rollback leaves it."""
        with self.stack.http() as api:
            api.post("/api/dashboard/services/shop/environments/production/release", json={})

    def person(self, name: str, role: str) -> str:
        """A key of somebody else's."""
        body = {"name": name, "owner": f"{name}@example.com", "grants": [{"role": role}]}
        with self.stack.http() as api:
            answer = api.post("/api/access/keys", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["key"])


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Works]:
    folder = tmp_path_factory.mktemp("works")
    stack = Stack(folder)
    sha = repository(folder / "repo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDCI_WEBHOOK_SECRET_GITHUB", WEBHOOK_SECRET)
        stack.start()
    try:
        stack.wait_ready()
        for document in SERVICE.format(repo=(folder / "repo").as_uri()).split("---\n"):
            file = folder / "service.yml"
            file.write_text(document)
            done = stack.cli("service", "apply", "-f", str(file))
            assert done.returncode == 0, done.stderr
        house = Works(stack, folder / "repo", sha, browser)
        house.sha = sha
        yield house
    finally:
        stack.kill_everything()


def _signed_in(house: Works, context: BrowserContext, key: str | None = None) -> Page:
    page = context.new_page()
    page.goto("/")
    page.fill("input[name=key]", key or house.key)
    page.click("main button")
    page.wait_for_selector("h1:has-text('Overview')")
    return page


def _calm(house: Works, *expected: str) -> None:
    left = [each for each in house.complaints if not any(words in each for words in expected)]
    house.complaints.clear()
    assert left == []


def _within_the_first_screen(page: Page, found: Locator) -> None:
    box = found.bounding_box()
    assert box is not None
    assert box["height"] >= MINIMUM_TARGET
    assert box["width"] >= MINIMUM_TARGET
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert box["y"] + box["height"] <= PHONE_HEIGHT


def test_from_a_push_to_a_breach_that_rolls_it_back_before_ones_eyes(works: Works) -> None:
    before = works.live("1.0")
    works.push(works.sha, "Faster <b>checkout</b>\n\nThe basket is read once.")
    with works.look(390) as context:
        page = _signed_in(works, context)
        page.goto("/deployments")
        link = page.locator("main tbody tr:has-text('staged') a").first
        expect(link).to_be_visible(timeout=SECONDS)
        link.click()
        expect(page.locator("#approve")).to_contain_text("for production?", timeout=SECONDS)
        expect(page.locator(".approval")).to_contain_text("live now: 1.0")
        expect(page.locator(".of-deployment")).to_contain_text("Faster <b>checkout</b>")
        for name in ("Approve", "Reject"):
            _within_the_first_screen(page, page.locator(f"button:text-is('{name}')"))
        _within_the_first_screen(page, page.locator("input[name=comment]"))
        page.fill("input[name=comment]", "looks good")
        page.click("button:text-is('Approve')")
        expect(page.locator("h1 .badge")).to_contain_text("live", timeout=SECONDS)
        assert "✓" in page.title()
        deployment_id = page.url.rsplit("/", 1)[1]
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        expect(page.locator("#live-state")).to_have_text("live", timeout=SECONDS)
        shown = page.evaluate("performance.timeOrigin")
        for value in (0.02, 0.4, 0.5):
            works.command(deployment_id, "metrics", error_rate=value, source="prometheus")
        expect(page.locator("h1 .badge")).to_contain_text("rolled back", timeout=SECONDS)
        expect(page.locator("main")).to_contain_text("error rate", timeout=SECONDS)
        expect(page.locator("svg.lines .beyond").first).to_be_attached(timeout=SECONDS)
        expect(page.locator(".phase-list")).to_contain_text("back to 1.0", timeout=SECONDS)
        assert page.evaluate("performance.timeOrigin") == shown, "nobody loaded it again"
        assert "↩" in page.title()
        page.goto("/deployments/lanes")
        expect(page.locator("#lane-shop")).to_contain_text("1.0")
        expect(page.locator("#lane-shop")).to_contain_text("on hold")
    assert works.record(before)["status"] == "live"
    works.released()
    _calm(works)


def test_a_rollback_by_hand_wants_the_name_typed(works: Works) -> None:
    works.live("2.0")
    deployment_id = works.live("2.1")
    with works.look() as context:
        page = _signed_in(works, context)
        page.goto(f"/deployments/{deployment_id}")
        form = page.locator("form[action$='/rollback']")
        expect(page.locator(".rollback")).to_contain_text("to 2.0")
        page.click("text=What it will run")
        expect(page.locator(".rollback pre")).to_contain_text("echo goes back")
        form.locator("input[name=reason]").fill("customers complain")
        form.locator("input[name=typed]").fill("shopp")
        page.click("button:text-is('Roll back')")
        expect(page.locator("#problem")).to_contain_text("type the service's name: shop", timeout=SECONDS)
        expect(form.locator("input[name=reason]")).to_have_value("customers complain")
        assert works.record(deployment_id)["status"] == "live"
        form.locator("input[name=typed]").fill("shop")
        page.click("button:text-is('Roll back')")
        expect(page.locator("h1 .badge")).to_contain_text("rolled back", timeout=SECONDS)
        expect(page.locator("svg.phases")).to_contain_text("back to 2.0")
    works.released()
    _calm(works, "422")


def test_two_people_on_one_page_and_the_second_is_told(works: Works) -> None:
    deployment_id = works.start("shop", "3.0")
    works.waits(deployment_id, "approval")
    keys = [works.person(name, "approver") for name in ("bob", "cat")]
    with works.look(scripts=False) as first, works.look(scripts=False) as second:
        bob, cat = _signed_in(works, first, keys[0]), _signed_in(works, second, keys[1])
        for page in (bob, cat):
            page.goto(f"/deployments/{deployment_id}")
        bob.fill("form[action$='/reject'] input[name=reason]", "not on a Friday")
        bob.click("button:text-is('Reject')")
        expect(bob.locator("h1 .badge")).to_contain_text("failed", timeout=SECONDS)
        cat.click("button:text-is('Approve')")
        expect(cat.locator("#problem")).to_be_visible()
        expect(cat.locator("#meanwhile")).to_contain_text("bob")
        expect(cat.locator("#meanwhile")).to_contain_text("not on a Friday")
    record = works.record(deployment_id)
    assert [each["decision"] for each in record["approvals"]] == ["reject"]
    assert (record["status"], record["cause"]) == ("failed", "rejected")
    _calm(works, "409")


def test_without_scripts_one_approves_and_rolls_back(works: Works) -> None:
    works.live("4.0")
    deployment_id = works.start("shop", "4.1")
    works.waits(deployment_id, "approval")
    with works.look(scripts=False) as context:
        page = _signed_in(works, context)
        page.goto(f"/deployments/{deployment_id}")
        page.click("button:text-is('Approve')")
        wait_until(lambda: works.record(deployment_id)["status"] == "live", seconds=60, what="4.1 being live")
        page.goto(f"/deployments/{deployment_id}")
        page.fill("form[action$='/rollback'] input[name=reason]", "customers complain")
        page.fill("form[action$='/rollback'] input[name=typed]", "shop")
        page.click("button:text-is('Roll back')")
        wait_until(lambda: works.record(deployment_id)["status"] == "rolled_back", seconds=60, what="4.0 being back")
        page.reload()
        expect(page.locator("h1 .badge")).to_contain_text("rolled back")
    works.released()


def test_a_viewer_sees_all_of_it_and_is_told_who_may(works: Works) -> None:
    deployment_id = works.start("shop", "5.0")
    works.waits(deployment_id, "approval")
    with works.look() as context:
        page = _signed_in(works, context, works.person("vera", "viewer"))
        page.goto(f"/deployments/{deployment_id}")
        expect(page.locator(".why-not")).to_contain_text("needs the role")
        assert page.locator("main button").count() == 0
    works.command(deployment_id, "cancel", reason="seen enough")
    _calm(works)


def test_a_rollout_is_steered_step_by_step_and_an_old_page_skips_nothing(works: Works) -> None:
    deployment_id = works.start("steps", "1.0")
    works.waits(deployment_id, "stays at 10 %")
    with works.look() as context, works.look(scripts=False) as other:
        page, old = _signed_in(works, context), _signed_in(works, other)
        for each in (page, old):
            each.goto(f"/deployments/{deployment_id}")
        expect(page.locator(".legs [aria-current]")).to_contain_text("10 %")
        page.fill("form[action$='/promote'] input[name=reason]", "all is well")
        page.click("button:text-is('Go on now')")
        works.waits(deployment_id, "stays at 50 %")
        expect(page.locator(".legs [aria-current]")).to_contain_text("50 %", timeout=SECONDS)
        old.fill("form[action$='/promote'] input[name=reason]", "me too")
        old.click("button:text-is('Go on now')")
        expect(old.locator("#problem")).to_contain_text("has moved on")
        expect(old.locator("#meanwhile")).to_contain_text("all is well")
        assert "stays at 50 %" in works.record(deployment_id)["waits_for"]
        page.fill("form[action$='/promote'] input[name=reason]", "still well")
        page.click("button:text-is('Go on now')")
        expect(page.locator("h1 .badge")).to_contain_text("live", timeout=SECONDS)
    _calm(works, "409")
