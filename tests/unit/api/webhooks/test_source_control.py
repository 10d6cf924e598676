"""Captured payloads of git hosts: (event, raw bytes) → deployments."""

from typing import Any

import pytest

from api.webhooks.manifest import ActionName
from api.webhooks.repositories import KnownService
from tests.webhooks.captured import DEPLOYMENT, SHA, captured, decided, delivery_of, shop
from workflows.contracts.identity.repositories import same_form

BRANCH = {"version": SHA[:12], "git_ref": "main"}
TAG = {"version": "v1.4.2", "git_ref": "refs/tags/v1.4.2"}
NAMED: dict[str, dict[str, Any]] = {
    "github-push-tag": {"tags": [{"pattern": "v*"}]},
    "github-workflow-run": {"workflows": ["Build"]},
    "github-release": {"tags": [{"pattern": "v*"}]},
    "github-deployment": {"deployments": ["production"]},
    "gitlab-tag-push": {"tags": [{"pattern": "v*"}]},
    "gitlab-pipeline": {"workflows": ["pipeline"]},
    "gitlab-release": {"tags": [{"pattern": "v*"}]},
    "bitbucket-tag": {"tags": [{"pattern": "v*"}]},
}
"""What a service must name for anything but a push to its branch."""


@pytest.mark.parametrize(
    ("name", "url", "event", "expected"),
    [
        ("github-push", "git@github.com:acme/shop.git", "push", BRANCH),
        ("github-push-form", "https://github.com/acme/shop", "push", BRANCH),
        ("github-push-tag", "https://github.com/Acme/Shop.git", "push", TAG),
        ("github-workflow-run", "ssh://git@github.com/acme/shop.git", "workflow_run", BRANCH),
        ("github-release", "https://github.com/acme/shop.git", "release", TAG),
        ("github-deployment", "https://github.com/acme/shop.git", "deployment", BRANCH),
        ("gitlab-push", "git@gitlab.example.com:acme/shop.git", "push", BRANCH),
        ("gitlab-tag-push", "https://gitlab.example.com/acme/shop.git", "tag_push", TAG),
        ("gitlab-pipeline", "https://gitlab.example.com/acme/shop", "pipeline", BRANCH),
        ("gitlab-release", "https://gitlab.example.com/acme/shop.git", "release", TAG),
        ("bitbucket-push", "git@bitbucket.org:acme/shop.git", "repo:push", BRANCH),
        ("bitbucket-tag", "https://ann@bitbucket.org/acme/shop.git", "repo:push", TAG),
        ("bitbucket-server-push", "ssh://git@git.example.com:7999/acme/shop.git", "repo:refs_changed", BRANCH),
        ("gitea-push", "ssh://git@gitea.example.com:2222/acme/shop.git", "push", BRANCH),
        ("azure-devops-push", "https://dev.azure.com/acme/acme/_git/shop", "git.push", BRANCH),
    ],
)
def test_a_git_host_starts_a_deployment(name: str, url: str, event: str, expected: dict[str, str]) -> None:
    if name in NAMED:
        assert decided(name, shop(url)).actions == ()
    decision = decided(name, shop(url, triggers=NAMED.get(name)), shop("https://github.com/acme/other.git"))
    assert delivery_of(name).event == event
    assert [(action.action, action.service) for action in decision.actions] == [(ActionName.START_DEPLOYMENT, "shop")]
    values = decision.actions[0].values
    assert decision.actions[0].problem is None
    assert values["git_commit_sha"] == SHA
    assert {name: values[name] for name in expected} == expected
    assert "ann" in values["git_author"]


def test_a_key_is_as_wide_as_its_event() -> None:
    url = "https://github.com/acme/shop.git"
    before = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
    assert decided("github-push", shop(url)).actions[0].key == f"github:=push/acme/shop/main/{before}/{SHA}/:shop"
    tagged = shop(url, triggers=NAMED["github-push-tag"])
    tags = {decided(name, tagged).actions[0].key for name in ("github-push-tag", "github-release")}
    assert tags == {f"github:=tag/acme/shop/v1.4.2/{SHA}:shop"}


def test_other_branches_and_repositories_are_told_apart() -> None:
    other_branch = decided("github-push", shop("https://github.com/acme/shop.git", "release"))
    assert other_branch.actions == ()
    assert "push: shop: branch 'main' is not for it, but release" in other_branch.reason
    default_branch = decided("github-push", shop("https://github.com/acme/shop.git", None))
    assert len(default_branch.actions) == 1
    other = decided("github-push", shop("https://github.com/acme/other.git"))
    assert "no registered service has the repository github.com/acme/shop" in other.reason


def test_one_repository_can_hold_several_services() -> None:
    form = same_form("https://github.com/acme/shop.git")
    services = [KnownService("cart", form, "main"), KnownService("shop", form), KnownService("docs", form, "docs")]
    decision = decided("github-push", *services)
    assert [action.service for action in decision.actions] == ["cart", "shop"]
    assert len({action.key for action in decision.actions}) == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("github-ping", "tries the address out"),
        ("github-push-deleted", "nothing to deploy"),
        ("github-issues", "no rule is for the event 'issues'"),
        ("gitlab-push-deleted", "nothing to deploy"),
    ],
)
def test_what_is_no_news_is_ignored_with_a_reason(name: str, words: str) -> None:
    decision = decided(name, shop("https://github.com/acme/shop.git"), shop("https://gitlab.example.com/acme/shop"))
    assert decision.actions in ([], ())
    assert words in decision.reason


def test_an_external_stage_is_recorded() -> None:
    (action,) = decided("github-deployment-status").actions
    assert action.action is ActionName.RECORD_STAGE
    assert action.values == {
        "deployment_id": DEPLOYMENT,
        "environment": "staging",
        "job_id": "https://ci.example.com/run/77",
        "succeeded": True,
        "message": "Deployed by argo",
    }


@pytest.mark.parametrize(
    ("name", "delivery"),
    [
        ("github-push", "72d3162e-cc78-11e3-81ab-4c9367dc0901"),
        ("gitlab-push", "f5e57ebe-07a4-4f8b-bb2d-4a2a0c7b8f01"),
        ("gitlab-tag-push", "13792a34-cac6-4fda-95a8-c58e00a39542"),
        ("bitbucket-push", "3b1d2f2a-9c5e-4ba1-9d3a-5e1c0f3d7a01"),
        ("gitea-push", "f6266f16-1bf3-46a5-9ea4-602e06ead473"),
        ("azure-devops-push", "03c164c2-8912-4d5e-8009-3707d5f83734"),
    ],
)
def test_the_delivery_id_is_the_git_hosts_own(name: str, delivery: str) -> None:
    assert delivery_of(name).delivery == delivery


def test_no_secret_reaches_an_expression() -> None:
    request = captured("gitlab-push")
    assert "x-gitlab-token" not in request.headers
    delivery = delivery_of("gitlab-push")
    assert set(delivery.headers) == set(request.headers)
