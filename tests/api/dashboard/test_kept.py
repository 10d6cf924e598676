"""A form that is sent after its session has ended is kept by the page that says so, and by nothing else."""

import html
import re

import httpx
import pytest

from tests.api.conftest import ADMIN_KEY, Bench
from tests.api.dashboard.browser import HOSTILE, HTML, SITE, signed_in


def _hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, page
    return html.unescape(found[1])


async def test_a_session_that_ends_while_a_form_is_filled_loses_nothing(bench: Bench) -> None:
    job_id = await bench.submit()
    browser = await signed_in(bench)
    stale = browser.csrf
    await browser.submit("/sign-out")
    fields = {"csrf": stale, "reason": f"line one\nline two {HOSTILE}", "password": "not kept", "empty": ""}
    headers = {**HTML, "Origin": SITE}
    answer = await browser.web.post(f"/jobs/{job_id}/cancel", data=fields, headers=headers)
    assert answer.status_code == 401
    assert "Nothing was sent" in answer.text
    assert "not kept" not in answer.text
    assert "<img src=x" not in answer.text
    kept = _hidden(answer.text, "kept")
    early = await browser.web.post("/kept", data={"kept": kept}, headers=headers)
    assert (early.status_code, _hidden(early.text, "kept")) == (401, kept), "not signed in yet"
    again = await browser.web.post("/sign-in", data={"key": ADMIN_KEY}, headers=headers)
    assert again.status_code == 303
    shown = await browser.web.post("/kept", data={"kept": kept}, headers=headers)
    assert shown.status_code == 200
    assert (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()["status"] == "queued", "shown, not sent"
    assert _hidden(shown.text, "reason") == fields["reason"]
    form = {name: _hidden(shown.text, name) for name in ("reason", "empty")} | {"csrf": browser.csrf}
    assert f'action="/jobs/{job_id}/cancel"' in shown.text
    sent = await browser.web.post(f"/jobs/{job_id}/cancel", data=form, headers=headers)
    assert sent.status_code == 303
    job = (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()
    assert (job["status"], job["error_message"]) == ("cancelled", fields["reason"])


async def test_what_another_site_sends_is_not_kept(bench: Bench) -> None:
    job_id = await bench.submit()
    away = {**HTML, "Origin": "https://evil.example"}
    answer = await bench.anyone.post(f"/jobs/{job_id}/cancel", data={"reason": "mine"}, headers=away)
    assert answer.status_code == 303
    browser = await signed_in(bench)
    kept = f'{{"action": "/jobs/{job_id}/cancel", "fields": [["reason", "mine"]]}}'
    answer = await browser.web.post("/kept", data={"kept": kept}, headers=away)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "[]",
        '{"action": "//evil.example/", "fields": []}',
        '{"action": "https://evil.example/", "fields": []}',
        '{"action": "/sign-out", "fields": []}',
        '{"action": "/jobs", "fields": [["a"]]}',
        '{"action": "/jobs", "fields": [["a", "' + "x" * 600_000 + '"]]}',
    ],
)
async def test_what_no_page_of_ours_has_made_is_nothing(bench: Bench, kept: str) -> None:
    browser = await signed_in(bench)
    answer = await browser.web.post("/kept", data={"kept": kept}, headers={**HTML, "Origin": SITE})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_the_theme_is_said_by_the_server_before_anything_is_painted(bench: Bench) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(bench.app), base_url=SITE, headers=HTML) as web:
        assert "data-theme" not in (await web.get("/sign-in")).text
        answer = await web.post("/theme", data={"theme": "dark", "next": "/sign-in"}, headers={"Origin": SITE})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert '<html lang="en" data-root="" data-theme="dark">' in (await web.get("/sign-in")).text
        await web.post("/theme", data={"theme": '"><script>', "next": "//evil.example"}, headers={"Origin": SITE})
        assert "data-theme" not in (await web.get("/sign-in")).text
