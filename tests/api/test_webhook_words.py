"""Webhooks of people and monitors: approvals from a chat, alerts that roll back, incidents that hold, metrics."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from activities.clock import epoch_millis
from api.auth.vouching import Voucher
from api.deps import Services
from api.identity.people import People, PersonRule
from api.webhooks.effects import ApiEffects
from api.webhooks.receive import Webhooks
from api.webhooks.secrets import WebhookSecrets, secret_variable
from tests.webhooks.bench import NOW, SECRET, WebhookBench, deployments, same_but_repeated, webhook_bench
from tests.webhooks.captured import DEPLOYMENT, PROVIDERS, captured, provider_of
from workflows.contracts.deployments.commands import Approve, AskPerson, RollbackCommand
from workflows.contracts.deployments.environments import EnvironmentWrite, Hold, HoldCommand
from workflows.contracts.deployments.live_again import LiveAgain
from workflows.contracts.deployments.metrics import MetricsQuery
from workflows.contracts.ids import new_job_id


@pytest.fixture
async def hooks() -> AsyncIterator[WebhookBench]:
    async with webhook_bench() as bench:
        await bench.register()
        yield bench


async def alert(hooks: WebhookBench, name: str, replacing: dict[str, str]) -> dict[str, Any]:
    """A captured alert with other values at its keys."""
    secrets = WebhookSecrets({secret_variable(provider): SECRET for provider in PROVIDERS})
    hooks.app.state.webhooks = Webhooks(PROVIDERS, secrets, now=lambda: NOW)
    request = captured(name)
    body = request.body.decode()
    for key, value in replacing.items():
        body, found = re.subn(rf'("{key}"\s*:\s*)"[^"]*"', lambda at, value=value: f"{at[1]}{value}", body)
        assert found, f"{name} has no {key}"
    answer = await hooks.post(provider_of(name).name, body.encode(), {**request.headers, "request-id": new_job_id()})
    return answer.json()


WHEN = {
    "alertmanager-firing": "startsAt",
    "grafana-firing": "startsAt",
    "datadog-triggered": "date",
    "sentry-critical": "date_started",
}


async def held(hooks: WebhookBench, hold: Hold) -> None:
    """Production under hold."""
    state = await hooks.stores.environments.get("shop", "production")
    assert state is not None
    changed = state.model_copy(update={"hold": hold, "sequence": state.sequence + 1})
    await hooks.stores.environments.write(EnvironmentWrite(state=changed))


async def live(hooks: WebhookBench, deployment_id: str, *, since: int) -> None:
    """What runs in production now, since a moment of our choice."""
    await hooks.releases.go_live(deployment_id)
    state = await hooks.stores.environments.get("shop", "production")
    assert state is not None
    assert state.live is not None
    changed = state.model_copy(
        update={"live": state.live.model_copy(update={"since": since}), "sequence": state.sequence + 1}
    )
    await hooks.stores.environments.write(EnvironmentWrite(state=changed))


async def test_slack_approves_and_hears_how_it_went(hooks: WebhookBench) -> None:
    deployment = await hooks.deploy("1.4.2")
    answer = await hooks.send("slack-approve")
    assert answer.status_code == 200  # Slack takes any other for a failure
    assert answer.json()["text"] == "shop 1.4.2 is approved by slack:U2147483697."
    assert answer.json()["actions"][0]["deployment_id"] == deployment.deployment_id
    (command,) = hooks.releases.commands
    assert isinstance(command, Approve)
    assert (command.by, command.via, command.version) == ("slack:U2147483697", "webhook:slack", "1.4.2")


async def test_a_chats_approval_is_a_persons_when_the_identity_map_knows_the_login(hooks: WebhookBench) -> None:
    """Of others it is the webhook's, a machine's: whoever has a tool's secret can name anybody."""
    await hooks.deploy("1.4.2")
    await hooks.send("slack-approve")
    services: Services = hooks.app.state.services
    people = People([PersonRule(id="ben", emails=["ben@example.com"], logins=["slack:U2147483697"])])
    hooks.app.state.services = replace(services, voucher=Voucher(people, b"s" * 32))
    hooks.restart()
    effects = ApiEffects(hooks.app.state.services, "slack", None)
    for by in ("slack:U2147483697", "ben@example.com", "github:ben"):
        deployment_id = (await deployments(hooks))[0].deployment_id
        await effects.command(deployment_id, Approve(by=by), f"key of {by}")
    found = [command.vouched for command in hooks.releases.commands if isinstance(command, Approve)]
    assert [(each.identity.person, each.identity.machine, each.acts_for) for each in found if each is not None] == [
        ("machine:webhook:slack", True, "slack:U2147483697"),
        ("ben", False, None),
        ("machine:webhook:slack", True, "ben@example.com"),
        ("machine:webhook:slack", True, "github:ben"),
    ]
    last = found[-1]
    assert last is not None
    assert last.proof


async def test_an_approval_by_version_is_of_none_when_two_commits_have_it(hooks: WebhookBench) -> None:
    """Where versions may be used again: whoever started it from another commit just before had that one approved."""
    looked_at, slipped_in = await hooks.deploy("1.4.2"), await hooks.deploy("1.4.2")
    await hooks.releases.put(slipped_in, git_commit_sha="c" * 40)
    answer = await hooks.send("slack-approve")
    assert answer.json()["status"] == "refused"
    assert f"{looked_at.deployment_id} of {looked_at.git_commit_sha[:12]}" in answer.json()["text"]
    assert hooks.releases.commands == []


async def test_an_approval_of_nothing_is_refused_in_words(hooks: WebhookBench) -> None:
    answer = await hooks.send("slack-approve")
    assert answer.json()["status"] == "refused"
    assert "shop 1.4.2 is not on its way" in answer.json()["text"]
    button = await hooks.send("slack-button")
    assert DEPLOYMENT in button.json()["message"]


async def test_an_alert_rolls_back_once_even_after_a_restart(hooks: WebhookBench) -> None:
    old, new = await hooks.deploy("1.4.1"), await hooks.deploy("1.4.2")
    await live(hooks, old.deployment_id, since=1_000)
    await live(hooks, new.deployment_id, since=2_000)
    first = await hooks.send("alertmanager-firing")
    assert first.json()["actions"][0]["version"] == "1.4.2"
    await live(hooks, old.deployment_id, since=3_000)  # what the rollback brings back
    hooks.restart()
    again = await hooks.send("alertmanager-firing")
    assert same_but_repeated(again, first)
    (command,) = hooks.releases.commands
    assert isinstance(command, RollbackCommand)
    assert command.reason.startswith("HighErrorRate fires: 5xx share of shop is 7 % [webhook ")
    assert command.by == "webhook:alertmanager"


async def test_an_alert_is_not_the_fault_of_a_version_that_came_later(hooks: WebhookBench) -> None:
    deployment = await hooks.deploy()
    await live(hooks, deployment.deployment_id, since=1_795_189_212_346)
    answer = await hooks.send("alertmanager-firing")
    assert answer.json()["status"] == "refused"
    assert "began before shop 1.4.2 came" in answer.json()["message"]
    assert hooks.releases.commands == []


async def test_nothing_to_roll_back_is_refused(hooks: WebhookBench) -> None:
    answer = await hooks.send("datadog-triggered")
    assert (answer.status_code, answer.json()["status"]) == (202, "refused")
    assert "Nothing of shop runs in production" in answer.json()["message"]


async def test_an_incident_holds_the_environment_once(hooks: WebhookBench) -> None:
    first = await hooks.send("pagerduty-triggered")
    hooks.restart()
    again = await hooks.send("pagerduty-triggered")
    assert same_but_repeated(again, first)
    assert first.json()["actions"][0]["environment"] == "production"
    (command,) = hooks.releases.commands
    assert isinstance(command, HoldCommand)
    state = await hooks.stores.environments.get("shop", "production")
    assert state is not None
    assert state.hold is not None


async def test_metrics_reach_what_runs(hooks: WebhookBench) -> None:
    deployment = await hooks.deploy()
    await live(hooks, deployment.deployment_id, since=1)
    late = await hooks.send("datadog-metrics")
    assert (late.json()["status"], "at: lies" in late.json()["message"]) == ("refused", True)
    now = epoch_millis()
    request = captured("datadog-metrics")
    body = request.body.replace(b"1795275612000", str(now).encode()).replace(b"7412398746124", b"7412398746125")
    answer = await hooks.post("datadog", body, request.headers)
    assert answer.json()["actions"][0]["deployment_id"] == deployment.deployment_id
    services: Services = hooks.app.state.services
    page = await services.measured.page(MetricsQuery(deployment_id=deployment.deployment_id))
    assert {(each.metric, each.value, each.source, each.at) for each in page.items} == {
        ("error_rate", 0.07, "webhook:datadog", now),
        ("latency_ms", 412.5, "webhook:datadog", now),
    }


@pytest.mark.parametrize("name", WHEN)
@pytest.mark.parametrize("when", ['"0001-01-01T00:00:00Z"', '"yesterday"', '""', "null", '"2099-01-01T00:00:00Z"'])
async def test_an_alert_that_does_not_say_since_when_rolls_nothing_back(
    hooks: WebhookBench, name: str, when: str
) -> None:
    await live(hooks, (await hooks.deploy("1.4.1")).deployment_id, since=1_000)
    deployment = await hooks.deploy()
    await live(hooks, deployment.deployment_id, since=2_000)
    answer = await alert(hooks, name, {WHEN[name]: when})
    assert answer["status"] == "refused"
    for words in ("since when this alert holds", "is missing or unreadable" if "2099" not in when else "in the future"):
        assert words in answer["message"], answer
    assert f"hybridci deploy rollback {deployment.deployment_id}" in answer["message"]
    assert hooks.releases.commands == []


async def test_a_second_alert_does_not_take_down_what_the_first_brought_back(hooks: WebhookBench) -> None:
    old, new = await hooks.deploy("2"), await hooks.deploy("3")
    await live(hooks, old.deployment_id, since=1_000)
    await live(hooks, new.deployment_id, since=2_000)
    first = await alert(hooks, "alertmanager-firing", {})
    assert first["actions"][0]["version"] == "3"
    await live(hooks, old.deployment_id, since=3_000)  # what the rollback brings back, and holds
    hold = Hold(by="webhook:alertmanager", reason="rolled back from 3", at=3_000)
    await held(hooks, hold)
    second = await alert(hooks, "alertmanager-firing", {"fingerprint": '"ffff"', "startsAt": '"2026-11-21T00:00:00Z"'})
    assert second["status"] == "refused"
    assert "shop 2 is not rolled back by itself: production is on hold" in second["message"]
    assert f"hybridci deploy rollback {old.deployment_id} --reason" in second["message"]
    back, asked = hooks.releases.commands
    assert isinstance(back, RollbackCommand)
    assert isinstance(asked, AskPerson)
    assert "production is on hold by webhook:alertmanager: rolled back from 3" in asked.why


async def test_a_version_that_a_rollback_brought_back_is_left_to_a_person(hooks: WebhookBench) -> None:
    deployment = await hooks.deploy("2")
    await live(hooks, deployment.deployment_id, since=1_000)
    again = LiveAgain(from_deployment_id="d3", from_version="3", by="bob", at=1_000)
    now_live = await hooks.stores.deployments.get(deployment.deployment_id)
    assert now_live is not None
    await hooks.releases.put(now_live, live_again=again)
    answer = await alert(hooks, "grafana-firing", {})
    assert "a rollback of 3 brought it back" in answer["message"]
    (asked,) = hooks.releases.commands
    assert isinstance(asked, AskPerson)
    assert asked.what == "An alert asks for it: HighErrorRate fires: 5xx share of shop is 7 %"


async def test_one_alert_acts_once_upon_versions_whenever_it_fires_again(hooks: WebhookBench) -> None:
    old, new = await hooks.deploy("2"), await hooks.deploy("3")
    await live(hooks, old.deployment_id, since=1_000)
    await live(hooks, new.deployment_id, since=2_000)
    assert (await alert(hooks, "grafana-firing", {}))["status"] == "accepted"
    fixed = await hooks.deploy("4")
    await live(hooks, fixed.deployment_id, since=4_000)
    hooks.restart()
    again = await alert(hooks, "grafana-firing", {"startsAt": '"2026-11-22T00:00:00Z"'})
    assert again["status"] == "refused"
    assert "this alert has rolled 3 back already, and one alert acts once" in again["message"]
    other = await alert(hooks, "grafana-firing", {"fingerprint": '"0000"', "startsAt": '"2026-11-22T00:00:00Z"'})
    assert (other["status"], other["actions"][0]["version"]) == ("accepted", "4")


async def test_an_alert_that_was_refused_has_not_acted(hooks: WebhookBench) -> None:
    deployment = await hooks.deploy("2")
    await live(hooks, deployment.deployment_id, since=1_000)
    hooks.releases.lost.add(deployment.deployment_id)
    assert (await alert(hooks, "grafana-firing", {}))["status"] == "refused"
    hooks.releases.lost.clear()
    newer = await hooks.deploy("3")
    await live(hooks, newer.deployment_id, since=2_000)
    again = await alert(hooks, "grafana-firing", {"startsAt": '"2026-11-22T00:00:00Z"'})
    assert (again["status"], again["actions"][0]["version"]) == ("accepted", "3")
