"""The rooms of services, freezes, agents, access, audit and webhooks, and refusals with what to do."""

import re

import pytest

from api.auth.limits import RateLimits
from tests.api.conftest import ADMIN_KEY, Bench, client, memory_app
from tests.api.dashboard.browser import HTML, SITE, Browser, key_of, signed_in
from tests.api.dashboard.house_bench import DELIVERY, house_filled
from workflows.contracts.access import Role

GOOD = """name: shop
git_repo: https://example.com/shop.git
environments:
  - name: staging
    steps:
      - {name: deploy, run: ./deploy.sh}
"""


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, name
    return found[1]


async def check(browser: Browser, text: str, path: str = "/new-service", version: str = "0", status: int = 200) -> str:
    answer = await browser.submit(path, text=text, version=version, checked="", do="check")
    assert answer.status_code == status, answer.text[:300]
    return answer.text


async def test_a_service_is_written_checked_and_registered(bench: Bench) -> None:
    browser = await signed_in(bench)
    wrong = await check(browser, GOOD.replace("run: ./deploy.sh", "run: 5"), status=422)
    assert 'data-line="6"' in wrong
    assert "environments.0.steps.0.run" in wrong
    assert "run: 5}" in re.findall(r"<textarea.*?>(.*)</textarea>", wrong, re.DOTALL)[0], "the text is kept"
    assert 'value="apply"' not in wrong
    good = await check(browser, GOOD.replace("\n", "\r\n"))
    assert "+git_repo: https://example.com/shop.git" in good
    assert (await bench.admin.get("/api/dashboard/services/shop")).status_code == 404
    fields = {"text": GOOD, "version": "0", "do": "apply"}
    unseen = await browser.submit("/new-service", **fields, checked="")
    assert unseen.status_code == 200, "what was not checked is shown first"
    done = await browser.submit("/new-service", **fields, checked=hidden(good, "checked"))
    assert (done.status_code, done.headers["location"]) == (303, "/services/shop")
    assert (await bench.admin.get("/api/dashboard/services/shop")).json()["version"] == 1


async def test_who_was_slower_sees_what_has_happened(bench: Bench) -> None:
    await bench.register("shop")
    browser = await signed_in(bench)
    page = await browser.see("/services/shop/edit")
    text = re.findall(r"<textarea.*?>\n(.*)</textarea>", page, re.DOTALL)[0].replace("&#34;", '"').replace("&#39;", "'")
    text = text.replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&") + "description: mine\n"
    checked = await check(browser, text, "/services/shop/edit", "1")
    assert "+description: mine" in checked
    await bench.register("shop", description="theirs")
    fields = {"text": text, "version": "1", "checked": hidden(checked, "checked"), "do": "apply"}
    stale = (await browser.submit("/services/shop/edit", **fields)).text
    assert "has applied version 2 since" in stale
    assert "-description: theirs" in stale
    assert "description: mine" in stale
    assert (await bench.admin.get("/api/dashboard/services/shop")).json()["spec"]["description"] == "theirs"
    again = {"text": text, "version": hidden(stale, "version"), "checked": hidden(stale, "checked"), "do": "apply"}
    assert (await browser.submit("/services/shop/edit", **again)).status_code == 303
    page = await browser.see("/services/shop/definition?version=3&against=2")
    assert "+description: mine" in page


@pytest.mark.parametrize(
    "text", ["", "a: [", "&a [*a]", "- 1", "name: [1]", "\x00", "name: 'no such name!'\ngit_repo: x", "a: 1\n" * 3]
)
async def test_whatever_is_written_is_kept_and_told(bench: Bench, text: str) -> None:
    browser = await signed_in(bench)
    page = await check(browser, text, status=422)
    assert 'id="errors"' in page or "problem" in page
    viewer = await signed_in(bench, await key_of(bench, Role.VIEWER))
    await check(viewer, text, status=403)


async def test_a_freeze_is_added_and_ended(bench: Bench) -> None:
    await bench.register()
    browser = await signed_in(bench)
    where = "/services/checkout/environments/production"
    refused = await browser.submit(f"{where}/freezes", name="fair", hours="soon", reason="fair")
    assert refused.status_code == 422
    assert 'value="soon"' in refused.text, "what was filled in is kept"
    done = await browser.submit(f"{where}/freezes", name="fair", hours="3", starts="", ends="", reason="fair")
    assert done.status_code == 303
    page = await browser.see("/services/checkout")
    assert '<rect class="freeze"' in page
    action = re.findall(r'action="([^"]*/freezes/[^"]*/remove)"', page)[0]
    assert (await browser.submit(action)).status_code == 303
    assert '<rect class="freeze"' not in await browser.see("/services/checkout")


async def test_many_are_stopped_and_let_go(bench: Bench) -> None:
    await bench.register()
    browser = await signed_in(bench)
    form = {"kind": "freeze", "whose": "labels", "labels": "team=pay, tier=1", "name": "fair", "reason": "fair"}
    times = {"starts": "2030-01-01T10:00", "ends": "2030-01-02T10:00", "strict": "1"}
    assert (await browser.submit("/freezes", **form, **times, environments="production")).status_code == 303
    (stop,) = (await bench.admin.get("/api/dashboard/freezes")).json()["items"]
    assert stop["scope"]["labels"] == {"team": "pay", "tier": "1"}
    assert (stop["ends_at"] - stop["starts_at"], stop["allow_override"]) == (86_400_000, False)
    bad = await browser.submit("/freezes", **{**form, "name": ""}, ends="never")
    assert bad.status_code == 422
    assert "ends_at" in bad.text
    held = await browser.submit("/freezes", kind="hold", whose="all", reason="incident")
    assert held.status_code == 303
    for kind, path in (("freeze", "freezes"), ("hold", "holds")):
        (one,) = (await bench.admin.get(f"/api/dashboard/{path}")).json()["items"]
        assert (await browser.submit(f"/freezes/{one['stop_id']}/remove", kind=kind)).status_code == 303
        assert (await bench.admin.get(f"/api/dashboard/{path}")).json()["items"] == []


async def test_a_key_is_shown_once_and_revoked(bench: Bench) -> None:
    browser = await signed_in(bench)
    form = {"name": "ci", "role": "developer", "services": "checkout, cart", "days": "30"}
    made = await browser.submit("/access/keys", **form)
    assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
    secret = re.findall(r'id="secret"[^>]*>([^<]+)<', made.text)[0]
    (key,) = (await bench.admin.get("/api/access/keys")).json()["items"]
    assert key["grants"][0]["services"] == ["checkout", "cart"]
    page = await browser.see("/access")
    assert secret not in page
    assert "developer for the services checkout, cart" in page
    rotated = await browser.submit(f"/access/keys/{key['key_id']}/rotate", hours="0")
    assert secret not in rotated.text
    newest = (await bench.admin.get("/api/access/keys")).json()["items"][0]["key_id"]
    for key_id in {newest, key["key_id"]}:
        assert (await browser.submit(f"/access/keys/{key_id}/revoke", sure="1")).status_code == 303
    async with client(bench.app, secret) as web:
        assert (await web.get("/api/dashboard/jobs")).status_code == 401
    bad = await browser.submit("/access/keys", **{**form, "days": "-3"})
    assert bad.status_code == 422
    assert 'value="-3"' in bad.text


async def test_signing_out_everywhere_ends_the_other_browser(bench: Bench) -> None:
    here, there = await signed_in(bench), await signed_in(bench)
    assert "this browser" in await here.see("/access")
    done = await here.submit("/access/sessions/end", others="1")
    assert done.headers["location"] == "/access"
    assert (await there.web.get("/jobs", headers=HTML)).headers["location"].startswith("/sign-in")
    assert (await here.web.get("/jobs", headers=HTML)).status_code == 200
    await here.submit("/access/sessions/end")
    assert (await here.web.get("/jobs", headers=HTML)).status_code == 303


async def test_agents_are_paused_and_a_pool_gets_bounds(bench: Bench) -> None:
    await bench.register()
    await house_filled(bench, "words")
    browser = await signed_in(bench)
    assert (await browser.submit("/agents/agent-7/resume", reason="well")).headers["location"] == "/agents/agent-7"
    paused = await browser.submit("/agents/agent-7/pause", reason="disk", minutes="5")
    assert paused.status_code == 303
    assert "disk" in await browser.see("/agents/agent-7")
    bad = await browser.submit("/agents/agent-7/pause", reason="disk", minutes="soon")
    assert bad.status_code in {409, 422}
    listed = await browser.submit("/agents/agent-7/resume", **{"from": "list"})
    assert listed.headers["location"] == "/agents"
    bounds = {"min_agents": "1", "max_agents": "3", "target_wait_seconds": "20", "slots_per_agent": ""}
    assert (await browser.submit("/pools/default/scale", **bounds)).status_code == 303
    assert "within 1 to 3" in await browser.see("/agents")
    assert (await browser.submit("/pools/default/scale", **{**bounds, "min_agents": "9"})).status_code == 422


async def test_the_trail_is_read_by_time_and_a_delivery_by_its_facts(bench: Bench) -> None:
    await bench.register()
    await house_filled(bench, "words")
    browser = await signed_in(bench)
    assert "service.applied" in await browser.see("/audit?from=2020-01-01T00:00&action=service.")
    assert "Nothing is like this" in await browser.see("/audit?to=2020-01-01T00:00")
    await browser.see("/audit?to=never", 422)
    page = await browser.see(f"/webhooks/{DELIVERY}")
    assert "Rule that matched" in page
    await browser.see("/webhooks/none", 404)
    assert "Tools that can send here" in await browser.see("/webhooks")


async def test_refusals_say_what_to_do() -> None:
    app, *_ = memory_app(RateLimits(reads=3))
    async with client(app, ADMIN_KEY) as admin:
        made = (await admin.post("/api/access/keys", json={"name": "v", "grants": [{"role": "viewer"}]})).json()["key"]
    async with client(app, made) as web:
        assert "What to do" in (await web.get("/jobs/none", headers=HTML)).text
        refused = await web.post("/pools/default/scale", data={"min_agents": "1"}, headers={**HTML, "Origin": SITE})
        assert (refused.status_code, "This needs" in refused.text) == (403, True)
        answers = [await web.get("/services", headers=HTML) for _ in range(4)]
    last = answers[-1]
    assert last.status_code == 429
    assert f"in {last.headers['retry-after']} s" in last.text
