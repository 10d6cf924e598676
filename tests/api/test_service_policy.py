"""Who changes a service's policy: a right of its own, an event that says what differs, a second person where asked."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from tests.api.conftest import DEPLOYMENT, SERVICE, Bench, client
from tests.api.gate import Gate
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.deployments.services import Service, ServiceSpec

CHECKOUT = "/api/dashboard/services/checkout"
CHANGE = f"{CHECKOUT}/policy-change"
IN_REPOSITORY: dict[str, Any] = {"git_repo": "https://example.com/shop.git", "definition": {"path": "ci/deploy.yml"}}
POLICY: dict[str, Any] = {"environments": [{"name": "production", "approval": {"required": 2}}]}
GUARDED: dict[str, Any] = {**SERVICE, "policy_change_needs_second_person": True}


def loosened(service: dict[str, Any]) -> dict[str, Any]:
    """Without the approval of production."""
    environments = [dict(each) for each in service["environments"]]
    del environments[1]["approval"]
    return {**service, "environments": environments}


class People:
    """Keys of several people on one bench."""

    def __init__(self, bench: Bench, stack: AsyncExitStack) -> None:
        self.bench, self._gate, self._stack = bench, Gate(bench), stack

    async def key(self, name: str, **grant: Any) -> httpx.AsyncClient:
        made = await self._gate.make({"role": "operator", **grant}, name=name, owner=f"{name}@example.com")
        return await self._stack.enter_async_context(client(self.bench.app, made["key"]))

    async def events(self, beginning: str) -> list[AuditEvent]:
        page = await self.bench.stores.events.list(EventQuery(service_name="checkout", action=beginning, limit=100))
        return list(reversed(page.items))


@pytest.fixture
async def people(bench: Bench) -> AsyncIterator[People]:
    async with AsyncExitStack() as stack:
        yield People(bench, stack)


async def waiting(people: People) -> tuple[httpx.AsyncClient, dict[str, Any]]:
    """Ann has asked for a looser policy."""
    assert (await people.bench.admin.put(CHECKOUT, json=GUARDED)).status_code == 201
    ann = await people.key("ann")
    asked = await ann.put(CHECKOUT, json=loosened(GUARDED))
    assert asked.status_code == 202, asked.text
    return ann, asked.json()


# --- a definition in the repository needs a policy ------------------------------------------------------------------


async def test_a_definition_in_the_repository_is_not_registered_without_a_policy(bench: Bench) -> None:
    refused = await bench.admin.put(CHECKOUT, json=IN_REPOSITORY)
    assert (refused.status_code, [error["field"] for error in refused.json()["errors"]]) == (422, ["policy"])
    assert "policy: {environments:" in refused.json()["errors"][0]["message"], "what to write"
    assert (await bench.admin.put(CHECKOUT, json={**IN_REPOSITORY, "policy": POLICY})).status_code == 201


async def test_a_policy_beside_environments_is_refused(bench: Bench) -> None:
    refused = await bench.admin.put(CHECKOUT, json={**SERVICE, "policy": POLICY})
    assert refused.status_code == 422
    assert "policy" in refused.text


async def test_a_freeze_of_a_policy_is_checked_as_any(bench: Bench) -> None:
    window = {"name": "w", "cron": "99 * * * *", "duration_seconds": 60}
    policy = {"environments": [{"name": "production", "freeze_windows": [window]}]}
    refused = await bench.admin.put(CHECKOUT, json={**IN_REPOSITORY, "policy": policy})
    fields = [error["field"] for error in refused.json()["errors"]]
    assert (refused.status_code, fields) == (422, ["policy.environments.0.freeze_windows.0.cron"])


async def test_a_service_that_was_stored_without_a_policy_is_readable_and_starts_nothing(bench: Bench) -> None:
    spec = ServiceSpec.model_validate(IN_REPOSITORY)
    old = Service(name="checkout", version=1, spec=spec, created_at=1, updated_at=1)
    assert await bench.stores.services.put(old, expected_version=0, events=[])
    assert (await bench.admin.get(CHECKOUT)).json()["spec"]["definition"]["path"] == "ci/deploy.yml"
    refused = await bench.admin.post("/api/dashboard/deployments", json=DEPLOYMENT)
    assert (refused.status_code, refused.json()["code"]) == (409, "invalid_state")
    assert "hybridci service apply -f checkout.yml" in refused.json()["detail"]
    assert bench.releases.started == []
    assert (await bench.admin.put(CHECKOUT, json={**IN_REPOSITORY, "policy": POLICY})).status_code == 200
    await bench.deploy()


async def test_commit_on_ref_needs_a_ref(bench: Bench) -> None:
    refused = await bench.admin.put(CHECKOUT, json={**SERVICE, "commit_on_ref": True})
    assert refused.status_code == 422
    assert "git_ref" in refused.text
    assert (await bench.admin.put(CHECKOUT, json={**SERVICE, "commit_on_ref": True, "git_ref": "main"})).is_success


async def test_on_ref_is_for_the_jobs_of_deployments(bench: Bench) -> None:
    body = {"job_type": "test", "git_repo": "https://example.com/shop.git", "git_commit_sha": "a" * 40}
    refused = await bench.admin.post("/api/dashboard/jobs", json={**body, "git_author": "ann", "on_ref": "main"})
    assert (refused.status_code, [error["field"] for error in refused.json()["errors"]]) == (422, ["on_ref"])


# --- a right of its own ---------------------------------------------------------------------------------------------


async def test_who_may_write_services_only_leaves_their_policy(people: People) -> None:
    await people.bench.register()
    writer = await people.key("writer", operations=["read", "services:write"])
    refused = await writer.put(CHECKOUT, json=loosened(SERVICE))
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    fields = [error["field"] for error in refused.json()["errors"]]
    assert "environments.production.approval.required" in fields
    steps = {**SERVICE, "description": "x", "test": {"steps": [{"name": "unit", "run": "make test"}]}}
    assert (await writer.put(CHECKOUT, json={**SERVICE, "description": "x"})).status_code == 200
    assert (await writer.put(CHECKOUT, json=steps)).status_code == 403, "where the tests run is new policy"
    new = await writer.put("/api/dashboard/services/other", json=SERVICE)
    assert (new.status_code, [error["field"] for error in new.json()["errors"]]) == (403, ["policy"])


async def test_without_the_right_nothing_is_put_over_another_policy(people: People) -> None:
    """The record can change between our look and the workflow's: then another policy would be taken back."""
    await people.bench.register()
    writer = await people.key("writer", operations=["read", "services:write"])
    releases, apply = people.bench.releases, people.bench.releases.apply_service

    async def overtaken(write: Any) -> Service:
        releases.apply_service = apply  # pyright: ignore[reportAttributeAccessIssue]
        tighter = ServiceSpec.model_validate({**SERVICE, "git_ref": "main"})
        await apply(write.model_copy(update={"spec": tighter, "expected_version": None, "by": "admin"}))
        return await apply(write)

    releases.apply_service = overtaken  # pyright: ignore[reportAttributeAccessIssue]
    answer = await writer.put(CHECKOUT, json={**SERVICE, "description": "x"})
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")
    assert (await people.bench.admin.get(CHECKOUT)).json()["spec"]["git_ref"] == "main"


@pytest.mark.parametrize("role", ["viewer", "developer", "approver"])
async def test_roles_without_the_right_decide_nothing(people: People, role: str) -> None:
    _, service = await waiting(people)
    other = await people.key("other", role=role)
    body = {"version": service["version"], "reason": "x"}
    assert (await other.post(f"{CHANGE}/approve", json=body)).status_code == 403
    assert (await other.post(f"{CHANGE}/reject", json=body)).status_code == 403
    assert (await other.get(CHANGE)).status_code == 200


async def test_a_changed_policy_is_an_event_that_says_what_differs(people: People) -> None:
    await people.bench.register()
    await people.bench.register(description="not policy")
    assert await people.events("service.policy") == []
    assert (await people.bench.admin.put(CHECKOUT, json=loosened(SERVICE))).status_code == 200
    (event,) = await people.events("service.policy")
    assert (event.action, event.by, event.details["service_version"]) == ("service.policy_changed", "admin", 3)
    assert "environments.production.approval.required: 1 → nothing" in event.details["changes"]


# --- a second person ------------------------------------------------------------------------------------------------


async def test_another_policy_waits_for_a_second_person(people: People) -> None:
    _, service = await waiting(people)
    assert service["spec"]["environments"][1]["approval"] is not None, "the present one holds"
    assert service["policy_change"]["asked_by"].endswith("ann")
    shown = (await people.bench.admin.get(CHANGE)).json()
    assert (shown["version"], shown["service_name"]) == (service["version"], "checkout")
    assert "environments.production.approval.required: 1 → nothing" in shown["changes"]
    deployment = await people.bench.deploy()
    assert people.bench.releases.started[0].service.spec.environments[1].approval is not None, deployment
    bob = await people.key("bob")
    agreed = await bob.post(f"{CHANGE}/approve", json={"version": shown["version"], "reason": "moved to staging"})
    assert agreed.status_code == 200, agreed.text
    assert agreed.json()["spec"]["environments"][1]["approval"] is None
    assert (await people.bench.admin.get(CHANGE)).status_code == 404
    actions = [event.action for event in await people.events("service.policy")]
    assert actions == ["service.policy_change_requested", "service.policy_changed"]
    (changed,) = await people.events("service.policy_changed")
    assert (changed.details["asked_by"], changed.reason) == (shown["asked_by"], "moved to staging")
    assert changed.by != changed.details["asked_by"]


async def test_who_asked_does_not_agree_and_can_take_it_back(people: People) -> None:
    ann, service = await waiting(people)
    refused = await ann.post(f"{CHANGE}/approve", json={"version": service["version"]})
    assert (refused.status_code, "another person" in refused.json()["detail"]) == (409, True)
    for_another = await people.bench.admin.post(f"{CHANGE}/approve", json={"version": service["version"], "by": "eve"})
    assert for_another.status_code == 422, "nobody agrees in somebody else's name"
    back = await ann.post(f"{CHANGE}/reject", json={"version": service["version"], "reason": "a mistake"})
    assert (back.status_code, back.json()["version"]) == (200, service["version"] + 1)
    assert back.json()["spec"]["environments"][1]["approval"] is not None
    assert (await people.events("service.policy_change_rejected"))[0].reason == "a mistake"


async def test_what_was_not_read_is_not_decided(people: People) -> None:
    """Another change that took its place meanwhile is not agreed to by who has read the first."""
    ann, service = await waiting(people)
    worse = {**loosened(GUARDED), "policy_change_needs_second_person": False}
    assert (await ann.put(CHECKOUT, json=worse)).status_code == 202
    bob = await people.key("bob")
    refused = await bob.post(f"{CHANGE}/approve", json={"version": service["version"]})
    assert (refused.status_code, "another change waits there now" in refused.json()["detail"]) == (409, True)
    (dropped,) = await people.events("service.policy_change_dropped")
    assert dropped.details["asked_by"] == service["policy_change"]["asked_by"]


async def test_a_newer_change_of_the_service_drops_what_waits(people: People) -> None:
    _, service = await waiting(people)
    assert (await people.bench.admin.put(CHECKOUT, json={**GUARDED, "description": "x"})).status_code == 200
    bob = await people.key("bob")
    refused = await bob.post(f"{CHANGE}/approve", json={"version": service["version"]})
    assert (refused.status_code, "nothing waits there" in refused.json()["detail"]) == (409, True)
    assert len(await people.events("service.policy_change_dropped")) == 1


async def test_the_same_request_again_waits_once(people: People) -> None:
    ann, service = await waiting(people)
    again = await ann.put(CHECKOUT, json=loosened(GUARDED))
    assert (again.status_code, again.json()["version"]) == (202, service["version"])
    assert (await people.bench.admin.put(CHECKOUT, json=GUARDED)).json()["version"] == service["version"]
    assert len(await people.events("service.policy_change_requested")) == 1


async def test_to_ask_no_second_person_any_more_asks_for_one(people: People) -> None:
    assert (await people.bench.admin.put(CHECKOUT, json=GUARDED)).status_code == 201
    off = await people.bench.admin.put(CHECKOUT, json=SERVICE)
    assert off.status_code == 202
    assert off.json()["policy_change"]["changes"] == ["policy_change_needs_second_person: true → nothing"]
    assert (await people.bench.admin.put(CHECKOUT, json={**GUARDED, "description": "x"})).status_code == 200


async def test_a_decision_on_nothing(people: People) -> None:
    body = {"version": 1, "reason": "x"}
    assert (await people.bench.admin.post(f"{CHANGE}/approve", json=body)).status_code == 404
    await people.bench.register()
    for said in ("approve", "reject"):
        refused = await people.bench.admin.post(f"{CHANGE}/{said}", json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "invalid_state")
    assert (await people.bench.admin.post(f"{CHANGE}/reject", json={"version": 1})).status_code == 422


async def test_who_may_not_change_the_policy_drops_no_change_of_it(people: People) -> None:
    _, service = await waiting(people)
    writer = await people.key("writer", operations=["read", "services:write"])
    refused = await writer.put(CHECKOUT, json={**GUARDED, "description": "x"})
    assert (refused.status_code, "would be dropped" in refused.json()["detail"]) == (403, True)
    assert (await people.bench.admin.get(CHANGE)).json()["version"] == service["version"]
