"""What a session or token may do is read in the access policy that the process has now, not in that of the sign-in."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.deps import Services
from tests.api.conftest import ADMIN_KEY, SPEC
from tests.api.sign_in import Door, opened_door, post
from tests.oidc_issuer import CLIENT_ID, OidcIssuer, running_issuer
from workflows.contracts.access import Credential, CredentialKind

APPROVE = "/api/dashboard/deployments/6f1f5a7c-1111-4222-8333-444455556666/approve"
"""Of no deployment: 404 says that the caller may."""
DAVE: dict[str, Any] = {"sub": "u-dave", "email": "dave@example.com", "email_verified": True, "groups": ["platform"]}
SHOP: dict[str, Any] = {"sub": "repo:acme/shop", "repository": "acme/shop"}
PEOPLE = "users:\n  - {match: {issuer: corp, groups: {contains: platform}}, grants: %s}\n"
WORKLOADS = "workloads:\n  - {name: shop, match: {issuer: corp, repository: acme/shop}, grants: %s}\n"
APPROVER = "[{role: approver}]"
GONE = "users:\n  - {match: {issuer: corp, sub: somebody-else}, grants: [{role: approver}]}\n"


@pytest.fixture(scope="module")
async def issuer() -> AsyncIterator[OidcIssuer]:
    async with running_issuer() as found:
        found.rotate("RSA")
        yield found


@asynccontextmanager
async def signed_in(door: Door, claims: dict[str, Any] = DAVE) -> AsyncGenerator[httpx.AsyncClient]:
    """A browser with a session, which sends its CSRF token."""
    async with door.browser() as browser:
        body = {"id_token": door.issuer.token({"aud": CLIENT_ID, **claims})}
        answer = await browser.post("/auth/session", json=body)
        assert answer.status_code == 201, answer.text
        browser.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
        yield browser


async def approves(browser: httpx.AsyncClient) -> int:
    return (await browser.post(APPROVE, json={})).status_code


async def test_a_session_whose_rule_was_taken_out_approves_no_more(issuer: OidcIssuer, tmp_path: Path) -> None:
    async with opened_door(issuer, tmp_path, PEOPLE % APPROVER) as door, signed_in(door) as dave:
        assert await approves(dave) == 404
        door.reread(tmp_path, PEOPLE % APPROVER)
        assert await approves(dave) == 404
        door.reread(tmp_path, GONE)
        assert await approves(dave) == 401
        door.reread(tmp_path, PEOPLE % APPROVER)
        assert await approves(dave) == 404


@pytest.mark.parametrize(
    ("now", "status"),
    [
        ("[{role: viewer}]", 403),
        ("[{role: approver, operations: [read]}]", 403),
        ("[{role: approver, services: [checkout]}]", 404),
        ("[{role: admin}]", 404),
    ],
    ids=["role", "operations", "services", "wider"],
)
async def test_a_rule_that_is_narrowed_narrows_the_session(
    issuer: OidcIssuer, tmp_path: Path, now: str, status: int
) -> None:
    async with opened_door(issuer, tmp_path, PEOPLE % APPROVER) as door, signed_in(door) as dave:
        door.reread(tmp_path, PEOPLE % now)
        assert await approves(dave) == status
        who = (await dave.post("/auth/validate")).json()
        assert all(grant["role"] != "admin" for grant in who["grants"])
        assert (await dave.post("/api/dashboard/jobs", json=SPEC)).status_code == 403


async def test_who_changed_groups_is_told_by_the_claims_of_the_sign_in(issuer: OidcIssuer, tmp_path: Path) -> None:
    two = (PEOPLE % APPROVER) + "  - {match: {issuer: corp, sub: u-dave}, grants: [{role: viewer}]}\n"
    async with opened_door(issuer, tmp_path, two) as door, signed_in(door) as dave:
        assert await approves(dave) == 404
        door.reread(tmp_path, two.replace("contains: platform", "contains: sre"))
        assert await approves(dave) == 403
        assert (await dave.get("/api/dashboard/jobs")).status_code == 200


@pytest.mark.parametrize("change", ["issuer", "audience", "name"])
async def test_a_session_of_an_issuer_that_is_trusted_no_more_is_over(
    issuer: OidcIssuer, tmp_path: Path, change: str
) -> None:
    async with opened_door(issuer, tmp_path, PEOPLE % APPROVER) as door, signed_in(door) as dave:
        services: Services = door.app.state.services
        policy = services.sign_in.policy
        assert policy.issuers[0].name == "corp"
        update = {
            "issuer": {"issuer": "https://other.example.com"},
            "audience": {"audience": "elsewhere", "client_id": None, "client_secret_file": None},
            "name": {"name": "other"},
        }[change]
        changed = policy.model_copy(update={"issuers": [policy.issuers[0].model_copy(update=update)]})
        door.use(changed)
        assert await approves(dave) == 401


async def test_a_key_that_somebody_made_for_themselves_goes_with_their_rule(issuer: OidcIssuer, tmp_path: Path) -> None:
    async with opened_door(issuer, tmp_path, PEOPLE % "[{role: admin}]") as door, signed_in(door) as dave:
        made: dict[str, dict[str, str]] = {}
        wanted = {
            "own": {},
            "named": {"owner": "Dave <dave@example.com>"},
            "machine": {"machine": True},
            "bobs": {"owner": "bob@example.com"},
        }
        for name, more in wanted.items():
            grants = [{"role": "approver"}]
            answer = await dave.post("/api/access/keys", json={"name": name, "grants": grants, **more})
            assert answer.status_code == 201, answer.text
            made[name] = {"Authorization": f"Bearer {answer.json()['key']}"}
        door.reread(tmp_path, GONE)
        answers = {name: (await post(door, APPROVE, bearer, {})).status_code for name, bearer in made.items()}
        assert answers == {"own": 401, "named": 401, "machine": 404, "bobs": 404}


async def test_a_key_that_replaced_it_and_a_session_by_it_go_too(issuer: OidcIssuer, tmp_path: Path) -> None:
    async with opened_door(issuer, tmp_path, PEOPLE % "[{role: admin}]") as door, signed_in(door) as dave:
        first = (await dave.post("/api/access/keys", json={"name": "own", "grants": [{"role": "approver"}]})).json()
        second = (await dave.post(f"/api/access/keys/{first['key_id']}/rotate", json={})).json()
        bearer = {"Authorization": f"Bearer {second['key']}"}
        async with door.browser() as browser:
            opened = await browser.post("/auth/session", headers=bearer)
            browser.headers["X-CSRF-Token"] = opened.json()["csrf_token"]
            assert await approves(browser) == 404
            door.reread(tmp_path, GONE)
            assert await approves(browser) == 401
        assert (await post(door, APPROVE, bearer, {})).status_code == 401


async def test_a_workloads_token_and_its_agent_go_with_the_rule(issuer: OidcIssuer, tmp_path: Path) -> None:
    agents = WORKLOADS % "[{role: agent, pools: [gpu]}, {role: developer}]"
    async with opened_door(issuer, tmp_path, agents) as door:
        answer = await post(door, "/auth/token", body={"subject_token": issuer.token(SHOP)})
        workload = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        registration = {"agent_id": "runner-1", "instance": "abcdefgh1234", "hostname": "n1", "pool": "gpu"}
        registered = await post(door, "/api/agents/register", workload, registration)
        agent = {"Authorization": f"Bearer {registered.json()['token']}"}

        async def statuses() -> list[int]:
            submitted = await post(door, "/api/dashboard/jobs", workload, SPEC)
            return [submitted.status_code, (await post(door, "/auth/validate", agent)).status_code]

        door.reread(tmp_path, agents)
        assert await statuses() == [201, 200]
        door.reread(tmp_path, WORKLOADS % "[{role: developer}]")
        assert await statuses() == [201, 401]
        door.reread(tmp_path, WORKLOADS % "[{role: agent, pools: [gpu, linux]}]")
        assert await statuses() == [403, 200]
        door.reread(tmp_path, agents.replace("name: shop", "name: other"))
        assert await statuses() == [401, 401]
        door.reread(tmp_path, agents.replace("acme/shop", "acme/cart"))
        assert await statuses() == [401, 401]


async def _as_before(door: Door, kind: CredentialKind) -> None:
    """As version 0.1 kept them: without what the ID token said. Then a new process."""
    services: Services = door.app.state.services
    found: list[Credential] = (await door.stores.credentials.list(kind, limit=100, cursor=None)).items
    assert found
    for each in found:
        older = each.model_copy(update={"admission": None, "revision": each.revision + 1})
        assert await door.stores.credentials.put(older, [])
    door.use(services.sign_in.policy)


async def test_a_persons_session_of_before_is_over_and_a_keys_goes_on(issuer: OidcIssuer, tmp_path: Path) -> None:
    async with (
        opened_door(issuer, tmp_path, PEOPLE % APPROVER) as door,
        signed_in(door) as dave,
        door.browser() as admin,
    ):
        opened = await admin.post("/auth/session", headers={"Authorization": f"Bearer {ADMIN_KEY}"})
        admin.headers["X-CSRF-Token"] = opened.json()["csrf_token"]
        await _as_before(door, CredentialKind.SESSION)
        assert [await approves(dave), await approves(admin)] == [401, 404]


async def test_a_workloads_token_of_before_is_held_to_its_rule_by_name(issuer: OidcIssuer, tmp_path: Path) -> None:
    async with opened_door(issuer, tmp_path, WORKLOADS % APPROVER) as door:
        answer = await post(door, "/auth/token", body={"subject_token": issuer.token(SHOP)})
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        await _as_before(door, CredentialKind.TOKEN)
        assert (await post(door, APPROVE, bearer, {})).status_code == 404
        door.reread(tmp_path, WORKLOADS % "[{role: viewer}]")
        assert (await post(door, APPROVE, bearer, {})).status_code == 403
        door.reread(tmp_path, GONE)
        assert (await post(door, APPROVE, bearer, {})).status_code == 401


async def test_claims_that_no_policy_compares_are_not_kept(issuer: OidcIssuer, tmp_path: Path) -> None:
    odd = {"picture": "x" * 5000, "n": 1.5, "deep": [[[[[[["a"]]]]]]], "org": {"id": 7, "x": None}}
    async with opened_door(issuer, tmp_path, PEOPLE % APPROVER) as door, signed_in(door, {**DAVE, **odd}) as dave:
        door.reread(tmp_path, PEOPLE % APPROVER)
        assert await approves(dave) == 404
        [session] = (await door.stores.credentials.list(CredentialKind.SESSION, limit=100, cursor=None)).items
        assert session.admission is not None
        kept = session.admission.claims
        assert {"picture", "n"}.isdisjoint(kept)
        assert (kept["groups"], kept["org"]) == (["platform"], {"id": 7})
