"""Whatever somebody outside may write does nothing on any page, and nothing of it is hidden."""

import re
from html.parser import HTMLParser
from typing import Final
from urllib.parse import quote, urlencode

from api.dashboard.outside import MISLEADING
from tests.api.conftest import AGENT_KEY, SERVICE, Bench, client
from tests.api.dashboard.browser import HOSTILE, Browser, Structure, address, filled, pages, signed_in
from tests.api.dashboard.hostile import WORDS, Recorder, text_fields, twist_stores

LINE: Final = "<img src=x onerror=alert(1)>\"'`{{7*7}}</script><script>alert(2)</script>"
SHORT: Final = "<img src=x onerror=alert(1)>"
NO_FREE_TEXT: Final = {
    "agent_id": "an agent's name; its own pattern is checked where agents register",
    "allow_windows.[].cron": "parsed as cron",
    "allow_windows.[].timezone": "must be a known time zone",
    "approvals.[].environment": "compared with the service's environments",
    "approvals.[].service": "compared with the service's name",
    "approvals.[].version": "compared with a version, which has a pattern",
    "artifact_rules.expires": "an age",
    "artifacts.[]": "a relative path or glob; put in by the stores' records",
    "artifacts.paths.[]": "the same as artifacts.[]",
    "checkout.path": "a relative path; shown on no page",
    "definition.path": "a relative path; put in by the stores' records",
    "fence.name": "of the agents, shown on no page",
    "filter.cause": "compared with causes; shown nowhere",
    "filter.git_repo": "compared with addresses; shown nowhere",
    "filter.service": "compared with services; shown nowhere",
    "filter.job_ids.[]": "compared with ids; shown nowhere",
    "filter.job_type": "compared with types; shown nowhere",
    "freeze_windows.[].cron": "parsed as cron",
    "freeze_windows.[].timezone": "must be a known time zone",
    "git_ref": "a ref by git's rules, without such signs",
    "git_repo": "an https, ssh or file address without blanks; put in by the stores' records",
    "hostname": "of an agent; shown on no page, and put in with its record",
    "inputs.[].artifacts.[]": "a relative path or glob; shown on no page",
    "inputs.[].branch": "a ref by git's rules; shown on no page",
    "inputs.[].job_type": "compared with types; shown nowhere",
    "inputs.[].path": "a relative path; shown on no page",
    "inputs.[].repository": "compared with addresses; shown nowhere",
    "job_id": "a job's id, checked",
    "job_type": "a word with a pattern of its own, checked inside",
    "labels.*": "of agents and services they have a pattern; of jobs they are put in",
    "labels.<key>": "a pattern",
    "name": "of a key, a freeze, a hold and a metric; put in",
    "on_ref": "a ref by git's rules",
    "owner": "a person as an issuer names them",
    "question.artifact": "of an agent's question, answered to its asker only",
    "question.git_ref": "of an agent's question, answered to its asker only",
    "question.git_repo": "of an agent's question, answered to its asker only",
    "question.params.*": "of an agent's question, answered to its asker only",
    "question.params.<key>": "of an agent's question, answered to its asker only",
    "question.path": "of an agent's question, answered to its asker only",
    "question.query": "of an agent's question, answered to its asker only",
    "question.version": "of an agent's question, answered to its asker only",
    "region": "of an agent; put in with its record",
    "requires.[]": "a label and a value with patterns",
    "running.[]": "ids of jobs",
    "scope.labels.*": "a pattern",
    "scope.labels.<key>": "a pattern",
    "signed.environment": "compared with what is signed",
    "signed.service": "compared with what is signed",
    "signed.version": "compared with what is signed",
    "source": "a word with a pattern of its own, checked inside",
    "steps.[].shell": "one of the shells that agents know",
    "triggers.branches.[]": "a glob of refs",
    "triggers.deployments.[]": "a name of a forge's environment, compared",
    "triggers.paths.[]": "a glob of paths",
    "triggers.required_checks.[]": "a name of a forge's check, compared",
    "triggers.skip_words.[]": "compared",
    "triggers.tags.[].pattern": "a glob of tags",
    "triggers.tags.[].version": "a pattern of versions",
    "triggers.workflows.[]": "a name of a forge's workflow, compared",
    "verification.metrics.[].params.*": "of a provider, checked by it",
    "verification.metrics.[].params.<key>": "of a provider, checked by it",
    "version": "of an agent; put in with its record",
}
"""Texts of the API's bodies that no request of these tests fills with hostile words, and why."""


async def _put_in(bench: Bench) -> tuple[dict[str, str], Recorder]:
    recorder = Recorder(HOSTILE)
    for web in (bench.admin, bench.agent):
        web.event_hooks = {"response": [recorder.see]}
    ids = await filled(bench, LINE)
    step = {"name": LINE, "run": LINE}
    job = await bench.submit(steps=[step], metadata={LINE[:60]: LINE}, tags=[LINE[:60]], labels={"team": LINE[:60]})
    await bench.admin.post(f"/api/dashboard/jobs/{job}/cancel", json={"reason": LINE, "by": LINE})
    await bench.admin.put(
        "/api/dashboard/services/hostile",
        json={
            **SERVICE,
            "description": LINE,
            "environments": [
                {
                    "name": "production",
                    "steps": [step],
                    "approval": {"groups": [{"name": LINE, "members": [LINE]}]},
                    "freeze_windows": [{"name": LINE, "cron": "0 20 * * FRI", "duration_seconds": 60}],
                    "allow_windows": [{"name": LINE, "cron": "0 8 * * MON", "duration_seconds": 60}],
                    "health_check": {"run": LINE},
                    "verification": {
                        "run": LINE,
                        "metrics": [{"name": "errors", "provider": "prometheus", "query": LINE, "max": 1}],
                    },
                    "rollback": {"steps": [step]},
                }
            ],
        },
    )
    done = await bench.submit()
    await bench.admin.patch(f"/api/dashboard/jobs/{done}/complete", json={"exit_code": 1, "error_message": LINE})
    because = {"reason": LINE}
    await bench.deploy(version="2", git_commit_sha="c" * 40, allow_older=because, lift_ban=because)
    await _agent(bench, recorder)
    deployment = f"/api/dashboard/deployments/{ids['deployment_id']}"
    for path, body in {
        f"{deployment}/approve": {"comment": LINE, "by": LINE},
        "/api/dashboard/services/checkout/environments/staging/hold": {"reason": LINE},
        "/api/dashboard/freezes": {
            "name": LINE, "reason": LINE, "duration_seconds": 60, "scope": {"all_services": True},
        },
        f"{deployment}/environments/staging": {"job_id": "ci-1", "message": LINE},
        "/api/agents/hostile/pause": {"note": LINE},
        "/api/access/keys": {"name": LINE, "grants": [{"role": "viewer"}]},
    }.items():  # fmt: skip
        await bench.admin.post(path, json=body)
    return ids, recorder


async def _agent(bench: Bench, recorder: Recorder) -> None:
    async with client(bench.app, AGENT_KEY) as fresh:
        body = {"agent_id": "hostile", "instance": "word-12345", "pool": "default", "hostname": "host-1"}
        registered = await fresh.post("/api/agents/register", json=body)
    async with client(bench.app, registered.json()["token"]) as agent:
        agent.event_hooks = {"response": [recorder.see]}
        await agent.post("/api/agents/hostile/heartbeat", json={"sequence": 1, "quarantine_reason": LINE})


async def test_every_text_of_the_api_is_put_in_or_has_a_reason(bench: Bench) -> None:
    fields = text_fields(bench.app.openapi(), HOSTILE)
    assert len(fields) > 50
    _, recorder = await _put_in(bench)
    missing = {name: where[:3] for name, where in fields.items() if name not in recorder.fields | NO_FREE_TEXT.keys()}
    assert not missing, "put hostile words into these, or say why that cannot be"
    assert NO_FREE_TEXT.keys() <= fields.keys(), "these are no fields"


class Shown(HTMLParser):
    """The text of a page that is read, and its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.fields: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._inside.append(tag)
        read_out = [given.get(name) or "" for name in ("title", "aria-label", "alt", "placeholder")]
        self.texts += [each for each in read_out if each]
        if tag in {"input", "select", "textarea"} and given.get("name") not in {None, "csrf"}:
            self.fields.append(str(given["name"]))

    def handle_data(self, data: str) -> None:
        if self._inside[-1:] != ["textarea"]:
            self.texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside[:-1]


async def _harmless(browser: Browser, path: str, where: str) -> Shown | None:
    answer = await browser.web.get(where, headers={"Accept": "text/html"})
    assert answer.status_code < 500, (path, where, answer.status_code)
    if answer.status_code in {301, 302, 303, 307}:
        assert answer.headers["location"].startswith("/"), "no page leads elsewhere"
        return None
    page, shown = Structure(), Shown()
    page.feed(answer.text)
    shown.feed(answer.text)
    assert not page.odd, (path, page.odd)
    assert all(sorted(each) == ["src", "type"] for each in page.scripts), path
    assert len(page.ids) == len(set(page.ids)), f"{path}: an id twice"
    misleads = [text for text in shown.texts if MISLEADING.search(text.replace("\n", ""))]
    assert not misleads, (path, misleads[:3])
    return shown


async def test_what_the_stores_hold_misleads_nobody(bench: Bench) -> None:
    ids, _ = await _put_in(bench)
    await twist_stores(bench, ids)
    browser = await signed_in(bench)
    for path in pages():
        shown = await _harmless(browser, path, address(path, ids))
        fields = {name: WORDS for name in shown.fields} if shown is not None else {}
        await _harmless(browser, path, f"{address(path, ids)}?{urlencode({'cursor': WORDS, **fields})}")
    job = await browser.see(f"/jobs/{ids['job_id']}")
    assert "&lt;img src=x onerror=alert(1)&gt;" in job, "nothing is hidden"
    assert '<span class="odd">U+202E</span>' in job
    overview = await browser.see("/")
    assert '<span class="odd">U+200B</span>' in overview


async def test_an_address_of_no_sense_is_a_page_that_says_so(bench: Bench) -> None:
    browser = await signed_in(bench)
    for path in pages():
        if "{" in path:
            await _harmless(browser, path, re.sub(r"\{\w+\}", quote(SHORT, safe=""), path))
            await _harmless(browser, path, re.sub(r"\{\w+\}", quote("\u202e..%2f", safe=""), path))


async def test_no_page_and_no_redirect_has_a_secret_in_an_address(bench: Bench) -> None:
    ids = await filled(bench)
    browser = await signed_in(bench)
    secrets = {cookie.value for cookie in browser.web.cookies.jar if cookie.value}
    assert len(secrets) >= 2
    for path in pages():
        text = await browser.see(address(path, ids))
        addresses = re.findall(r'(?:href|src|action|data-url|data-api)="([^"]*)"', text)
        assert addresses
        assert not [each for each in addresses if any(secret in each for secret in secrets)], path
        assert re.findall(r'method="get"[^§]*?</form>', text) == [
            form for form in re.findall(r'method="get"[^§]*?</form>', text) if 'name="csrf"' not in form
        ], f"{path}: a token would stand in the address"
