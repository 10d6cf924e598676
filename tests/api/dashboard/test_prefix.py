"""Behind a proxy that gives the application a path of its own: every address of every page begins with it."""

import re

import httpx

from tests.api.conftest import ADMIN_KEY, Bench
from tests.api.dashboard.browser import HTML, SITE, Browser, address, filled, pages

ROOT = "/ci"
_ADDRESS = re.compile(r'\b(?:href|src|action|formaction|data-url|data-api)="([^"]*)"')


async def _signed_in(bench: Bench) -> Browser:
    web = httpx.AsyncClient(transport=httpx.ASGITransport(bench.app, root_path=ROOT), base_url=SITE)
    form = {"key": ADMIN_KEY, "next": f"{ROOT}/jobs"}
    answer = await web.post(f"{ROOT}/sign-in", data=form, headers={**HTML, "Origin": SITE})
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"].startswith(f"{ROOT}/")
    return Browser(web)


async def test_every_address_of_every_page_begins_with_the_path(bench: Bench) -> None:
    ids = await filled(bench)
    browser = await _signed_in(bench)
    for path in pages():
        text = await browser.see(ROOT + address(path, ids))
        found = [each for each in _ADDRESS.findall(text) if not each.startswith(("#", "?"))]
        wrong = [each for each in found if not each.startswith(f"{ROOT}/") and "://" not in each]
        assert not wrong, (path, wrong)
        assert f"{ROOT}{ROOT}" not in text, path
        assert f'data-root="{ROOT}"' in text or "<main" not in text, path


async def test_files_and_redirects_have_the_path_too(bench: Bench) -> None:
    browser = await _signed_in(bench)
    page = await browser.see(f"{ROOT}/jobs")
    for file in re.findall(r'(?:href|src)="([^"]*/static/[^"]+)"', page):
        assert (await browser.web.get(file)).status_code == 200
    job_id = await bench.submit()
    answer = await browser.submit(f"{ROOT}/jobs/{job_id}/cancel", reason="not needed")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{ROOT}/jobs/{job_id}")
    stranger = httpx.AsyncClient(transport=httpx.ASGITransport(bench.app, root_path=ROOT), base_url=SITE)
    asked = await stranger.get(f"{ROOT}/jobs", headers=HTML)
    assert asked.headers["location"].startswith(f"{ROOT}/sign-in?next=")


async def test_the_browser_is_told_to_stay_on_https_only_where_it_came_by_it(bench: Bench) -> None:
    for site, told in ((SITE, True), ("http://api", False)):
        web = httpx.AsyncClient(transport=httpx.ASGITransport(bench.app), base_url=site)
        for path in ("/sign-in", "/jobs", "/nothing"):
            answer = await web.get(path, headers=HTML)
            if answer.headers.get("content-type", "").startswith("text/html"):
                assert ("strict-transport-security" in answer.headers) is told, (site, path)
