"""The dashboard's pages, asked as a browser asks: what they show, what they let do, what strangers' words do there."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import quote

import httpx
import pytest

from api.auth.csrf import CSRF_COOKIE
from api.auth.limits import RateLimits
from api.auth.permissions import ROUTES, Open
from api.auth.tokens import digest_of, new_token
from tests.api.conftest import ADMIN_KEY, AGENT_TOKEN, Bench, client, memory_app
from workflows.contracts.access import Credential, CredentialKind, Grant, Role
from workflows.contracts.statuses import JobStatus

HOSTILE = "<img src=x onerror=alert(1)>\"'`{{7*7}}</script><script>alert(2)</script>"
HTML = {"Accept": "text/html"}
SITE = "https://api"
"""HTTPS, since a browser (and httpx) keeps a Secure cookie of nothing else."""


@dataclass
class Browser:
    """One browser with its cookies; it follows no redirect by itself."""

    web: httpx.AsyncClient

    @property
    def csrf(self) -> str:
        return self.web.cookies[CSRF_COOKIE]

    async def see(self, path: str, status: int = 200) -> str:
        answer = await self.web.get(path, headers=HTML)
        assert answer.status_code == status, (path, answer.status_code, answer.text[:500])
        assert answer.headers["content-type"] == "text/html; charset=utf-8", path
        return answer.text

    async def submit(self, path: str, **fields: str) -> httpx.Response:
        form = {"csrf": self.csrf, **fields}
        return await self.web.post(path, data=form, headers={**HTML, "Origin": SITE})


async def signed_in(bench: Bench, key: str = ADMIN_KEY) -> Browser:
    web = httpx.AsyncClient(transport=httpx.ASGITransport(bench.app), base_url=SITE)
    answer = await web.post("/sign-in", data={"key": key, "next": "/jobs"}, headers={**HTML, "Origin": SITE})
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs"), answer.text
    return Browser(web)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Without limits on requests."""
    app, stores, job_client, stop = memory_app(RateLimits(0, 0, 0))
    async with client(app, ADMIN_KEY) as admin, client(app, AGENT_TOKEN) as agent, client(app, None) as anyone:
        yield Bench(app, stores, job_client, job_client.releases, admin, agent, anyone, stop)


async def key_of(bench: Bench, role: Role) -> str:
    token, credential_id = new_token(CredentialKind.KEY)
    credential = Credential(
        credential_id=credential_id, kind=CredentialKind.KEY, digest=digest_of(token), subject="vera",
        grants=[Grant(role=role)], created_at=1,
    )  # fmt: skip
    assert await bench.app.state.services.credentials.put(credential, [])
    return token


async def filled(bench: Bench, words: str = "plain") -> dict[str, str]:
    """One of everything, with these words wherever somebody may write. Returns the ids."""
    job_id = await bench.submit(
        job_type="test", git_author=words, git_commit_message=words, labels={"team": words[:60]}, tags=[words[:60]],
        steps=[{"name": words, "run": words}],
    )  # fmt: skip
    await bench.start(job_id)
    await bench.log(job_id, 0, f"{words}\n\x1b[31m{words}\u202e\x1b[0m\n".encode(), final=True)
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.FAILED)
    await bench.register(description=words)
    deployment_id = await bench.deploy(git_author=words, git_commit_message=words, metadata={words[:60]: words})
    return {"job_id": job_id, "deployment_id": deployment_id, "name": "checkout", "agent_id": "agent-7"}


def pages() -> list[str]:
    """Every page of the router that is read."""
    return sorted(
        route.removeprefix("GET ")
        for route, need in ROUTES.items()
        if need is Open.PAGE and route.startswith("GET ") and "/static/" not in route
    )


def address(path: str, ids: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda place: ids[place[1]], path)


class Structure(HTMLParser):
    """What of a page could do something."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[dict[str, str | None]] = []
        self.odd: list[str] = []
        self.ids: list[str] = []
        self.forms: list[dict[str, str | None]] = []
        self.csrf = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.odd += [f"{tag} {name}" for name in given if name.startswith("on") or name in {"style", "srcdoc"}]
        self.odd += [tag] if tag in {"iframe", "object", "embed", "style", "base", "img"} else []
        self.odd += [str(given[name]) for name in ("href", "src", "action") if _leads_away(given.get(name))]
        self.scripts += [given] if tag == "script" else []
        self.forms += [given] if tag == "form" and given.get("method") == "post" else []
        self.csrf += tag == "input" and given.get("name") == "csrf"
        self.ids += [str(given["id"])] if "id" in given else []


def _leads_away(url: str | None) -> bool:
    return url is not None and re.match(r"[a-z]+:|//", url, re.IGNORECASE) is not None


async def test_every_page_is_shown_and_the_words_of_strangers_do_nothing(bench: Bench) -> None:
    ids = await filled(bench, HOSTILE)
    browser = await signed_in(bench)
    assert len(pages()) > 8
    for path in pages():
        text = await browser.see(address(path, ids))
        page = Structure()
        page.feed(text)
        assert not page.odd, (path, page.odd)
        assert [sorted(each) for each in page.scripts] in ([], [["src", "type"]]), (path, page.scripts)
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
    assert {path.rsplit("/", 1)[1] for path in found} == {"favicon.svg", "app.css", "log.css", "app.js"}
    for path in found:
        answer = await bench.anyone.get(path, headers={"Accept-Encoding": "identity"})
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert not re.search(rb"https?://(?!www\.w3\.org/2000/svg)", answer.content), "no other host is asked"
    assert (await bench.anyone.get("/static/0000/app.js")).status_code == 400


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


async def test_forms_do_what_they_say(bench: Bench) -> None:
    browser = await signed_in(bench)
    job_id = await bench.submit()
    answer = await browser.submit(f"/jobs/{job_id}/cancel", reason="not needed")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job_id}")
    assert (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()["status"] == "cancelled"
    again = await browser.submit(f"/jobs/{job_id}/retry")
    assert again.status_code == 303
    assert again.headers["location"] not in {f"/jobs/{job_id}", "/jobs/"}, "the new job's page"


async def test_a_dead_letter_is_changed_and_runs_again(bench: Bench) -> None:
    job_id = await bench.submit(env={"DB": "live", "OLD": "1"})
    await bench.start(job_id)
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED)
    browser = await signed_in(bench)
    page = await browser.see(f"/jobs/{job_id}")
    assert "(now: DB, OLD)" in page
    same = {"pool": "default", "priority": "NORMAL", "timeout_seconds": "3600"}
    wrong = await browser.submit(f"/jobs/{job_id}/redrive", **{**same, "timeout_seconds": "soon"}, env="DB=test")
    assert wrong.status_code == 422
    assert "timeout_seconds" in wrong.text
    assert "DB=test" in wrong.text, "what was filled in is kept"
    changed = {**same, "pool": "big", "max_attempts": "2", "env": "DB=test\r\nOLD", "reason": "the other database"}
    answer = await browser.submit(f"/jobs/{job_id}/redrive", **changed)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job_id}")
    job = (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()
    assert (job["pool"], job["priority"], job["timeout_seconds"], job["env"]) == ("big", "NORMAL", 3600, {"DB": "test"})


async def test_a_refusal_is_on_the_page_with_what_was_filled_in(bench: Bench) -> None:
    await bench.register()
    deployment_id = await bench.deploy()
    browser = await signed_in(bench)
    answer = await browser.submit(f"/deployments/{deployment_id}/cancel", reason="r" * 2000)
    assert answer.status_code == 422
    assert "<code>reason</code>" in answer.text
    nothing = await browser.submit(f"/deployments/{deployment_id}/no-such-command")
    assert nothing.status_code == 404


async def test_a_viewer_sees_and_may_not(bench: Bench) -> None:
    ids = await filled(bench)
    viewer = await signed_in(bench, await key_of(bench, Role.VIEWER))
    for path in pages():
        text = await viewer.see(address(path, ids), 403 if path in {"/audit", "/webhooks"} else 200)
        actions = re.findall(r'action="(/[^"]*)"', text)
        assert set(actions) <= {"/sign-out", "/sign-in"}, f"{path}: what they may not"
        assert ">Audit</a>" not in text
        assert ">Webhooks</a>" not in text
    assert "needs the role" in await viewer.see(f"/jobs/{ids['job_id']}")
    posts = [route.removeprefix("POST ") for route, need in ROUTES.items() if need is Open.PAGE and "POST " in route]
    forms = [path for path in posts if "{" in path]
    assert len(forms) >= 4
    commands = {
        "/jobs": "cancel",
        "/deployments": "rollback",
        "/services": "hold",
        "/agents": "drain",
        "/webhooks": "replay",
    }
    for path in forms:
        command = next(word for start, word in commands.items() if path.startswith(start))
        to = address(path, {**ids, "environment": "production", "command": command, "delivery_id": "0123456789abcdef"})
        answer = await viewer.submit(to, reason="because")
        assert answer.status_code == 403, (to, answer.text[:300])
        assert "may not" in answer.text or "This needs" in answer.text


async def test_a_page_that_is_not_there_says_so_as_a_page(bench: Bench) -> None:
    browser = await signed_in(bench)
    assert "There is nothing at this address" in await browser.see("/nothing", 404)
    assert "There is no job" in await browser.see("/jobs/00000000-0000-4000-8000-000000000000", 404)
    await browser.see("/jobs/%00", 404)
    plain = await browser.web.get("/nothing")
    assert plain.headers["content-type"] == "application/problem+json", "who is no browser gets a problem"
    wrong = await browser.web.post("/jobs", headers=HTML)
    assert wrong.status_code == 405


@pytest.mark.parametrize("command", ["{job_id:>400000000}", "{0}", "{", "{foo}", "%s"])
async def test_a_command_of_no_sense_is_no_command(bench: Bench, command: str) -> None:
    job_id = await bench.submit()
    browser = await signed_in(bench)
    answer = await browser.submit(f"/jobs/{job_id}/{quote(command)}")
    assert answer.status_code == 404
    assert len(answer.text) < 20_000


@pytest.mark.parametrize("attempt", ["\u00b2", "9" * 5000, "-1", "x"])
async def test_an_attempt_that_is_none(bench: Bench, attempt: str) -> None:
    job_id = await bench.submit()
    browser = await signed_in(bench)
    assert "Attempt 1" in await browser.see(f"/jobs/{job_id}?attempt={quote(attempt)}")


async def test_a_range_of_a_log(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.log(job_id, 0, b"".join(b"line %d\n" % number for number in range(1, 3001)), final=True)
    browser = await signed_in(bench)
    answer = await browser.web.get(f"/jobs/{job_id}/log?attempt=1&lines=5-7")
    assert answer.headers["log-lines"] == "5-7/3000"
    assert re.findall(r'data-line="(\d+)"', answer.text) == ["5", "6", "7"]
    assert '<span class="x">line 6</span>' in answer.text
    many = await browser.web.get(f"/jobs/{job_id}/log?attempt=1&lines=1-3000")
    assert many.headers["log-lines"] == "1-1000/3000", "an answer has its bounds"
    last = await browser.web.get(f"/jobs/{job_id}/log?lines=-2")
    assert last.headers["log-lines"] == "2999-3000/3000"
    assert (await browser.web.get(f"/jobs/{job_id}/log?lines=x")).status_code == 422


async def test_of_what_a_page_asks_the_first_counts() -> None:
    app, *_ = memory_app(RateLimits(requests=4))
    async with client(app, ADMIN_KEY) as admin:
        made = await admin.post("/api/access/keys", json={"name": "vera", "grants": [{"role": "viewer"}]})
        assert made.status_code == 201, made.text
    async with client(app, made.json()["key"]) as vera:
        statuses = [(await vera.get("/", headers=HTML)).status_code for _ in range(6)]
    assert statuses == [200, 200, 200, 200, 429, 429]


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
