"""The API on the real workflows: Temporal, the control worker's activities on memory stores, a scripted agent."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from temporalio.client import Client

from activities.jobs.readers import JobReader
from activities.jobs.writers import JobCreator
from activities.settings import ApprovalSettings
from api.app import build_app, deployment_reader
from api.auth.vouching import Voucher
from api.deps import Services
from api.http.metrics import Metrics
from tests.api.conftest import ADMIN_KEY, DEPLOYMENT, access_parts, client
from tests.api.fake_queues import fleet_of
from tests.api.fake_repairs import FakeRepairs
from tests.workflows.deployment_harness import Deploys, deploys
from workflows.client.deployments import workflow_id_of
from workflows.client.jobs import JobClient

DEPLOYMENTS = "/api/dashboard/deployments"
SECRET = b"a secret that the API and the control worker share"


@dataclass(frozen=True, slots=True)
class Live:
    """The application and the harness behind it."""

    admin: httpx.AsyncClient
    harness: Deploys

    @property
    def service(self) -> str:
        return f"/api/dashboard/services/{self.harness.name}"

    async def register(self, *environments: dict[str, Any], **fields: Any) -> httpx.Response:
        spec = self.harness.service(*environments, **fields).spec.model_dump(mode="json")
        return await self.admin.put(self.service, json=spec)

    async def deploy(self, version: str, key: str | None = None) -> httpx.Response:
        body = {**DEPLOYMENT, "service_name": self.harness.name, "version": version}
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = await self.admin.post(DEPLOYMENTS, json=body, headers=headers)
        if answer.status_code == 201:
            found = await self.harness.stores.deployments.get(answer.json()["deployment_id"])
            assert found is not None, "a 201 means that the record can be read"
            self.harness.started.append(found)
        return answer

    async def until(self, url: str, **expected: object) -> dict[str, Any]:
        for _ in range(1000):
            found = (await self.admin.get(url)).json()
            if all(found[name] == value for name, value in expected.items()):
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"{url} never reached {expected}; last: {(await self.admin.get(url)).text}")


@pytest.fixture
async def live(temporal_client: Client) -> AsyncIterator[Live]:
    own_machine = ApprovalSettings(signing_key=SecretStr(SECRET.decode()), allow_self_approval=True)
    async with deploys(temporal_client, own_machine) as harness:
        stores = harness.stores
        job_client = JobClient(temporal_client)
        services = Services(
            **access_parts(stores),
            reader=JobReader(stores.jobs),
            creator=JobCreator(stores.jobs, stores.agents),
            deployments=deployment_reader(stores),
            logs=stores.logs,
            artifacts=stores.artifacts,
            storage=stores.storage,
            webhook_deliveries=stores.deliveries,
            temporal=lambda: job_client,
            deploying=lambda: harness.releases,
            repairing=FakeRepairs,
            metrics=Metrics(),
            fleet=fleet_of(stores),
            voucher=Voucher(secret=SECRET, allow_self_approval=True),
        )
        async with client(build_app(services), ADMIN_KEY) as admin:
            yield Live(admin, harness)


async def test_from_registration_to_rollback_over_http(live: Live) -> None:
    environment = live.harness.environment
    created = await live.register(environment("staging"), environment("production", approval={}))
    assert (created.status_code, created.headers["etag"]) == (201, '"1"')
    started = await live.deploy("1.0")
    assert started.status_code == 201, started.text
    url = started.headers["location"]
    await live.until(url, status="staged", environment="production")
    own = await live.admin.post(url + "/approve", json={"by": "ann@example.com"})
    assert (own.status_code, own.json()["code"]) == (409, "invalid_state"), "the author must not approve"
    approved = await live.admin.post(url + "/approve", json={"by": "bob@example.com", "comment": "go"})
    assert [each["by"] for each in approved.json()["approvals"]] == ["admin for bob@example.com"]
    await live.until(url, status="live")
    sample = await live.admin.post(url + "/metrics", json={"error_rate": 0.01})
    assert sample.status_code == 202
    await live.harness.until_environment(lambda found: found.live is not None)  # it follows the deployment's record
    await live.harness.until_environment(lambda state: state.live is not None)  # it hears just afterwards
    environments = (await live.admin.get(live.service + "/environments")).json()["items"]
    assert [each["live"] and each["live"]["version"] for each in environments] == ["1.0", "1.0"]
    second = (await live.deploy("2.0")).headers["location"]
    await live.until(second, status="staged", environment="production")
    await live.admin.post(second + "/approve", json={"by": "bob@example.com"})
    await live.until(second, status="live")
    back = await live.admin.post(second + "/rollback", json={"reason": "errors"}, headers={"User-Agent": "hybridci/1"})
    assert (back.status_code, back.json()["rollback"]["reason"]) == (200, "errors")
    ended = await live.until(second, status="rolled_back", closed=True)
    assert ended["rollback"]["target_version"] == "1.0"
    late = await live.admin.post(second + "/approve", json={"by": "bob@example.com"})
    assert (late.status_code, "rolled_back" in late.json()["detail"]) == (409, True)
    trail = (await live.admin.get(second + "/events", params={"limit": 100})).json()["items"]
    assert ("admin", "cli", "127.0.0.1") in {(event["by"], event["via"], event["address"]) for event in trail}
    await live.harness.until_environment(lambda state: state.hold is not None)  # it hears just afterwards
    lifted = await live.admin.post(live.service + "/environments/production/release")
    assert (lifted.status_code, lifted.json()["hold"]) == (200, None)


async def test_starts_with_one_key_make_one_workflow(live: Live) -> None:
    await live.register()
    same = await asyncio.gather(*(live.deploy("1.0", "a") for _ in range(5)))
    assert {answer.status_code for answer in same} <= {200, 201}
    assert len({answer.json()["deployment_id"] for answer in same}) == 1
    different = await asyncio.gather(*(live.deploy(f"2.{number}", "b") for number in range(5)))
    assert sorted(answer.status_code for answer in different) == [201] + [409] * 4, [each.text for each in different]
    (kept,) = [answer.json() for answer in different if answer.status_code == 201]
    read = (await live.admin.get(f"{DEPLOYMENTS}/{kept['deployment_id']}")).json()
    assert read["version"] == kept["version"]


async def test_a_race_of_changes_has_one_winner_in_the_workflow_too(live: Live) -> None:
    await live.register()
    specs = [live.harness.service(description=f"{number}").spec.model_dump(mode="json") for number in range(5)]
    changes = [live.admin.put(live.service, json=spec, headers={"If-Match": '"1"'}) for spec in specs]
    answers = await asyncio.gather(*changes)
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 4, [each.text for each in answers]
    assert (await live.admin.get(live.service)).json()["version"] == 2


async def test_a_definition_that_cannot_work_is_refused_by_the_workflow(live: Live) -> None:
    window = {"name": "w", "cron": "61 * * * *", "duration_seconds": 60, "timezone": "Europe/Atlantis"}
    answer = await live.register(live.harness.environment("production", freeze_windows=[window]))
    assert answer.status_code == 422
    named = {error["field"] for error in answer.json()["errors"]}
    assert named == {"environments.0.freeze_windows.0.cron", "environments.0.freeze_windows.0.timezone"}


async def test_hold_and_freeze_reach_the_environment(live: Live) -> None:
    await live.register(live.harness.environment("production"))
    place = live.service + "/environments/production"
    held = await live.admin.post(place + "/hold", json={"reason": "audit"})
    assert (held.status_code, held.json()["hold"]["by"]) == (200, "admin")
    started = await live.deploy("1.0")
    waiting = started.headers["location"]
    await live.harness.until_waits(live.harness.started[-1], "hold")
    frozen = await live.admin.post(place + "/freezes", json={"name": "feast", "duration_seconds": 3600})
    assert frozen.status_code == 201, frozen.text
    past = await live.admin.post(place + "/freezes", json={"name": "past", "ends_at": 1})
    assert (past.status_code, past.json()["errors"][0]["field"]) == (422, "ends_at")
    assert (await live.admin.post(place + "/release")).status_code == 200
    assert (await live.admin.post(place + "/release")).status_code == 409
    assert (await live.admin.delete(frozen.headers["location"])).json()["freezes"] == []
    await live.until(waiting, status="live")


async def test_a_terminated_deployment_says_what_to_do(live: Live) -> None:
    await live.register(live.harness.environment("production", approval={}))
    started = await live.deploy("1.0")
    handle = live.harness.client.get_workflow_handle(workflow_id_of(live.harness.started[-1]))
    await handle.terminate("by hand")
    answer = await live.admin.post(started.headers["location"] + "/approve", json={"by": "bob"})
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")
    assert "lost its workflow" in answer.json()["detail"]
