"""Captured payloads of chat systems: people approve, reject and roll back."""

from dataclasses import replace

from api.webhooks.loading import parse_manifest
from api.webhooks.manifest import ActionName
from api.webhooks.rules import decide
from tests.webhooks.captured import DEPLOYMENT, PROVIDERS, decided, delivery_of, shop

SHOP = shop("https://github.com/acme/shop.git")


def test_slack_approves() -> None:
    (action,) = decided("slack-approve", SHOP).actions
    assert (action.action, action.service) == (ActionName.APPROVE, "shop")
    assert action.values == {"version": "1.4.2", "by": "slack:U2147483697", "comment": "approved in Slack"}


def test_slack_approves_by_button() -> None:
    (action,) = decided("slack-button").actions
    assert action.action is ActionName.APPROVE
    assert action.values["deployment_id"] == DEPLOYMENT
    assert action.values["by"] == "slack:U2147483697"


def test_slack_rolls_back_with_a_reason() -> None:
    (action,) = decided("slack-rollback", SHOP).actions
    assert (action.action, action.values["reason"]) == (ActionName.ROLLBACK, "totals are wrong")


def test_mattermost_rejects() -> None:
    (action,) = decided("mattermost-reject", SHOP).actions
    assert action.action is ActionName.REJECT
    assert action.values == {"version": "1.4.2", "by": "mattermost:9zuzdcjm", "reason": "totals are wrong"}


def test_an_unknown_command_is_ignored() -> None:
    assert not decided("slack-nonsense", SHOP).actions


def test_people_are_known_by_the_name_that_approvals_know() -> None:
    """Otherwise an author could approve under the name that chat gives them."""
    slack = PROVIDERS["slack"]
    people = slack.manifest.model_copy(update={"people": {"U2147483697": "ben@example.com"}})
    decision = decide(replace(slack, manifest=people), delivery_of("slack-approve"), [SHOP])
    assert decision.actions[0].values["by"] == "ben@example.com"


def test_the_list_of_people_is_a_part_of_the_manifest() -> None:
    text = """
name: chat
title: Chat
docs: Set it up.
verify: {scheme: token, header: X-Token}
event: "'said'"
people: {U1: ann@example.com}
rules:
  - name: approve
    service: payload.service
    action: approve
    with: {by: "lookup(people, payload.user)"}
    reason: Somebody approved.
"""
    assert parse_manifest(text, "chat.yml").manifest.people == {"U1": "ann@example.com"}
