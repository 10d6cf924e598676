"""People signing in by a real issuer, and everything that is tried to get in without being them."""

import asyncio
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry

from api.deps import Services
from api.identity.oidc import back_to_this_site
from tests.api.conftest import ADMIN_KEY
from tests.api.sign_in import SITE, Door, opened_door, post
from tests.oidc_issuer import AUDIENCE, CLIENT_ID, OidcIssuer, running_issuer
from workflows.contracts.access import CredentialKind

RULES = """
users:
  - {match: {issuer: corp, groups: {contains: [dev, sre]}}, grants: [{role: developer}]}
  - {match: {issuer: corp, email: boss@example.com}, grants: [{role: admin}]}
"""
ANN: dict[str, Any] = {"sub": "00u1", "email": "ann@example.com", "email_verified": True, "groups": ["dev"]}


@pytest.fixture(scope="module")
async def issuer() -> AsyncIterator[OidcIssuer]:
    async with running_issuer() as found:
        yield found


@pytest.fixture
async def door(issuer: OidcIssuer, tmp_path: Path) -> AsyncIterator[Door]:
    issuer.person, issuer.tampered, issuer.asked, issuer.down = dict(ANN), {}, {}, False
    async with opened_door(issuer, tmp_path, RULES) as found:
        yield found


@asynccontextmanager
async def at_the_issuer(door: Door, query: str = "") -> AsyncGenerator[tuple[httpx.AsyncClient, str]]:
    """A browser that has been at the issuer, and the address by which it is sent back."""
    async with door.browser() as browser, httpx.AsyncClient() as elsewhere:
        begun = await browser.get(f"/auth/login?{query}")
        assert begun.status_code == 302, begun.text
        answered = await elsewhere.get(begun.headers["location"])
        assert answered.status_code == 302
        back = answered.headers["location"]
        assert back.startswith(f"{SITE}/auth/callback?")
        yield browser, back.removeprefix(SITE)


def changed(address: str, **parameters: str) -> str:
    path, query = address.split("?")
    given = {name: values[0] for name, values in parse_qs(query).items()} | parameters
    return f"{path}?{urlencode({name: value for name, value in given.items() if value})}"


async def by_token(door: Door, token: str, **more: Any) -> httpx.Response:
    return await post(door, "/auth/session", body={"id_token": token, **more})


async def test_a_person_signs_in_and_lands_where_they_wanted(door: Door) -> None:
    async with at_the_issuer(door, urlencode({"next": "/dashboard?tab=jobs"})) as (browser, back):
        answer = await browser.get(back)
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard?tab=jobs")
        assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
        assert set(browser.cookies) == {"hybridci_session", "hybridci_csrf"}
        csrf = browser.cookies["hybridci_csrf"]
        who = (await browser.post("/auth/validate", headers={"X-CSRF-Token": csrf})).json()
    assert (who["subject"], who["grants"]) == ("ann@example.com", [{"role": "developer"}])
    [event] = await door.events()
    assert (event.action, event.by, event.role) == ("session.opened", "ann@example.com", "developer")
    assert "of corp, sub 00u1" in str(event.reason)


async def test_the_login_asks_with_state_nonce_and_a_code_challenge(door: Door) -> None:
    async with door.browser() as browser:
        first, second = await browser.get("/auth/login"), await browser.get("/auth/login?issuer=corp")
    asked = [parse_qs(urlsplit(answer.headers["location"]).query) for answer in (first, second)]
    assert asked[0]["code_challenge_method"] == ["S256"]
    assert asked[0]["redirect_uri"] == [f"{SITE}/auth/callback"]
    for name in ("state", "nonce", "code_challenge"):
        assert asked[0][name] != asked[1][name]
    cookie = first.headers["set-cookie"]
    assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/auth/callback", "Max-Age=600"} <= set(cookie.split("; "))


async def test_the_issuers_are_listed_for_a_login_page(door: Door) -> None:
    async with door.browser() as browser:
        answer = await browser.get("/auth/issuers")
    assert answer.json() == {"issuers": [{"name": "corp", "login_url": "/auth/login?issuer=corp"}]}


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "/\t/evil.example",
        "/%0a/evil\n",
        "javascript:alert(1)",
        "dashboard",
        "///evil.example",
        " /dashboard",
        "/päth",
        "https:evil.example",
    ],
)
async def test_a_login_leads_to_no_other_site(door: Door, elsewhere: str) -> None:
    async with door.browser() as browser:
        answer = await browser.get("/auth/login", params={"next": elsewhere})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "next")
    async with at_the_issuer(door) as (browser, back):  # nor does a login whose cookie somebody has changed
        cookie = browser.cookies["hybridci_login"]
        pending = json.loads(urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4)))
        forged = urlsafe_b64encode(json.dumps(pending | {"next": elsewhere}).encode()).decode().rstrip("=")
        browser.cookies.clear()
        browser.cookies.set("hybridci_login", forged, domain="ci.example.com")
        assert (await browser.get(back)).headers["location"] == "/"


@pytest.mark.parametrize("path", ["/", "/dashboard", "/dashboard?x=//y", "/a/b#c", "/auth/login?next=/"])
def test_paths_of_this_site_are_taken(path: str) -> None:
    assert back_to_this_site(path) == path


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"state": "x" * 43}, "state"),
        ({"state": ""}, "state"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": ""}, "iss"),
        ({"code": "made-up"}, "refused the code"),
        ({"code": ""}, "did not sign you in"),
        ({"error": "access_denied"}, "(access_denied)"),
        ({"error": "<script>"}, "did not sign you in. Start"),
    ],
)
async def test_an_answer_that_is_not_the_issuers_is_refused(door: Door, parameters: dict[str, str], words: str) -> None:
    async with at_the_issuer(door) as (browser, back):
        answer = await browser.get(changed(back, **parameters))
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
        assert words in answer.json()["detail"]
        assert "hybridci_session" not in browser.cookies
    assert await door.actions() == ["session.refused"]


async def test_another_browser_cannot_finish_a_login(door: Door) -> None:
    async with at_the_issuer(door) as (_, back), door.browser() as victim:
        assert (await victim.get(back)).status_code == 401
        assert (await victim.get("/auth/login")).status_code == 302  # a login of their own does not help
        assert (await victim.get(back)).status_code == 401
        assert "hybridci_session" not in victim.cookies


async def test_a_code_is_good_once(door: Door) -> None:
    async with at_the_issuer(door) as (browser, back):
        login = browser.cookies["hybridci_login"]
        assert (await browser.get(back)).status_code == 303
        browser.cookies.set("hybridci_login", login, domain="ci.example.com", path="/auth/callback")
        assert (await browser.get(back)).status_code == 401


@pytest.mark.parametrize(
    ("tampered", "words"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"nonce": 7}, "nonce"),
        ({"aud": AUDIENCE}, "another client (`aud`)"),
        ({"aud": [CLIENT_ID, "x"], "azp": "x"}, "azp"),
        ({"aud": "else"}, "audience"),
    ],
)
async def test_an_id_token_of_another_login_is_refused(door: Door, tampered: dict[str, Any], words: str) -> None:
    door.issuer.tampered = tampered
    async with at_the_issuer(door) as (browser, back):
        answer = await browser.get(back)
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert words in answer.json()["detail"]


async def test_an_id_token_opens_a_session_without_a_browser(door: Door) -> None:
    answer = await by_token(door, door.issuer.token(ANN), issuer="corp")
    assert answer.status_code == 201, answer.text
    assert answer.json()["subject"] == "ann@example.com"


def alg_none(door: Door) -> str:
    body = door.issuer.token(ANN).split(".")[1]
    header = urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    return f"{header}.{body}."


def alg_none_signed(door: Door) -> str:
    return f"{alg_none(door)}AAAA"


def public_key_as_secret(door: Door) -> str:
    """Alg confusion: an HMAC with the public key as the secret."""
    key = door.issuer.keys[0]
    secret = OctKey.import_key(json.dumps(key.as_dict(private=False)).encode())
    claims = {"iss": door.issuer.url, "aud": AUDIENCE, "iat": 1, "exp": 9999999999, **ANN}
    return jwt.encode({"alg": "HS256", "kid": key.kid}, claims, secret, ["HS256"])


def forged(door: Door) -> str:
    """The right key id, another key."""
    key = ECKey.generate_key("P-256", {"kid": str(door.issuer.keys[0].kid)})
    return door.issuer.signed(key, ANN)


def own_key_sent_along(door: Door) -> str:
    key = ECKey.generate_key("P-256", {"kid": "mine"})
    return door.issuer.signed(key, ANN, jwk=key.as_dict(private=False))


def changed_claims(door: Door) -> str:
    head, body, signature = door.issuer.token(ANN).split(".")
    claims = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4))) | {"email": "boss@example.com"}
    return f"{head}.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.{signature}"


def other_algorithm(door: Door) -> str:
    """The issuer's key says ES256; RS256 with a key of the same id."""
    key = RSAKey.generate_key(2048, {"kid": str(door.issuer.keys[0].kid)})
    return door.issuer.signed(key, ANN)


def critical_header(door: Door) -> str:
    key = door.issuer.keys[0]
    registry = JWSRegistry(algorithms=["ES256"], strict_check_header=False)
    claims = {"iss": door.issuer.url, "aud": AUDIENCE, "iat": 1, "exp": 9999999999, **ANN}
    token = jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key, registry=registry)
    body, signature = token.split(".")[1:]
    header = json.dumps({"alg": "ES256", "kid": key.kid, "crit": ["x"], "x": 1}).encode()
    return f"{urlsafe_b64encode(header).decode().rstrip('=')}.{body}.{signature}"


def nested_deep(door: Door) -> str:
    header = urlsafe_b64encode(b'{"alg":' + b"[" * 5000 + b"]" * 5000 + b"}").decode().rstrip("=")
    return f"{header}.{door.issuer.token().split('.')[1]}.AAAA"


FORGERIES = [
    alg_none,
    alg_none_signed,
    public_key_as_secret,
    forged,
    own_key_sent_along,
    changed_claims,
    other_algorithm,
    critical_header,
    nested_deep,
]


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
async def test_a_forged_token_is_refused(door: Door, forge: Any) -> None:
    token = forge(door)
    for path, name in (("/auth/session", "id_token"), ("/auth/token", "subject_token")):
        answer = await post(door, path, body={name: token})
        assert answer.status_code == 401, answer.text
        assert token not in answer.text
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"iss": "https://evil.example"}, "not trusted"),
        ({"iss": None}, "not trusted"),
        ({"iss": ["a"]}, "not trusted"),
        ({"aud": "https://another.example"}, "another audience"),
        ({"aud": []}, "another audience"),
        ({"aud": None}, "lacks what every ID token has: aud"),
        ({"exp": 1_700_000_000}, "expired"),
        ({"exp": None}, "lacks what every ID token has: exp"),
        ({"exp": "never"}, "'exp' is not valid"),
        ({"exp": True}, "'exp' is not valid"),
        ({"iat": 9_999_999_999, "exp": 99_999_999_999}, "issued in the future"),
        ({"iat": None}, "lacks what every ID token has: iat"),
        ({"nbf": 9_999_999_999}, "not valid yet"),
        ({"sub": None}, "lacks what every ID token has: sub"),
        ({"sub": 7}, "'sub' is not valid"),
        ({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}, "logout token"),
    ],
)
async def test_a_token_that_is_not_for_here_and_now_is_refused(door: Door, claims: dict[str, Any], words: str) -> None:
    answer = await by_token(door, door.issuer.token({**ANN, **claims}))
    assert answer.status_code == 401
    assert words in answer.json()["detail"]
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", "a.b", "a.b.c.d", "e30.e30.AAAA", "W10.W10.AAAA", "\u00e9.b.c", "a" * 32768]
)
async def test_what_is_no_token_is_refused_as_such(door: Door, token: str) -> None:
    answer = await by_token(door, token)
    assert answer.status_code == 401
    assert token not in answer.json()["detail"]


async def test_the_typ_of_a_token_must_not_say_that_it_is_another(door: Door) -> None:
    for kind, status in (("at+jwt", 401), ("logout+jwt", 401), ("jwt", 201), ("JWT", 201)):
        answer = await by_token(door, door.issuer.signed(door.issuer.keys[0], ANN, typ=kind))
        assert answer.status_code == status, (kind, answer.text)


async def test_clocks_may_be_a_minute_apart(door: Door) -> None:
    for seconds, status in ((55, 201), (-55, 201), (-130, 401), (450, 401)):
        door.skew[0] = seconds
        assert (await by_token(door, door.issuer.token(ANN))).status_code == status, seconds


async def test_a_rotated_key_is_found_and_an_unknown_one_asked_for_once_a_minute(door: Door) -> None:
    old = door.issuer.keys[0]
    assert (await by_token(door, door.issuer.token(ANN))).status_code == 201
    new = door.issuer.rotate("RSA")
    assert (await by_token(door, door.issuer.token(ANN))).status_code == 401
    door.elapsed[0] += 61
    assert (await by_token(door, door.issuer.token(ANN))).status_code == 201
    assert (await by_token(door, door.issuer.signed(old, ANN))).status_code == 401
    asked = door.issuer.asked["keys"]
    unknown = ECKey.generate_key("P-256", {"kid": "unknown"})
    answers = await asyncio.gather(*(by_token(door, door.issuer.signed(unknown, ANN)) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {401}
    assert door.issuer.asked["keys"] == asked
    door.issuer.keys = [new, ECKey.generate_key("P-256", {"kid": "second"})]


async def test_a_silent_issuer_is_503_at_first_and_no_matter_later(door: Door) -> None:
    door.issuer.down = True
    answer = await by_token(door, door.issuer.token(ANN))
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    async with door.browser() as browser:
        assert (await browser.get("/auth/login")).status_code == 503
    door.issuer.down = False
    door.elapsed[0] += 6
    assert (await by_token(door, door.issuer.token(ANN))).status_code == 201
    door.issuer.down = True
    door.elapsed[0] += 7200
    assert (await by_token(door, door.issuer.token(ANN))).status_code == 201
    door.elapsed[0] += 86_400
    assert (await by_token(door, door.issuer.token(ANN))).status_code == 503


async def test_a_discovery_document_of_another_issuer_is_not_believed(door: Door) -> None:
    url, door.issuer.url = door.issuer.url, "https://evil.example"
    try:
        answer = await by_token(door, door.issuer.token(ANN, iss=url))
    finally:
        door.issuer.url = url
    assert answer.status_code == 503


async def test_somebody_without_a_rule_is_told_which_claims_there_are(door: Door) -> None:
    answer = await by_token(door, door.issuer.token({**ANN, "groups": ["sales-emea"]}))
    assert answer.status_code == 403
    [error] = answer.json()["errors"]
    assert (
        error["message"]
        == "has these claims: aud, email, email_verified, exp, groups (a list: `contains`), iat, iss, sub"
    )
    assert "sales-emea" not in answer.text
    assert "admin can add one" in answer.json()["detail"]


@pytest.mark.parametrize("verified", [False, None, "yes", 1])
async def test_an_address_that_is_not_verified_is_nobodys(door: Door, verified: Any) -> None:
    boss = {"sub": "evil", "email": "boss@example.com", "email_verified": verified}
    refused = await by_token(door, door.issuer.token(boss))
    assert (refused.status_code, "email_verified" in refused.text) == (403, True)
    nameless = await by_token(door, door.issuer.token(boss, groups=["dev"]))
    assert nameless.status_code == 401
    assert "email" in nameless.json()["detail"]


async def test_a_name_that_is_no_address_stays_below_its_issuer(door: Door) -> None:
    for name in ("admin", "agent", "workload/ci"):
        answer = await by_token(door, door.issuer.token({**ANN, "email": name}))
        assert answer.json()["subject"] == f"corp:{name}"
    for name in ("", " ", "a\nb", "x" * 300, ["a"], {"a": 1}):
        assert (await by_token(door, door.issuer.token({**ANN, "email": name}))).status_code == 401


async def test_another_issuers_key_does_not_sign_for_this_one(door: Door, tmp_path: Path) -> None:
    async with running_issuer() as other:
        stranger = other.token(ANN, iss=door.issuer.url)
        assert (await by_token(door, stranger)).status_code == 401
        assert (await by_token(door, other.token(ANN))).status_code == 401


async def test_a_person_can_hold_what_a_key_holds_and_audit_tells_them_apart(door: Door) -> None:
    boss = await by_token(door, door.issuer.token(sub="1", email="boss@example.com", email_verified="true"))
    key = await post(door, "/auth/session", {"Authorization": f"Bearer {ADMIN_KEY}"})
    assert boss.json()["grants"] == key.json()["grants"] == [{"role": "admin"}]
    assert {event.by for event in await door.events()} == {"boss@example.com", "admin"}


async def test_without_an_issuer_login_says_what_to_do(door: Door) -> None:
    services: Services = door.app.state.services
    assert services.sign_in.issuers
    async with door.browser() as browser:
        unknown = await browser.get("/auth/login?issuer=nobody")
        strange = await browser.get("/auth/login?who=me")
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "issuer")
    assert strange.status_code == 422


async def test_a_session_is_of_the_issuers_subject_and_not_of_what_is_displayed(door: Door) -> None:
    """Whoever takes over an address at the issuer is another person; the address is known besides."""
    answers = [await by_token(door, door.issuer.token({**ANN, "sub": sub})) for sub in ("00u1", "00u2")]
    assert [answer.json()["subject"] for answer in answers] == ["ann@example.com", "ann@example.com"]
    page = await door.stores.credentials.list(CredentialKind.SESSION, limit=10, cursor=None)
    assert sorted((each.owner, each.names) for each in page.items) == [
        ("oidc:corp:00u1", ["ann@example.com"]),
        ("oidc:corp:00u2", ["ann@example.com"]),
    ]
