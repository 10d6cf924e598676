"""The access policy: what it must say, and whom its rules match."""

from pathlib import Path
from typing import Any

import pytest

from api.identity.policy import AccessPolicy, UnusablePolicy, load_policy
from workflows.contracts.access import Role

LINE_ENDS = ("\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029")
ISSUERS = """
issuers:
  - {name: github, issuer: "https://token.actions.githubusercontent.com", audience: https://ci.example.com}
  - {name: corp, issuer: "https://login.example.com", client_id: hybridci}
"""


def policy_of(tmp_path: Path, text: str, *, development: bool = False) -> AccessPolicy:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return load_policy(path, development=development)


def rule(tmp_path: Path, match: str) -> AccessPolicy:
    return policy_of(tmp_path, f"{ISSUERS}\nusers:\n  - match: {match}\n    grants: [{{role: viewer}}]\n")


def test_a_policy_is_read_with_its_defaults(tmp_path: Path) -> None:
    policy = policy_of(
        tmp_path,
        ISSUERS
        + "workloads: [{name: ci, match: {issuer: github, repository: a/b}, grants: [{role: agent, pools: [x]}]}]",
    )
    assert policy.issuers[0].audiences == {"https://ci.example.com"}
    assert policy.issuers[1].audiences == {"hybridci"}
    assert policy.issuers[1].name_claim == "email"
    assert policy.workloads[0].ttl_seconds == 900
    assert policy.workloads[0].grants[0].role is Role.AGENT
    assert load_policy(None, development=False) == AccessPolicy()


def test_pools_are_for_what_the_policy_says(tmp_path: Path) -> None:
    policy = policy_of(tmp_path, "pools: [{name: production, deployments_only: true}, {name: gpu, services: [a, b]}]")
    assert [str(rule) for rule in policy.pools] == ["deployments", "jobs and deployments of a, b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("issuers: [", "cannot be read"),
        ("pools: [{name: x}]", "pools.0: say `deployments_only: true` or name `services`"),
        ("pools: [{name: x, deployments_only: 'true'}]", "pools.0.deployments_only"),
        ("pools: [{name: x, services: []}]", "pools.0.services"),
        ("pools: [{name: x, services: [a]}, {name: x, services: [b]}]", "pools.1.name: x is there twice"),
        ("issuer: []", "issuer: is unknown here; did you mean `issuers`?"),
        ("issuers: [{name: x, issuer: 'http://login.example.com', audience: a}]", "issuers.0.issuer: must be an https"),
        ("issuers: [{name: x, issuer: 'http://127.0.0.1:1', audience: a}]", "issuers.0.issuer: must be an https"),
        ("issuers: [{name: x, issuer: 'https://u:p@h', audience: a}]", "issuers.0.issuer: must be an https"),
        ("issuers: [{name: x, issuer: 'https://h/?a=b', audience: a}]", "issuers.0.issuer: must be an https"),
        ("issuers: [{name: x, issuer: 'https://h'}]", "issuers.0.audience: is needed"),
        ("issuers: [{name: key, issuer: 'https://h', audience: a}]", "issuers.0.name: means something else"),
        ("issuers: [{name: x, issuer: 'https://h', client_id: a, scopes: [email]}]", "issuers.0.scopes"),
        (
            "issuers: [{name: x, issuer: 'https://h', audience: a, client_secret_file: /none}]",
            "cannot be read: No such",
        ),
        (ISSUERS + "  - {name: corp, issuer: 'https://other', audience: a}", "issuers.2: its name or issuer is there"),
        (ISSUERS + "users: [{match: {issuer: corp}, grants: [{role: admin}]}]", "users.0.match: must say what"),
        (ISSUERS + "users: [{match: {issuer: corp, sub: '*'}, grants: [{role: admin}]}]", "users.0.match: must say"),
        (ISSUERS + "users: [{match: {issuer: corp, sub: [a, '**']}, grants: [{role: admin}]}]", "users.0.match: must"),
        (ISSUERS + "users: [{match: {issuer: corp, sub: []}, grants: [{role: admin}]}]", "users.0.match.sub: is empty"),
        (
            ISSUERS + "users: [{match: {issuer: corp, sub: null}, grants: [{role: admin}]}]",
            "users.0.match.sub: must be",
        ),
        (
            ISSUERS + "users: [{match: {issuer: none, sub: a}, grants: [{role: admin}]}]",
            "users.0.match.issuer: must be",
        ),
        (ISSUERS + "users: [{match: {issuer: corp, sub: a}, grants: []}]", "users.0.grants"),
        (ISSUERS + "users: [{match: {issuer: corp, sub: a}, grants: [{role: king}]}]", "users.0.grants.0.role"),
        (
            ISSUERS
            + "workloads: [{name: a, match: {issuer: corp, sub: a}, grants: [{role: agent}], ttl_seconds: 3601}]",
            "workloads.0.ttl_seconds",
        ),
    ],
)
def test_a_policy_with_a_fault_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UnusablePolicy, match=r"The access policy .*policy\.yaml") as refused:
        policy_of(tmp_path, text)
    assert words in str(refused.value)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    text = (
        ISSUERS
        + "users: [{match: {issuer: corp}, grants: [{role: admin}]}, {match: {sub: a}, grants: [{role: admin}]}]"
    )
    with pytest.raises(UnusablePolicy, match="users") as refused:
        policy_of(tmp_path, text)
    assert "users.0.match:" in str(refused.value)
    assert "users.1.match.issuer:" in str(refused.value)


def test_plain_http_is_for_development_on_this_machine(tmp_path: Path) -> None:
    local = "issuers: [{name: x, issuer: 'http://127.0.0.1:99', audience: a}]"
    assert policy_of(tmp_path, local, development=True).issuers[0].name == "x"
    with pytest.raises(UnusablePolicy, match="https"):
        policy_of(tmp_path, local.replace("127.0.0.1", "10.0.0.1"), development=True)


@pytest.mark.parametrize(
    ("match", "claims", "matches"),
    [
        ("{issuer: corp, email: ann@example.com}", {"email": "ann@example.com"}, True),
        ("{issuer: corp, email: ann@example.com}", {"email": "Xann@example.com"}, False),
        ("{issuer: corp, email: ann@example.com}", {}, False),
        ("{issuer: corp, email: '*@example.com'}", {"email": "bob@example.com"}, True),
        ("{issuer: corp, email: '*@example.com'}", {"email": "bob@example.com.evil"}, False),
        ("{issuer: corp, email: '*@example.com'}", {"email": "bob@example.com\n"}, False),
        ("{issuer: corp, groups: {contains: [sre, dev]}}", {"groups": ["sales", "dev"]}, True),
        ("{issuer: corp, groups: {contains: [sre, dev]}}", {"groups": ["sales"]}, False),
        ("{issuer: corp, groups: {contains: 's*'}}", {"groups": ["sre"]}, True),
        ("{issuer: corp, groups: {contains: sre}}", {"groups": []}, False),
        ("{issuer: corp, groups: {contains: sre}}", {"groups": "sre"}, False),
        ("{issuer: corp, groups: {contains: sre}}", {"groups": {"contains": "sre"}}, False),
        ("{issuer: corp, groups: {contains: sre, x: y}}", {"groups": ["sre"]}, False),
        ("{issuer: corp, groups: {contains: {name: sre}}}", {"groups": [{"name": "sre"}, {"name": "dev"}]}, True),
        ("{issuer: corp, groups: {contains: sre}}", {"groups": [["sre"]]}, False),
        ("{issuer: corp, groups: [sre, dev]}", {"groups": ["sales", "dev"]}, False),
        ("{issuer: corp, groups: sre}", {"groups": ["sre"]}, False),
        ("{issuer: corp, org: {team: sre}}", {"org": {"team": ["sre"]}}, False),
        ("{issuer: corp, groups: sre}", {"groups": "sre"}, True),
        ("{issuer: corp, groups: sre}", {"groups": {"sre": True}}, False),
        ("{issuer: corp, groups: sre, admin: true}", {"groups": "sre", "admin": True}, True),
        ("{issuer: corp, groups: sre, admin: true}", {"groups": "sre", "admin": "true"}, True),
        ("{issuer: corp, groups: sre, admin: true}", {"groups": "sre", "admin": 1}, False),
        ("{issuer: corp, groups: sre, admin: true}", {"groups": "sre"}, False),
        ("{issuer: corp, id: 17}", {"id": "17"}, True),
        ("{issuer: corp, id: 17}", {"id": 17.0}, False),
        ("{issuer: github, email: ann@example.com}", {"email": "ann@example.com"}, False),
        ("{issuer: corp, ref: 'refs/heads/*'}", {"ref": "refs/heads/main"}, True),
        ("{issuer: corp, ref: 'refs/heads/*'}", {"ref": "refs/heads/x/y"}, False),
        ("{issuer: corp, ref: 'refs/heads/**'}", {"ref": "refs/heads/x/y"}, True),
        ("{issuer: corp, repo: 'acme/*'}", {"repo": "acme/"}, False),
        ("{issuer: corp, repo: 'acme/**'}", {"repo": "acme/"}, False),
        ("{issuer: corp, repo: 'acme/**'}", {"repo": "acme/a"}, True),
        ("{issuer: corp, sub: 'repo:*/shop'}", {"sub": "repo:/shop"}, False),
        ("{issuer: corp, sub: 'a:*:b'}", {"sub": "a::b"}, False),
        ("{issuer: corp, ref: 'refs/heads/main*'}", {"ref": "refs/heads/main"}, True),
        ("{issuer: corp, sub: 'repo:acme/*:environment:prod'}", {"sub": "repo:acme/shop:environment:prod"}, True),
        (
            "{issuer: corp, sub: 'repo:acme/*:environment:prod'}",
            {"sub": "repo:acme/shop:environment:x:environment:prod"},
            False,
        ),
        ("{issuer: corp, actor: 'dependabot[bot]'}", {"actor": "dependabot[bot]"}, True),
        ("{issuer: corp, actor: 'dependabot[bot]'}", {"actor": "dependabotb"}, False),
        ("{issuer: corp, 'kubernetes.io': {namespace: ci}}", {"kubernetes.io": {"namespace": "ci", "pod": {}}}, True),
        ("{issuer: corp, 'kubernetes.io': {namespace: ci}}", {"kubernetes.io": {"namespace": "prod"}}, False),
        ("{issuer: corp, 'kubernetes.io': {namespace: ci}}", {"kubernetes.io": "ci"}, False),
        ("{issuer: corp, sub: 'a*b'}", {"sub": "a" + "x" * 5000 + "b"}, False),
        *(("{issuer: corp, sub: 'a*b'}", {"sub": f"a{end}b"}, False) for end in LINE_ENDS),
        *(("{issuer: corp, sub: 'a**b'}", {"sub": f"a/{end}b"}, False) for end in LINE_ENDS),
        ("{issuer: corp, sub: 'a*b'}", {"sub": "a\tb"}, True),
    ],
)
def test_a_rule_matches_what_it_says_and_nothing_else(
    tmp_path: Path, match: str, claims: dict[str, Any], matches: bool
) -> None:
    assert bool(rule(tmp_path, match).grants_of_person("corp", claims)) is matches


def test_a_match_that_forgets_that_a_claim_is_a_list_is_told_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rule(tmp_path, "{issuer: corp, groups: {contains: sre}, email: a@example.com}")
    assert not caplog.records
    rule(tmp_path, "{issuer: corp, groups: [sre], org: x}")
    (warning,) = caplog.records
    assert "contains" in warning.getMessage()
    assert vars(warning)["field"] == "users.0.match.groups"


def test_grants_of_all_matching_rules_add_up_once(tmp_path: Path) -> None:
    one = "{match: {issuer: corp, sub: ann}, grants: [{role: developer}]}"
    two = "{match: {issuer: corp, sub: 'a*'}, grants: [{role: developer}, {role: approver, services: [shop]}]}"
    policy = policy_of(tmp_path, f"{ISSUERS}\nusers: [{one}, {two}]")
    assert [grant.role for grant in policy.grants_of_person("corp", {"sub": "ann"})] == [Role.DEVELOPER, Role.APPROVER]
