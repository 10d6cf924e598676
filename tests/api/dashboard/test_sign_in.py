"""Signing in and out, by key and by link, and what leads elsewhere."""

import httpx
import pytest

from api.auth.csrf import CSRF_COOKIE
from tests.api.conftest import ADMIN_KEY, Bench
from tests.api.dashboard.browser import HTML, SITE, signed_in


async def test_who_is_not_known_signs_in_and_comes_back(bench: Bench) -> None:
    answer = await bench.anyone.get("/jobs?status=failed", headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/jobs%3Fstatus%3Dfailed")
    page = (await bench.anyone.get(answer.headers["location"], headers=HTML)).text
    assert 'name="next" value="/jobs?status=failed"' in page
    wrong = await bench.anyone.post("/sign-in", data={"key": "wrong"}, headers={**HTML, "Origin": SITE})
    assert wrong.status_code == 401
    assert "This key is not known here" in wrong.text


@pytest.mark.parametrize("away", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
async def test_signing_in_leads_nowhere_else(bench: Bench, away: str) -> None:
    form = {"key": ADMIN_KEY, "next": away}
    answer = await bench.anyone.post("/sign-in", data=form, headers={**HTML, "Origin": SITE})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_another_sites_form_is_refused(bench: Bench) -> None:
    job_id = await bench.submit()
    browser = await signed_in(bench)
    for headers, csrf in (({"Origin": "https://evil.example"}, browser.csrf), ({"Origin": SITE}, "guessed")):
        answer = await browser.web.post(f"/jobs/{job_id}/cancel", data={"csrf": csrf}, headers={**HTML, **headers})
        assert answer.status_code == 403
    login = {"key": ADMIN_KEY}
    answer = await bench.anyone.post("/sign-in", data=login, headers={**HTML, "Origin": "https://evil.example"})
    assert answer.status_code == 403


async def test_signing_out_ends_the_session(bench: Bench) -> None:
    browser = await signed_in(bench)
    answer = await browser.submit("/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert (await browser.web.get("/jobs", headers=HTML)).status_code == 303


async def test_a_link_signs_in_once(bench: Bench) -> None:
    made = await bench.admin.post("/auth/ticket")
    assert made.status_code == 201
    ticket = made.json()["ticket"]
    assert f'value="{ticket}"' not in (await bench.anyone.get("/sign-in", headers=HTML)).text
    web = httpx.AsyncClient(transport=httpx.ASGITransport(bench.app), base_url=SITE, headers={**HTML, "Origin": SITE})
    first = await web.post("/sign-in", data={"ticket": ticket, "next": "/jobs"})
    assert (first.status_code, first.headers["location"]) == (303, "/jobs")
    assert (await web.get("/jobs")).status_code == 200
    again = await bench.anyone.post("/sign-in", data={"ticket": ticket}, headers={**HTML, "Origin": SITE})
    assert again.status_code == 401
    assert "hybridci open" in again.text
    session = await web.post("/auth/ticket", headers={"X-CSRF-Token": web.cookies[CSRF_COOKIE]})
    assert session.status_code == 403, "a session makes no tickets"


async def test_a_ticket_is_for_this_machine(bench: Bench) -> None:
    ticket = (await bench.admin.post("/auth/ticket")).json()["ticket"]
    elsewhere = httpx.ASGITransport(bench.app, client=("192.0.2.7", 4711))
    async with httpx.AsyncClient(transport=elsewhere, base_url=SITE) as web:
        assert (await web.post("/auth/session", json={"ticket": ticket})).status_code == 403
        key = {"Authorization": f"Bearer {ADMIN_KEY}"}
        assert (await web.post("/auth/ticket", headers=key)).status_code == 403


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
async def test_a_ticket_that_came_through_a_proxy_lets_nobody_in(bench: Bench, header: str) -> None:
    through = {header: "for=198.51.100.7"}
    assert (await bench.admin.post("/auth/ticket", headers=through)).status_code == 403
    ticket = (await bench.admin.post("/auth/ticket")).json()["ticket"]
    answer = await bench.anyone.post("/sign-in", data={"ticket": ticket}, headers={**HTML, "Origin": SITE, **through})
    assert answer.status_code == 403
    assert "came through a proxy" in answer.text
    assert "set-cookie" not in answer.headers
