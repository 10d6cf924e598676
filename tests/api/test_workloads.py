"""CI jobs, pods and agents without a static secret: their own tokens, exchanged as the policy says."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from tests.api.conftest import SPEC
from tests.api.live import serving
from tests.api.sign_in import Door, opened_door, post
from tests.oidc_issuer import AUDIENCE, CLIENT_ID, OidcIssuer, running_issuer

HYBRIDCI = str(Path(sys.executable).parent / "hybridci")
RULES = """
workloads:
  - name: shop-ci
    match: {issuer: corp, repository: acme/shop, repository_owner_id: "65", ref: [refs/heads/main, "refs/tags/*"]}
    grants: [{role: developer, services: [shop]}]
    ttl_seconds: 600
  - name: shop-release
    match: {issuer: corp, sub: "repo:acme/shop:environment:production"}
    grants: [{role: operator, services: [shop, cart]}, {role: agent, pools: [prod]}]
  - name: gitlab
    match: {issuer: corp, project_path: "group/*", ref_protected: true, ref_type: branch}
    grants: [{role: developer}]
  - name: runners
    match: {issuer: corp, kubernetes.io: {namespace: ci, serviceaccount: {name: "runner-*"}}}
    grants: [{role: agent, pools: [linux, gpu]}]
    ttl_seconds: 3600
"""
# As https://docs.github.com/actions/security-for-github-actions describes them.
GITHUB: dict[str, Any] = {
    "jti": "8f1c", "sub": "repo:acme/shop:ref:refs/heads/main", "ref": "refs/heads/main", "sha": "a" * 40,
    "repository": "acme/shop", "repository_owner": "acme", "repository_owner_id": "65", "run_id": "30433642",
    "repository_visibility": "private", "repository_id": "74", "actor_id": "12", "actor": "octocat",
    "workflow": "release", "head_ref": "", "base_ref": "", "event_name": "push", "ref_type": "branch",
    "job_workflow_ref": "acme/shop/.github/workflows/release.yml@refs/heads/main", "runner_environment": "self-hosted",
    "run_number": "10", "run_attempt": "2",
}  # fmt: skip
GITLAB: dict[str, Any] = {
    "sub": "project_path:group/shop:ref_type:branch:ref:main", "namespace_id": "72", "namespace_path": "group",
    "project_id": "20", "project_path": "group/shop", "user_id": "1", "user_login": "sample", "user_email": "s@x.org",
    "pipeline_id": "574", "pipeline_source": "push", "job_id": "302", "ref": "main", "ref_type": "branch",
    "ref_path": "refs/heads/main", "ref_protected": "true", "environment_protected": "false",
    "groups_direct": ["group"],
}  # fmt: skip
POD: dict[str, Any] = {
    "sub": "system:serviceaccount:ci:runner-gpu", "aud": [AUDIENCE], "jti": "ea28ed49",
    "kubernetes.io": {
        "namespace": "ci", "node": {"name": "n1", "uid": "646e"}, "pod": {"name": "runner-x", "uid": "5e0b"},
        "serviceaccount": {"name": "runner-gpu", "uid": "14ee"},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
async def issuer() -> AsyncIterator[OidcIssuer]:
    async with running_issuer() as found:
        found.rotate("RSA")  # as all three do
        yield found


@pytest.fixture
async def door(issuer: OidcIssuer, tmp_path: Path) -> AsyncIterator[Door]:
    async with opened_door(issuer, tmp_path, RULES) as found:
        yield found


async def exchanged(door: Door, claims: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = await post(door, "/auth/token", body={"subject_token": door.issuer.token(claims), **more})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


@pytest.mark.parametrize(
    ("claims", "subject", "seconds", "grants"),
    [
        (GITHUB, "workload/shop-ci", 600, [{"role": "developer", "services": ["shop"]}]),
        (GITLAB, "workload/gitlab", 900, [{"role": "developer"}]),
        (POD, "workload/runners", 3600, [{"role": "agent", "pools": ["linux", "gpu"]}]),
    ],
    ids=["github", "gitlab", "kubernetes"],
)
async def test_a_workload_gets_what_the_policy_says(
    door: Door, claims: dict[str, Any], subject: str, seconds: int, grants: list[Any]
) -> None:
    answer = await exchanged(door, claims)
    assert answer["access_token"].startswith("hci_token_")
    assert (answer["subject"], answer["expires_in"], answer["grants"]) == (subject, seconds, grants)
    assert answer["token_type"] == "Bearer"
    who = (await post(door, "/auth/validate", {"Authorization": f"Bearer {answer['access_token']}"})).json()
    assert (who["subject"], who["kind"], who["grants"]) == (subject, "token", grants)
    [event] = await door.events()
    assert (event.action, event.by, event.role) == ("token.exchanged", subject, grants[0]["role"])
    assert f"sub {claims['sub']}" in str(event.reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"repository": "evil/shop", "sub": "repo:evil/shop:ref:refs/heads/main"},
        {"repository": "acme/shop-evil"},
        {"repository_owner_id": "66"},
        {"ref": "refs/heads/main2"},
        {"ref": "refs/pull/1/merge"},
        {"ref": "refs/tags/a/b"},
        {"ref": None},
        {"ref": ["refs/heads/main2"]},
    ],
)
async def test_another_repository_or_branch_gets_nothing(door: Door, changes: dict[str, Any]) -> None:
    answer = await post(door, "/auth/token", body={"subject_token": door.issuer.token({**GITHUB, **changes})})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "repository_owner_id" in answer.json()["errors"][0]["message"]
    assert "octocat" not in answer.text
    assert await door.actions() == ["token.refused"]


@pytest.mark.parametrize(
    ("claims", "changes"),
    [
        (GITLAB, {"ref_protected": "false"}),
        (GITLAB, {"project_path": "group/sub/shop"}),
        (POD, {"kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "runner-gpu"}}}),
        (POD, {"kubernetes.io": {"namespace": "ci", "serviceaccount": {"name": "default"}}}),
        (POD, {"kubernetes.io": {"namespace": "ci"}}),
        (POD, {"kubernetes.io": None}),
    ],
)
async def test_another_project_or_service_account_gets_nothing(
    door: Door, claims: dict[str, Any], changes: dict[str, Any]
) -> None:
    answer = await post(door, "/auth/token", body={"subject_token": door.issuer.token({**claims, **changes})})
    assert answer.status_code == 403


async def test_less_can_be_requested_but_never_more(door: Door) -> None:
    production = {**GITHUB, "sub": "repo:acme/shop:environment:production"}
    narrow = [{"role": "developer", "services": ["cart"], "operations": ["jobs:submit"]}]
    assert (await exchanged(door, production, requested=narrow))["grants"] == narrow
    agent = [{"role": "agent", "pools": ["prod"]}]
    assert (await exchanged(door, production, requested=agent))["subject"] == "workload/shop-release"
    first = [{"role": "viewer", "services": ["shop"]}]
    assert (await exchanged(door, production, requested=first))["subject"] == "workload/shop-ci"
    for more in (
        [{"role": "admin"}],
        [{"role": "operator"}],
        [{"role": "approver", "services": ["shop"]}],
        [{"role": "developer", "services": ["shop", "bank"]}],
        [{"role": "agent", "pools": ["prod", "linux"]}],
        [{"role": "agent"}],
        [{"role": "viewer", "services": ["shop"]}, {"role": "viewer"}],
    ):
        body = {"subject_token": door.issuer.token(production), "requested": more}
        answer = await post(door, "/auth/token", body=body)
        assert (answer.status_code, "goes further" in answer.text) == (403, True), more


async def test_an_exchanged_token_is_held_to_its_service(door: Door) -> None:
    token = (await exchanged(door, GITHUB))["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    allowed = await post(door, "/api/dashboard/jobs", bearer, {**SPEC, "labels": {"service": "shop"}})
    refused = await post(door, "/api/dashboard/jobs", bearer, {**SPEC, "labels": {"service": "bank"}})
    keys = await post(door, "/api/access/keys", bearer, {"name": "x", "grants": [{"role": "admin"}]})
    session = await post(door, "/auth/session", bearer)
    statuses = [answer.status_code for answer in (allowed, refused, keys, session)]
    assert statuses == [201, 403, 403, 403], allowed.text


async def test_an_agent_registers_with_an_exchanged_token_in_its_pools_only(door: Door) -> None:
    bearer = {"Authorization": f"Bearer {(await exchanged(door, POD))['access_token']}"}
    agent = {"agent_id": "runner-1", "instance": "abcdefgh1234", "hostname": "n1"}
    refused = await post(door, "/api/agents/register", bearer, {**agent, "pool": "prod"})
    taken = await post(door, "/api/agents/register", bearer, {**agent, "pool": "gpu"})
    assert (refused.status_code, taken.is_success) == (403, True), taken.text
    own = {"Authorization": f"Bearer {taken.json()['token']}"}
    who = (await post(door, "/auth/validate", own)).json()
    assert (who["kind"], who["agent_id"], who["pool"]) == ("agent", "runner-1", "gpu")


async def test_each_use_of_one_token_is_told_with_its_fingerprint(door: Door) -> None:
    token = door.issuer.token(GITHUB)
    first = await post(door, "/auth/token", body={"subject_token": token})
    again = await post(door, "/auth/token", body={"subject_token": token})
    assert first.json()["access_token"] != again.json()["access_token"]
    events = await door.events()
    assert [event.action for event in events] == ["token.exchanged"] * 2
    assert events[0].reason == events[1].reason
    assert token not in str(events)


async def test_a_person_is_no_workload_and_a_workload_no_person(door: Door) -> None:
    person = {"sub": "1", "email": "ann@example.com", "email_verified": True, "aud": CLIENT_ID}
    assert (await post(door, "/auth/token", body={"subject_token": door.issuer.token(person)})).status_code == 403
    answer = await post(door, "/auth/session", body={"id_token": door.issuer.token(GITHUB)})
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


async def test_the_forms_of_rfc_8693_are_taken_and_others_named(door: Door) -> None:
    kinds = "urn:ietf:params:oauth:token-type"
    grant = "urn:ietf:params:oauth:grant-type:token-exchange"
    answer = await exchanged(door, GITHUB, grant_type=grant, subject_token_type=f"{kinds}:jwt")
    assert answer["issued_token_type"] == f"{kinds}:access_token"
    token = door.issuer.token(GITHUB)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"subject_token": token, "grant_type": "password"}, "grant_type"),
        ({"subject_token": token, "subject_token_type": f"{kinds}:saml2"}, "subject_token_type"),
        ({"subject_token": token, "requested": []}, "requested"),
        ({"subject_token": token, "requested": [{"role": "king"}]}, "requested.0.role"),
        ({"subject_token": token, "scope": "x"}, "scope"),
        ({}, "subject_token"),
    ]
    for wrong, field in cases:
        refused = await post(door, "/auth/token", body=wrong)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
        assert token not in refused.text


async def test_failing_exchanges_of_an_address_are_limited(door: Door) -> None:
    async with door.browser() as client:
        answers = [await client.post("/auth/token", json={"subject_token": "a.b.c"}) for _ in range(32)]
    assert [answer.status_code for answer in answers[28:]] == [401, 401, 429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1


def run_cli(*arguments: str, stdin: str = "", **environment: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, list(arguments), input=stdin, env=environment)
    return found.exit_code, found.stdout, found.stderr


async def hybridci(url: str, *arguments: str) -> str:
    """In a process of its own, whose stdout and stderr are what a shell would get."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HYBRIDCI_")}
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        HYBRIDCI, *arguments, env=inherited | {"HYBRIDCI_URL": url}, stdout=pipe, stderr=pipe
    )
    out, err = await child.communicate()
    assert child.returncode == 0, err
    return out.decode()


async def test_the_command_line_exchanges_a_token_and_prints_nothing_else(door: Door, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(door.issuer.token(POD) + "\n")
    exchange = ("token", "exchange")
    async with serving(door.app) as client:
        url = str(client.base_url)
        token = (await hybridci(url, *exchange, "--id-token-file", str(file))).removesuffix("\n")
        assert token.startswith("hci_token_")
        assert token.isprintable()

        async def cli(*arguments: str, **more: str) -> tuple[int, str, str]:
            return await asyncio.to_thread(run_cli, *arguments, HYBRIDCI_URL=url, **more)

        shown = await cli("token", "show", HYBRIDCI_API_KEY=token)
        grant = '{"role": "agent", "pools": ["gpu"]}'
        piped = await cli(*exchange, "--id-token-file", "-", "--request", grant, stdin=door.issuer.token(POD))
        missing = await cli(*exchange)
        unread = await cli(*exchange, "--id-token-file", str(tmp_path / "none"))
        refused = await cli(*exchange, HYBRIDCI_ID_TOKEN=door.issuer.token(POD, sub=None))
    assert (shown[0], "workload/runners (token), until" in shown[1], "pools: linux, gpu" in shown[1]) == (0, True, True)
    assert (piped[0], piped[1].startswith("hci_token_")) == (0, True)
    assert (missing[0], missing[1], "HYBRIDCI_ID_TOKEN" in missing[2]) == (2, "", True)
    assert (unread[0], unread[1], "cannot be read" in unread[2]) == (2, "", True)
    assert (refused[0], refused[1], "lacks what every ID token has: sub" in refused[2]) == (1, "", True)
