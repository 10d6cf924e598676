"""`hybridci service` and the policy of a service, against the API over HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from api.cli.commands import service
from api.cli.commands.deployments import freeze
from tests.api.cli_bench import ADMIN_KEY, Served, environment, served
from workflows.contracts.deployments.environments import EnvironmentState, EnvironmentWrite
from workflows.contracts.deployments.services import Service, ServiceSpec

REPO = "https://example.com/shop.git"
GUARDED: dict[str, Any] = {
    "git_repo": REPO,
    "policy_change_needs_second_person": True,
    "environments": [{"name": "production", "external": True, "approval": {"required": 2}}],
}
LOOSER = {**GUARDED, "environments": [{"name": "production", "external": True, "approval": {"required": 1}}]}


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


@pytest.fixture(scope="module")
def bob(api: Served) -> str:
    """Another person's key."""
    return key_of(api, "bob")


@pytest.fixture(scope="module")
def ann(api: Served) -> str:
    """Who asks: not the admin, who made bob's key and so has seen it."""
    return key_of(api, "ann")


def key_of(api: Served, name: str) -> str:
    body = {"name": name, "owner": f"{name}@example.com", "grants": [{"role": "operator"}]}
    answer = httpx.post(f"{api.url}/api/access/keys", json=body, headers={"Authorization": f"Bearer {ADMIN_KEY}"})
    return str(answer.json()["key"])


def call(api: Served, *arguments: str, key: str = ADMIN_KEY, text: str | None = None, app: Any = service.app) -> Result:
    env: dict[str, str | None] = {**environment(api.url, key), "HYBRIDCI_DATA_DIR": None}
    return CliRunner().invoke(app, list(arguments), env=env, input=text)


def apply(api: Served, name: str, spec: dict[str, Any], **more: Any) -> Result:
    return call(api, "apply", "-f", "-", "--name", name, text=json.dumps(spec), **more)


def test_another_policy_waits_until_somebody_else_agrees(api: Served, ann: str, bob: str) -> None:
    assert apply(api, "shop", GUARDED).exit_code == 0
    asked = apply(api, "shop", LOOSER, key=ann)
    assert asked.exit_code == 0, asked.output
    assert "a second person must agree" in asked.stdout
    assert "  environments.production.approval.required: 2 → 1\n" in asked.stdout
    assert "hybridci service approve-policy shop --version 2" in asked.stderr
    assert apply(api, "shop", GUARDED).stdout == "shop: unchanged, version 2\n", "the present one is as it was"
    shown = call(api, "show", "shop")
    assert "# key:ann asks for another policy: `hybridci service policy-change shop`" in shown.stdout
    waits = call(api, "policy-change", "shop", key=bob)
    assert waits.stdout.startswith("Version 2 of shop: key:ann asks for another policy.\n  environments.production")
    for own in (ann, ADMIN_KEY):  # the admin made ann's key
        refused = call(api, "approve-policy", "shop", "--version", "2", key=own)
        assert refused.exit_code == 1
        assert "another person must agree" in refused.stderr
    agreed = call(api, "approve-policy", "shop", "--version", "2", "--reason", "one is enough", key=bob)
    assert agreed.stdout == "shop: has the other policy, version 3\n", agreed.output
    assert (
        json.loads(call(api, "show", "shop", "--json").stdout)["spec"]["environments"][0]["approval"]["required"] == 1
    )
    nothing = call(api, "policy-change", "shop")
    assert (nothing.exit_code, "waits for a second person" in nothing.stderr) == (1, True)


def test_a_change_is_rejected_or_replaced(api: Served, bob: str) -> None:
    assert apply(api, "cart", GUARDED).exit_code == 0
    apply(api, "cart", LOOSER)
    no = call(api, "reject-policy", "cart", "--version", "2", "--reason", "two are right", key=bob)
    assert no.stdout == "cart: keeps its policy, version 3\n", no.output
    apply(api, "cart", LOOSER)
    replaced = apply(api, "cart", {**GUARDED, "description": "The cart"})
    assert replaced.stdout == "cart: changed, version 5\n"
    assert "took the place of a change of the policy that admin had asked for" in replaced.stderr


def test_a_service_without_a_policy_says_what_to_write(api: Served) -> None:
    spec = {"git_repo": REPO, "definition": {"path": "ci.yml"}}
    refused = apply(api, "old", spec)
    assert refused.exit_code == 1
    assert "policy: {environments:" in refused.stderr
    stored = Service(name="old", version=1, spec=ServiceSpec.model_validate(spec), created_at=1, updated_at=1)
    assert api.run(api.stores.services.put(stored, expected_version=0, events=[]))
    shown = call(api, "show", "old")
    assert "# It has no policy, and nothing is deployed without one: add `policy:` and apply it." in shown.stdout
    assert "as ci.yml says; has no policy" in call(api, "list").stdout
    policy = "policy: {environments: [{name: staging}, {name: production, approval: {required: 1}}]}"
    again = call(api, "apply", "-f", "-", text=f"{shown.stdout}\n{policy}\n")
    assert again.stdout == "old: changed, version 2\n", again.output
    assert "staging → production" in call(api, "list").stdout
    assert apply(api, "old", json.loads(call(api, "show", "old", "--json").stdout)["spec"]).stdout.startswith(
        "old: unch"
    )


def test_the_freezes_of_a_policy_are_listed(api: Served) -> None:
    window = {"name": "weekend", "cron": "0 17 * * 5", "duration_seconds": 3600}
    policy = {"environments": [{"name": "live", "freeze_windows": [window]}]}
    assert apply(api, "frozen", {"git_repo": REPO, "definition": {"path": "ci.yml"}, "policy": policy}).exit_code == 0
    state = EnvironmentState(service_name="frozen", environment="live", sequence=1)
    api.run(api.stores.environments.write(EnvironmentWrite(state=state)))
    assert "weekend" in call(api, "list", "frozen", app=freeze.app).stdout
