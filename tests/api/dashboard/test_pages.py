"""Every page: what it shows, its headers, and what strangers' words do there."""

import re

from api.auth.limits import RateLimits
from tests.api.conftest import ADMIN_KEY, Bench, client, memory_app
from tests.api.dashboard.browser import (
    HOSTILE,
    HTML,
    Structure,
    address,
    filled,
    pages,
    signed_in,
)


async def test_every_page_is_shown_and_the_words_of_strangers_do_nothing(bench: Bench) -> None:
    ids = await filled(bench, HOSTILE)
    browser = await signed_in(bench)
    assert len(pages()) > 8
    for path in pages():
        text = await browser.see(address(path, ids))
        page = Structure()
        page.feed(text)
        assert not page.odd, (path, page.odd)
        assert all(sorted(each) == ["src", "type"] for each in page.scripts), (path, page.scripts)
        assert len(page.ids) == len(set(page.ids)), f"{path}: an id twice"
        if path != "/sign-in":
            assert page.csrf == len(page.forms), f"{path}: a form without its token"
    job = await browser.see(f"/jobs/{ids['job_id']}")
    assert "&lt;img src=x onerror=alert(1)&gt;" in job, "nothing is hidden"
    assert '<span class="odd">U+202E</span>' in job


async def test_pages_have_their_headers(bench: Bench) -> None:
    browser = await signed_in(bench)
    answer = await browser.web.get("/jobs", headers={**HTML, "Accept-Encoding": "gzip"})
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["strict-transport-security"] == "max-age=31536000", "it came by HTTPS"
    assert answer.headers["content-encoding"] == "gzip"


async def test_files_are_kept_for_ever_under_their_digest(bench: Bench) -> None:
    page = (await bench.anyone.get("/sign-in", headers=HTML)).text
    found = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert {path.rsplit("/", 1)[1] for path in found} == {"favicon.svg", "app.css", "app.js"}
    for path in found:
        answer = await bench.anyone.get(path, headers={"Accept-Encoding": "identity"})
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'; connect-src 'self'" in policy, "of a worker's script it is the worker's own"
        assert not re.search(rb"https?://(?!www\.w3\.org/2000/svg)", answer.content), "no other host is asked"
    assert (await bench.anyone.get("/static/0000/app.js")).status_code == 400


async def test_a_page_that_is_not_there_says_so_as_a_page(bench: Bench) -> None:
    browser = await signed_in(bench)
    assert "There is nothing at this address" in await browser.see("/nothing", 404)
    assert "There is no job" in await browser.see("/jobs/00000000-0000-4000-8000-000000000000", 404)
    await browser.see("/jobs/%00", 404)
    plain = await browser.web.get("/nothing")
    assert plain.headers["content-type"] == "application/problem+json", "who is no browser gets a problem"
    wrong = await browser.web.post("/jobs", headers=HTML)
    assert wrong.status_code == 405


async def test_of_what_a_page_asks_the_first_counts() -> None:
    app, *_ = memory_app(RateLimits(reads=4))
    async with client(app, ADMIN_KEY) as admin:
        made = await admin.post("/api/access/keys", json={"name": "vera", "grants": [{"role": "viewer"}]})
        assert made.status_code == 201, made.text
    async with client(app, made.json()["key"]) as vera:
        statuses = [(await vera.get("/", headers=HTML)).status_code for _ in range(6)]
    assert statuses == [200, 200, 200, 200, 429, 429]


async def test_another_theme_leads_back_to_the_page_with_its_filters(bench: Bench) -> None:
    ids = await filled(bench)
    browser = await signed_in(bench)
    page = await browser.see("/jobs?status=failed&pool=default")
    assert 'name="next" value="/jobs?status=failed&amp;pool=default"' in page
    refused = await browser.submit(f"/jobs/{ids['job_id']}/cancel")
    assert 'name="next" value="/"' in refused.text, "where the form was sent is no page"
