"""A browser before the dashboard of a bench: signed in, it looks at pages and sends their forms."""

import hashlib
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import quote

import httpx

from api.auth.csrf import CSRF_COOKIE
from api.auth.permissions import ROUTES, Open
from api.auth.tokens import digest_of, new_token
from tests.api.conftest import ADMIN_KEY, Bench
from tests.api.dashboard.deployment_bench import on_its_way
from tests.api.dashboard.house_bench import house_filled
from workflows.contracts.access import Credential, CredentialKind, Grant, Role
from workflows.contracts.jobs import ArtifactRef
from workflows.contracts.records import JobWrite
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
    redrive_id = await _dead_letter(bench, words)
    await bench.register(description=words)
    deployment_id = await bench.deploy(git_author=words, git_commit_message=words, metadata={words[:60]: words})
    await on_its_way(bench, deployment_id, words)
    ids = await house_filled(bench, words)
    return {**ids, "job_id": job_id, "deployment_id": deployment_id, "name": "checkout", "agent_id": "agent-7",
        "redrive_id": redrive_id,
    }  # fmt: skip


async def _dead_letter(bench: Bench, words: str) -> str:
    """A dead letter with a file, and a redrive of all. Returns the redrive's id."""
    job_id = await bench.submit(job_type=words[:60], pool="gpu", git_ref="main", env={"WORDS": words}, artifacts=["*"])
    await bench.start(job_id)
    file = f"/api/queue/jobs/{job_id}/attempts/1/artifacts/{quote(words)}"
    digest = {"Content-SHA256": hashlib.sha256(b"x").hexdigest()}
    assert (await bench.agent.put(file, content=b"x", headers=digest)).status_code == 204
    job = await bench.job_client.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED)
    left = [ArtifactRef(path=words, size=1, sha256="0" * 64)]
    attempts = [job.attempts[0].model_copy(update={"artifacts": left, "message": words, "cause": words})]
    said = {"attempts": attempts, "error_message": words, "cause": words, "sequence": job.sequence + 1}
    await bench.stores.jobs.write(JobWrite(job=job.model_copy(update=said)))
    return str((await bench.admin.post("/api/queue/dead-letters/redrive", json={})).json()["redrive_id"])


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
