"""Captured payloads of monitoring systems: alerts roll back or pause."""

import hashlib

import pytest

from api.webhooks.manifest import ActionName
from tests.webhooks.captured import captured, decided, delivery_of, shop

SHOP = shop("https://github.com/acme/shop.git")


@pytest.mark.parametrize(
    ("name", "reason", "since"),
    [
        ("alertmanager-firing", "HighErrorRate fires: 5xx share of shop is 7 %", 1795189212345),
        ("grafana-firing", "HighErrorRate fires: 5xx share of shop is 7 %", 1795189212345),
        ("datadog-triggered", "[Triggered] Error rate of shop is high", 1795275612000),
        ("sentry-critical", "Critical: Too many errors", 1795189080000),
    ],
)
def test_an_alert_rolls_the_service_back(name: str, reason: str, since: int) -> None:
    (action,) = decided(name, SHOP).actions
    assert (action.action, action.service, action.environment) == (ActionName.ROLLBACK, "shop", "production")
    assert (action.values["reason"], action.values["since"]) == (reason, since)


def test_an_alert_acts_once_however_often_it_is_notified() -> None:
    """The group changes, so the body and its digest do; the alert is the same."""
    (first,) = decided("alertmanager-firing", SHOP).actions
    assert first.key == "alertmanager:=rollback/a1b2c3d4e5f60718/2026-11-20T15:40:12.345Z:shop"
    assert delivery_of("alertmanager-firing").delivery == (
        f"sha256-{hashlib.sha256(captured('alertmanager-firing').body).hexdigest()}"
    )


def test_a_label_asks_to_pause_an_environment() -> None:
    (action,) = decided("alertmanager-pause", SHOP).actions
    assert (action.action, action.values["environment"]) == (ActionName.PAUSE, "staging")


def test_an_incident_pauses() -> None:
    (action,) = decided("pagerduty-triggered", SHOP).actions
    assert (action.action, action.service) == (ActionName.PAUSE, "shop")
    assert action.values["reason"] == "PagerDuty incident #1234: Totals are wrong"


def test_figures_are_recorded() -> None:
    (action,) = decided("datadog-metrics", SHOP).actions
    assert action.action is ActionName.RECORD_METRICS
    assert action.values == {"error_rate": 0.07, "latency_ms": 412.5, "at": 1795275612000}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("alertmanager-resolved", "Nothing is rolled forward again"),
        ("alertmanager-no-service", "nothing in each"),
    ],
)
def test_other_alerts_do_nothing(name: str, words: str) -> None:
    decision = decided(name, SHOP)
    assert not decision.actions
    assert words in decision.reason


def test_an_unknown_service_is_named() -> None:
    decision = decided("pagerduty-triggered")
    assert not decision.actions
    assert "no service shop is registered" in decision.reason
