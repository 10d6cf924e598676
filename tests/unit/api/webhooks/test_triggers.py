"""Whether an event starts a deployment, and why not in words: for GitHub, and the same kind at the other tools."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from api.webhooks.repositories import KnownService
from api.webhooks.rules import decide
from api.webhooks.triggering.facts import Facts, TriggerType
from api.webhooks.triggering.triggers import Found, Lacking, SeenCheck, judge
from tests.webhooks.captured import SHA, delivery_of, provider_of, shop
from workflows.contracts.deployments.triggers import TagTrigger, Triggers

GITHUB = "https://github.com/acme/shop.git"
Change = Callable[[dict[str, Any]], None]


def told(name: str, change: Change, *services: KnownService) -> tuple[list[str], str]:
    """The versions that a changed payload starts, and the reason."""
    delivery = delivery_of(name)
    payload = json.loads(json.dumps(delivery.payload))
    change(payload)
    decision = decide(provider_of(name), replace(delivery, payload=payload), list(services))
    return [action.values["version"] for action in decision.actions], decision.reason


def put(path: str, value: Any) -> Change:
    """Change one value of a payload; ``...`` takes it out."""

    def change(payload: dict[str, Any]) -> None:
        *places, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        found: Any = payload
        for place in places:
            found = found[place]
        if value is ...:
            del found[last]
        else:
            found[last] = value

    return change


def same(payload: dict[str, Any]) -> None:
    """As it was sent."""


WORKFLOW = {"workflows": ["Build"]}
RELEASES = {"tags": [{"pattern": "v*", "version": "{1}"}]}
CHECKOUT = {"tags": [{"pattern": "checkout-v*", "version": "{1}"}]}
ENVIRONMENT = {"deployments": ["production"]}

STARTS_NOTHING: list[tuple[str, str, Change, str, dict[str, Any] | None, str]] = [
    (
        "github-deployment of github-pages",
        "github-deployment",
        put("deployment/environment", "github-pages"),
        GITHUB,
        ENVIRONMENT,
        "deployments to 'github-pages' at the forge start nothing of it, only to production",
    ),
    ("deployment, none named", "github-deployment", same, GITHUB, None, "only to none (triggers.deployments)"),
    (
        "deployment of an unmerged branch",
        "github-deployment",
        put("deployment/ref", "feature/x"),
        GITHUB,
        ENVIRONMENT,
        "it names 'feature/x', which is neither one of its branches nor one of its tags",
    ),
    (
        "another workflow",
        "github-workflow-run",
        put("workflow_run/name", "close stale issues"),
        GITHUB,
        WORKFLOW,
        "workflow 'close stale issues' is not for it: it waits for Build",
    ),
    ("workflow, none named", "github-workflow-run", same, GITHUB, None, "no workflow starts it (triggers.workflows)"),
    (
        "failed workflow",
        "github-workflow-run",
        put("workflow_run/conclusion", "failure"),
        GITHUB,
        WORKFLOW,
        "workflow 'Build' ended with 'failure', not with success",
    ),
    ("workflow of a fork", "github-workflow-run-fork", same, GITHUB, WORKFLOW, "workflow 'Build' ran for a fork"),
    (
        "workflow of a pull request",
        "github-workflow-run",
        put("workflow_run/event", "pull_request"),
        GITHUB,
        WORKFLOW,
        "ran for a pull request",
    ),
    (
        "workflow of another branch",
        "github-workflow-run",
        put("workflow_run/head_branch", "feature/x"),
        GITHUB,
        WORKFLOW,
        "branch 'feature/x' is not for it, but main",
    ),
    (
        "workflow without action",
        "github-workflow-run",
        put("action", ...),
        GITHUB,
        WORKFLOW,
        "the payload has no payload.action, which every 'workflow_run' has",
    ),
    ("a push, where a workflow is waited for", "github-push", same, GITHUB, WORKFLOW, "it waits for Build"),
    ("a tag, none named", "github-push-tag", same, GITHUB, None, "tag 'v1.4.2' starts nothing of it: no tag is for it"),
    (
        "another service's tag",
        "github-push-tag",
        same,
        GITHUB,
        {"tags": [{"pattern": "cart-v*"}]},
        "tag 'v1.4.2' starts nothing of it: cart-v*",
    ),
    (
        "a tag that is no version",
        "github-push-tag",
        put("ref", "refs/tags/версия-1"),
        GITHUB,
        {"tags": [{"pattern": "*"}]},
        "tag 'версия-1' gives 'версия-1', which is no version",
    ),
    (
        "a pre-release by its name",
        "github-push-tag",
        put("ref", "refs/tags/v2.0.0-rc.1"),
        GITHUB,
        RELEASES,
        "2.0.0-rc.1 is a pre-release by its name",
    ),
    ("a pre-release", "github-release", put("release/prerelease", True), GITHUB, RELEASES, "marked as a pre-release"),
    ("a draft", "github-release", put("release/draft", True), GITHUB, RELEASES, "the release is a draft"),
    ("a release that is edited", "github-release", put("action", "edited"), GITHUB, RELEASES, "that is published"),
    ("a release without action", "github-release", put("action", ...), GITHUB, RELEASES, "has no payload.action"),
    ("a release of a branch", "github-release-branch", same, GITHUB, RELEASES, "names a branch and no commit"),
    (
        "a release, by its push only",
        "github-release",
        same,
        GITHUB,
        {"tags": [{"pattern": "v*", "by": "push"}]},
        "starts it by its push only",
    ),
    (
        "skip ci",
        "github-push",
        put("head_commit/message", "docs: a comma\n\n[Skip CI]"),
        GITHUB,
        None,
        "the commit's message says [skip ci]",
    ),
    ("no branch", "github-push", same, GITHUB, {"branches": []}, "no branch starts anything of it"),
    ("others' files", "github-push", same, GITHUB, {"paths": ["cart/**"]}, "none of the 1 changed files is one of its"),
    ("gitlab, none named", "gitlab-pipeline", same, "https://gitlab.example.com/acme/shop", None, "no workflow starts"),
    (
        "gitlab, failed",
        "gitlab-pipeline-failed",
        same,
        "https://gitlab.example.com/acme/shop",
        {"workflows": ["pipeline"]},
        "workflow 'pipeline' ended with 'failed'",
    ),
    (
        "gitlab, merge request",
        "gitlab-pipeline",
        put("object_attributes/source", "merge_request_event"),
        "https://gitlab.example.com/acme/shop",
        {"workflows": ["pipeline"]},
        "ran for a pull request",
    ),
    (
        "gitlab, skip ci",
        "gitlab-push",
        put("commits/0/message", "[no ci] x"),
        "https://gitlab.example.com/acme/shop",
        None,
        "the commit's message says [no ci]",
    ),
    ("gitlab, tag", "gitlab-tag-push", same, "https://gitlab.example.com/acme/shop", None, "no tag is for it"),
    ("gitlab, release", "gitlab-release", same, "https://gitlab.example.com/acme/shop", None, "no tag is for it"),
    (
        "bitbucket, skip ci",
        "bitbucket-push",
        put("push/changes/0/new/target/message", "x [ci skip]"),
        "https://bitbucket.org/acme/shop",
        None,
        "the commit's message says [ci skip]",
    ),
    ("bitbucket, tag", "bitbucket-tag", same, "https://bitbucket.org/acme/shop", None, "no tag is for it"),
    (
        "gitea, skip deploy",
        "gitea-push",
        put("head_commit/message", "[skip deploy]"),
        "https://gitea.example.com/acme/shop",
        None,
        "says [skip deploy]",
    ),
    (
        "gitea, other branch",
        "gitea-push",
        put("ref", "refs/heads/x"),
        "https://gitea.example.com/acme/shop",
        None,
        "branch 'x' is not for it, but main",
    ),
    (
        "bitbucket server, other branch",
        "bitbucket-server-push",
        put("changes/0/ref/displayId", "x"),
        "https://git.example.com/scm/acme/shop",
        None,
        "branch 'x' is not for it",
    ),
    (
        "azure, skip ci",
        "azure-devops-push",
        put("resource/commits/0/comment", "[skip ci]"),
        "https://dev.azure.com/acme/acme/_git/shop",
        None,
        "says [skip ci]",
    ),
    (
        "jenkins, failed",
        "jenkins-finalized",
        put("build/status", "UNSTABLE"),
        GITHUB,
        {"workflows": ["shop"]},
        "workflow 'shop' ended with 'unstable'",
    ),
    (
        "circleci, fork",
        "circleci-workflow",
        put("pipeline/vcs/origin_repository_url", "https://github.com/mallory/shop"),
        GITHUB,
        {"workflows": ["build-test"]},
        "ran for a fork",
    ),
    (
        "buildkite, pull request",
        "buildkite-finished",
        put("build/pull_request", {"id": "7", "base": "main"}),
        GITHUB,
        {"workflows": ["shop"]},
        "ran for a pull request",
    ),
    (
        "buildkite, fork",
        "buildkite-finished",
        put("build/pull_request", {"id": "7", "repository": "git://github.com/mallory/shop.git"}),
        GITHUB,
        {"workflows": ["shop"]},
        "ran for a fork",
    ),
    (
        "buildkite, a commit by a short name",
        "buildkite-finished",
        put("build/commit", "HEAD"),
        GITHUB,
        {"workflows": ["shop"]},
        "names no commit by its full id",
    ),
]


@pytest.mark.parametrize(
    ("name", "change", "url", "triggers", "words"),
    [each[1:] for each in STARTS_NOTHING],
    ids=[each[0] for each in STARTS_NOTHING],
)
def test_what_an_operator_did_not_mean_starts_nothing_and_says_why(
    name: str, change: Change, url: str, triggers: dict[str, Any] | None, words: str
) -> None:
    started, reason = told(name, change, shop(url, triggers=triggers))
    assert started == []
    assert words in reason


@pytest.mark.parametrize(
    ("name", "change", "triggers", "version"),
    [
        ("github-push-tag", same, RELEASES, "1.4.2"),
        (
            "github-push-tag",
            put("ref", "refs/tags/checkout-v7"),
            {"tags": [{"pattern": "checkout-v*", "version": "{1}"}]},
            "7",
        ),
        ("github-push-tag", put("head_commit/message", "release 1.4.2 [skip ci]"), RELEASES, "1.4.2"),
        ("github-push-tag", put("ref", "refs/tags/v2.0.0-rc.1"), {**RELEASES, "prereleases": True}, "2.0.0-rc.1"),
        ("github-release", put("action", "released"), RELEASES, "1.4.2"),
        ("github-release", put("release/prerelease", True), {**RELEASES, "prereleases": True}, "1.4.2"),
        ("github-release", same, {"tags": [{"pattern": "v*", "by": "release"}]}, "v1.4.2"),
        ("github-push", put("head_commit/message", "[skip ci]"), {"skip_words": []}, SHA[:12]),
        ("github-push", put("ref", "refs/heads/release/1.4"), {"branches": ["release/*"]}, SHA[:12]),
        ("github-push", same, {"paths": ["docs/**", "src/*.py"]}, SHA[:12]),
        ("github-deployment", put("deployment/ref", "v1.4.2"), {**RELEASES, **ENVIRONMENT}, "1.4.2"),
    ],
)
def test_what_a_service_names_starts_it(name: str, change: Change, triggers: dict[str, Any], version: str) -> None:
    started, reason = told(name, change, shop(GITHUB, triggers=triggers))
    assert (started, reason.startswith("A ")) == ([version], True), reason


def test_of_a_monorepo_each_service_has_its_own_tags_and_files() -> None:
    def service(name: str) -> KnownService:
        named = Triggers(tags=[TagTrigger(pattern=f"{name}-v*", version="{1}")], paths=[f"{name}/**"])
        return replace(shop(GITHUB), name=name, triggers=named)

    both = service("cart"), service("checkout")
    delivery = delivery_of("github-push-tag")
    payload = {**delivery.payload, "ref": "refs/tags/checkout-v1.5"}
    decision = decide(provider_of("github-push"), replace(delivery, payload=payload), both)
    assert [(action.service, action.values["version"]) for action in decision.actions] == [("checkout", "1.5")]
    assert [each.service for each in decision.passed_over] == ["cart"]
    pushed = put("commits/0/modified", ["cart/a.py"])
    delivery = delivery_of("github-push")
    payload = json.loads(json.dumps(delivery.payload))
    pushed(payload)
    decision = decide(provider_of("github-push"), replace(delivery, payload=payload), both)
    assert [action.service for action in decision.actions] == ["cart"]


@pytest.mark.parametrize("change", [put("forced", True), put("created", True), put("commits", []), put("commits", ...)])
def test_files_that_are_not_told_are_asked_of_an_agent(change: Change) -> None:
    delivery = delivery_of("github-push")
    payload = json.loads(json.dumps(delivery.payload))
    change(payload)
    known = shop(GITHUB, triggers={"paths": ["docs/**"]})
    (action,) = decide(provider_of("github-push"), replace(delivery, payload=payload), [known]).actions
    assert action.judged is not None
    assert (action.judged.facts.paths, action.judged.lacking) == (None, Lacking.PATHS)
    facts = action.judged.facts
    assert not judge(facts, known, Found(paths=["src/a.py"], asked_paths=True)).starts
    assert judge(facts, known, Found(paths=["docs/a.md"], asked_paths=True)).why == (
        "shop: 9f1c2a7b3d4e was pushed to 'main'."
    )
    unknown = judge(facts, known, Found(asked_paths=True))
    assert (unknown.starts, "Nobody could say which files changed" in unknown.why) == (True, True)


def test_required_checks_must_all_have_been_seen_green_for_the_commit() -> None:
    known = shop(GITHUB, triggers={"required_checks": ["tests", "lint"]})
    push = Facts(TriggerType.PUSH, commit=SHA, branch="main")
    check = Facts(TriggerType.CHECK, commit=SHA, branch="main", name="tests", conclusion="success")
    lint = SeenCheck("lint", "success", "main")
    assert judge(push, known).lacking is Lacking.CHECKS
    assert "waits for the checks tests (not seen), lint (not seen)" in judge(push, known, Found(checks=[])).why
    assert "waits for the checks lint (not seen)" in judge(check, known, Found(checks=[])).why
    red = SeenCheck("lint", "failure", "main")
    assert "waits for the checks lint (failure)" in judge(check, known, Found(checks=[red])).why
    elsewhere = SeenCheck("lint", "success", "feature/x")
    assert not judge(check, known, Found(checks=[elsewhere])).starts
    assert judge(check, known, Found(checks=[lint])).starts
    assert judge(push, known, Found(checks=[lint, SeenCheck("tests", "success", None)])).starts
    other = replace(check, name="coverage")
    assert "check 'coverage' is none that it waits for" in judge(other, known, Found(checks=[lint])).why


def test_a_workflow_and_checks_start_it_whichever_comes_last() -> None:
    known = shop(GITHUB, triggers={"workflows": ["Build"], "required_checks": ["tests"]})
    build = Facts(TriggerType.WORKFLOW, commit=SHA, branch="main", name="Build", conclusion="success")
    tests = Facts(TriggerType.CHECK, commit=SHA, branch="main", name="tests", conclusion="success")
    assert "waits for the checks tests" in judge(build, known, Found(checks=[])).why
    assert "waits for Build to succeed" in judge(tests, known, Found(checks=[])).why
    assert judge(build, known, Found(checks=[SeenCheck("tests", "success", "main")])).starts
    assert judge(tests, known, Found(checks=[SeenCheck("Build", "success", "main")])).starts


def test_without_any_branch_nothing_is_guessed() -> None:
    push = Facts(TriggerType.PUSH, commit=SHA, branch="main")
    nobody = shop(GITHUB, None)
    assert "nobody says which branch deploys it: set git_ref or triggers.branches" in judge(push, nobody).why
    assert judge(replace(push, default_branch="main"), nobody).starts
    assert not judge(replace(push, branch="x", default_branch="main"), nobody).starts
    everything = shop(GITHUB, None, {"branches": ["**"]})
    assert judge(replace(push, branch="feature/a/b"), everything).starts


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("tags", [{"pattern": "v1", "version": "{1}"}], "the pattern v1 has 0 wildcards"),
        ("tags", [{"pattern": "v*", "version": "{name}"}], "no other braces"),
        ("branches", ["*" * 40], "at most 9 wildcards"),
        ("poll_seconds", 5, "greater than or equal to 60"),
        ("tag", [], "Extra inputs"),
    ],
)
def test_triggers_that_cannot_be_meant_are_refused(field: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        Triggers.model_validate({field: value})


def test_a_force_push_back_is_an_event_of_its_own() -> None:
    """A, then B, then A again by force: three deployments."""

    def key(before: str, after: str, at: int) -> str:
        delivery = delivery_of("github-push")
        payload = json.loads(json.dumps(delivery.payload))
        payload |= {"before": before, "after": after}
        payload["repository"]["pushed_at"] = at
        return decide(provider_of("github-push"), replace(delivery, payload=payload), [shop(GITHUB)]).actions[0].key

    a, b = "a" * 40, "b" * 40
    keys = [key("0" * 40, a, 1), key(a, b, 2), key(b, a, 3), key(a, b, 4), key(b, a, 5)]
    assert len(set(keys)) == 5
    assert key(b, a, 3) == keys[2]


def test_one_push_can_bring_a_branch_and_a_tag() -> None:
    payload = json.loads(json.dumps(delivery_of("bitbucket-push").payload))
    tagged = json.loads(json.dumps(delivery_of("bitbucket-tag").payload))
    payload["push"]["changes"] += tagged["push"]["changes"]
    known = shop("https://bitbucket.org/acme/shop", triggers={"tags": [{"pattern": "v*", "version": "{1}"}]})
    delivery = replace(delivery_of("bitbucket-push"), payload=payload)
    decision = decide(provider_of("bitbucket-push"), delivery, [known])
    assert sorted(action.values["version"] for action in decision.actions) == ["1.4.2", SHA[:12]]
    assert len({action.key for action in decision.actions}) == 2
    unnamed = decide(provider_of("bitbucket-push"), delivery, [shop("https://bitbucket.org/acme/shop")])
    assert [action.values["version"] for action in unnamed.actions] == [SHA[:12]]
    assert "no tag is for it" in unnamed.passed_over[0].why


@pytest.mark.parametrize(
    ("name", "change", "url"),
    [
        ("github-push-deleted", same, GITHUB),
        ("gitlab-push-deleted", same, "https://gitlab.example.com/acme/shop"),
        ("gitea-push", put("head_commit", None), "https://gitea.example.com/acme/shop"),
        ("bitbucket-push", put("push/changes/0/new", None), "https://bitbucket.org/acme/shop"),
        ("bitbucket-server-push", put("changes/0/type", "DELETE"), "https://git.example.com/scm/acme/shop"),
        (
            "azure-devops-push",
            put("resource/refUpdates/0/newObjectId", "0" * 40),
            "https://dev.azure.com/acme/acme/_git/shop",
        ),
    ],
)
def test_what_is_removed_starts_nothing(name: str, change: Change, url: str) -> None:
    started, reason = told(name, change, shop(url, triggers={"branches": ["**"], "tags": [{"pattern": "**"}]}))
    assert (started, "was removed; there is nothing to deploy" in reason) == ([], True), reason
