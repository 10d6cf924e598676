"""Manifests are checked to the last expression, and every mistake is told at once."""

from pathlib import Path

import pytest

from api.webhooks.loading import BadManifests, load_providers, parse_manifest
from api.webhooks.manifest import ActionName, RepositoryLookup
from tests.unit import webhooks_page
from tests.webhooks.captured import PROVIDERS

GOOD = """
name: tool
title: A tool
docs: Set it up.
verify: {scheme: hmac-sha256, header: X-Signature}
event: payload.type
rules:
  - name: deploy
    on: [built]
    service: payload.service
    action: start_deployment
    with: {version: payload.version, git_commit_sha: payload.sha, git_author: "'tool'"}
    reason: It was built.
"""


def faults(text: str) -> list[str]:
    with pytest.raises(BadManifests) as caught:
        parse_manifest(text, "tool.yml")
    return [str(fault) for fault in caught.value.faults]


def test_the_shipped_manifests_cover_every_kind_of_tool_and_action() -> None:
    providers = load_providers()
    assert len(providers) >= 12
    assert {"github", "jenkins", "alertmanager", "slack", "generic"} <= set(providers)
    used = {rule.action for provider in providers.values() for rule in provider.manifest.rules}
    assert used == set(ActionName)
    assert all("HYBRIDCI_WEBHOOK_SECRET_" in provider.manifest.docs for provider in providers.values())


def test_a_folder_adds_and_replaces(tmp_path: Path) -> None:
    (tmp_path / "tool.yml").write_text(GOOD)
    (tmp_path / "slack.yml").write_text(GOOD.replace("name: tool", "name: slack", 1))
    (tmp_path / "notes.txt").write_text("not a manifest")
    providers = load_providers(tmp_path)
    assert providers["slack"].manifest.title == "A tool"
    assert "tool" in providers
    assert "notes" not in providers


def test_every_mistake_of_every_file_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "one.yml").write_text(
        GOOD.replace("payload.version", "payload..version").replace("name: tool", "name: one", 1)
    )
    (tmp_path / "two.yml").write_text("name: two\nverify: {scheme: none}\n")
    (tmp_path / "three.yml").write_text("a: [")
    (tmp_path / "four.yml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadManifests) as caught:
        load_providers(tmp_path)
    told = str(caught.value)
    for words in (
        "one.yml: rules.0.with.version: 'payload..version' is no JMESPath expression",
        "two.yml: title: is needed",
        "two.yml: verify.0: must have as 'scheme' one of 'hmac-sha256'",
        "three.yml: is no YAML",
        "four.yml: is no YAML that can be read: it is not UTF-8",
    ):
        assert words in told
    with pytest.raises(BadManifests, match="is no folder; correct HYBRIDCI_WEBHOOK_MANIFESTS"):
        load_providers(tmp_path / "nowhere")


def test_a_file_is_named_like_its_provider(tmp_path: Path) -> None:
    (tmp_path / "other.yml").write_text(GOOD)
    with pytest.raises(BadManifests, match=r"must be named tool\.yml"):
        load_providers(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("payload.type", "payloads.type", "begins with 'payloads', but there are only headers, payload, query"),
        ("payload.version", "shorten(payload.sha)", "calls shorten(), which does not exist; did you mean short()?"),
        ("payload.version", "join('-')", "gives join() 1 arguments; it takes 2"),
        ("payload.version", "item.version", "begins with 'item'"),
        (
            "git_author: ",
            "author: ",
            "author is not known; did you mean git_author? start_deployment takes ",
        ),
        ("git_author: ", "git_ref: ", "git_author is needed by start_deployment"),
        ("    service: payload.service\n", "", "service is needed: start_deployment must know which one"),
        ("action: start_deployment", "action: launch", "must be 'start_job'"),
        ("header: X-Signature", "header: X-Signature, content: '{timestamp}.x'", "content must hold {body} once"),
        ("header: X-Signature", "header: X-Signature, content: '{timestamp}{body}'", "timestamp and {timestamp}"),
        ("header: X-Signature", "header: X-Signature, content: '{body}{age}'", "content holds 'age'"),
        ("scheme: hmac-sha256, header: X-Signature", "scheme: none", "must have as 'scheme' one of 'hmac-sha256'"),
        ("scheme: hmac-sha256, header: X-Signature", "scheme: token", "a token is in a header or in a query parameter"),
        ("name: tool", "name: Tool!", "must be lower-case letters"),
        (
            "reason: It was built.",
            "reason: It.\n    wehn: x",
            "rules.0.wehn: is unknown here; did you mean `when`?",
        ),
        ("\"'tool'\"", "2026-11-21", "'2026-11-21' is no JMESPath expression"),
    ],
)
def test_a_mistake_is_named_with_its_place(old: str, new: str, words: str) -> None:
    assert old in GOOD
    told = faults(GOOD.replace(old, new, 1))
    assert any(words in fault for fault in told), told
    assert all(fault.startswith("tool.yml: ") for fault in told)


def test_two_rules_of_one_name_are_refused() -> None:
    again = GOOD + GOOD[GOOD.index("  - name: deploy") :]
    assert any("two are named 'deploy'" in fault for fault in faults(again))


def test_on_is_a_word_and_not_a_truth_value() -> None:
    """YAML 1.1 reads ``on`` and ``no`` as booleans."""
    provider = parse_manifest(GOOD.replace("[built]", "[no, on]"), "tool.yml")
    assert provider.manifest.rules[0].on == ["no", "on"]


def test_the_page_lists_every_tool_and_what_it_tells_of() -> None:
    assert webhooks_page.written() == webhooks_page.table(), "`python -m tests.unit.webhooks_page` writes it"


def test_every_start_that_a_repository_sets_off_is_judged_by_the_services_triggers() -> None:
    for provider in PROVIDERS.values():
        for rule in provider.manifest.rules:
            by_repository = isinstance(rule.service, RepositoryLookup)
            if rule.action is ActionName.START_DEPLOYMENT and by_repository:
                assert rule.trigger is not None, f"{provider.name}: {rule.name}"
                assert rule.key is not None, f"{provider.name}: {rule.name}: the key is the event"


def test_of_headers_only_those_are_kept_that_decide_something() -> None:
    assert PROVIDERS["github"].reads == {"content-type", "x-github-event", "x-github-delivery"}
    assert PROVIDERS["gitlab"].reads == {"content-type", "idempotency-key", "x-gitlab-event-uuid"}
    for provider in PROVIDERS.values():
        assert "authorization" not in provider.reads
        assert not [name for name in provider.reads if "token" in name or "signature" in name]


@pytest.mark.parametrize("name", ["catch-up", "deliveries"])
def test_no_tool_has_a_name_that_means_something_here(name: str) -> None:
    text = (Path("api/webhooks/manifests") / "gitea.yml").read_text("utf-8").replace("name: gitea", f"name: {name}", 1)
    with pytest.raises(BadManifests, match="means something here already"):
        parse_manifest(text, "tool.yml")
