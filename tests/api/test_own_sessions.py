"""Where one is signed in, and signing out there and everywhere."""

import httpx

from api.auth.csrf import CSRF_COOKIE
from tests.api.conftest import ADMIN_KEY, Bench

SITE = "https://api"


async def opened(bench: Bench, key: str) -> httpx.AsyncClient:
    web = httpx.AsyncClient(transport=httpx.ASGITransport(bench.app), base_url=SITE)
    answer = await web.post("/auth/session", headers={"Authorization": f"Bearer {key}", "Origin": SITE})
    assert answer.status_code == 201
    web.headers.update({"X-CSRF-Token": web.cookies[CSRF_COOKIE], "Origin": SITE})
    return web


async def sessions(web: httpx.AsyncClient) -> list[dict[str, object]]:
    answer = await web.get("/auth/sessions")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()["items"]


async def key_of(bench: Bench, name: str) -> str:
    made = await bench.admin.post("/api/access/keys", json={"name": name, "grants": [{"role": "viewer"}]})
    return made.json()["key"]


async def test_one_sees_and_ends_ones_own(bench: Bench) -> None:
    vera, other = await key_of(bench, "vera"), await key_of(bench, "vera")
    here, there, stranger = await opened(bench, vera), await opened(bench, vera), await opened(bench, other)
    listed = await sessions(here)
    assert [each["current"] for each in listed] in ([False, True], [True, False])
    away = next(each["session_id"] for each in listed if not each["current"])
    assert len(await sessions(stranger)) == 1, "another key of the same name is another's"
    assert (await stranger.delete(f"/auth/sessions/{away}")).status_code == 404
    assert (await here.delete(f"/auth/sessions/{away}", headers={"X-CSRF-Token": "guessed"})).status_code == 403
    ended = await here.delete(f"/auth/sessions/{away}")
    assert (ended.status_code, ended.json()) == (200, {"ended": 1})
    assert (await there.get("/auth/sessions")).status_code == 401
    assert (await here.delete(f"/auth/sessions/{away}")).status_code == 404
    assert len(await sessions(here)) == 1


async def test_signing_out_everywhere(bench: Bench) -> None:
    webs = [await opened(bench, ADMIN_KEY) for _ in range(4)]
    others = await webs[0].delete("/auth/sessions?others=true")
    assert (others.json(), len(await sessions(webs[0]))) == ({"ended": 3}, 1)
    again = await opened(bench, ADMIN_KEY)
    answer = await webs[0].delete("/auth/sessions")
    assert answer.json() == {"ended": 2}
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert (await again.get("/auth/sessions")).status_code == 401
    assert (await bench.admin.get("/auth/sessions")).json() == {"items": []}, "a key is no session"
