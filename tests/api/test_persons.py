"""Persons through the real API and the real workflows: one human never counts as two, whatever they hold.

Deliberately not here: the rules as a table (``tests/unit/workflows/deployment/test_approvals``).
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from temporalio.client import Client, WorkflowUpdateFailedError

from activities.jobs.readers import JobReader
from activities.jobs.writers import JobCreator
from activities.settings import ApprovalSettings
from api.app import deployment_reader
from api.auth.vouching import Voucher
from api.deps import Services
from api.http.metrics import Metrics
from api.identity.people import People, PersonRule
from tests.api.conftest import ADMIN_KEY, DEPLOYMENT, access_parts, app_with, client
from tests.api.fake_queues import fleet_of
from tests.api.fake_repairs import FakeRepairs
from tests.workflows.deployment_harness import Deploys, deploys
from workflows.client.deployments import workflow_id_of
from workflows.client.jobs import JobClient
from workflows.contracts.deployments.deployment import Deployment

DEPLOYMENTS = "/api/dashboard/deployments"
KEYS = "/api/access/keys"
SECRET = "a secret that the API and the control worker share"
APPROVER = [{"role": "approver"}]
BOTH = [{"role": "developer"}, {"role": "approver"}]
PEOPLE = [
    {"id": "bob", "emails": ["bob@example.com", "b.builder@example.com"], "logins": ["github:bob"]},
    {"id": "cat", "emails": ["cat@example.com"], "keys": ["old-cat"]},
]


@dataclass
class House:
    """The application, the workflows behind it, and the keys that people have."""

    people: httpx.AsyncClient
    harness: Deploys
    services: Services
    keys: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    async def key(self, name: str, grants: list[dict[str, Any]] = APPROVER, **more: Any) -> str:
        """Made by the admin."""
        answer = await self.ask(ADMIN_KEY, KEYS, name=name, grants=grants, **more)
        assert answer.status_code == 201, answer.text
        self.keys[name] = answer.json()
        return str(answer.json()["key"])

    async def ask(self, key: str, path: str, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        return await self.people.post(path, json=body, headers={"Authorization": f"Bearer {key}", **(headers or {})})

    async def approve(self, key: str, url: str, **body: Any) -> httpx.Response:
        return await self.ask(key, url + "/approve", **body)

    async def waiting(self, starter: str, author: str = "zoe@example.com", **approval: Any) -> str:
        """A deployment that waits for approval."""
        spec = self.harness.service(self.harness.environment(approval=approval)).spec.model_dump(mode="json")
        put = await self.people.put(
            f"/api/dashboard/services/{self.harness.name}", json=spec, headers={"Authorization": f"Bearer {ADMIN_KEY}"}
        )
        assert put.status_code in (200, 201), put.text
        body: dict[str, Any] = {**DEPLOYMENT, "service_name": self.harness.name, "version": "1.0", "git_author": author}
        started = await self.ask(starter, DEPLOYMENTS, **body)
        assert started.status_code == 201, started.text
        found = await self.harness.stores.deployments.get(started.json()["deployment_id"])
        assert found is not None
        self.harness.started.append(found)
        await self.harness.until_waits(found, "waits for approval")
        return str(started.headers["location"])

    @property
    def started(self) -> Deployment:
        return self.harness.started[-1]

    async def counting(self) -> list[str | None]:
        return [entry.person for entry in (await self.harness.get(self.started)).approvals if entry.counts]


@pytest.fixture
async def house(temporal_client: Client) -> AsyncIterator[House]:
    """As in production: nobody acts for another, nothing counts that is not verified."""
    settings = ApprovalSettings(signing_key=SecretStr(SECRET))
    people = People([PersonRule.model_validate(each) for each in PEOPLE])
    async with deploys(temporal_client, settings) as harness:
        stores, jobs = harness.stores, JobClient(temporal_client)
        services = Services(
            **access_parts(stores),
            reader=JobReader(stores.jobs),
            creator=JobCreator(stores.jobs, stores.agents),
            deployments=deployment_reader(stores),
            logs=stores.logs,
            artifacts=stores.artifacts,
            storage=stores.storage,
            webhook_deliveries=stores.deliveries,
            temporal=lambda: jobs,
            deploying=lambda: harness.releases,
            repairing=FakeRepairs,
            metrics=Metrics(),
            fleet=fleet_of(stores),
            voucher=Voucher(people, SECRET.encode()),
        )
        async with client(app_with(services), None) as somebody:
            yield House(somebody, harness, services)


async def test_one_human_never_counts_as_two(house: House) -> None:
    """With two keys, a session, an address of the same person, --as, and Temporal's CLI."""
    url = await house.waiting(await house.key("ci", [{"role": "developer"}], machine=True), required=2)
    laptop, desktop = await house.key("bob-laptop", owner="bob"), await house.key("bob-desktop", owner="bob")
    alias = await house.key("builder", owner="B.Builder+ci@example.com")
    first = await house.approve(laptop, url)
    assert (first.status_code, first.json()["approvals"][0]["person"]) == (200, "bob")

    for key in (laptop, desktop, alias):
        again = await house.approve(key, url)
        assert (again.status_code, again.json()["code"]) == (409, "invalid_state"), again.text
        assert "another person is needed" in again.json()["detail"]
    session = await house.ask(desktop, "/auth/session")
    cookies = "; ".join(line.split(";")[0] for line in session.headers.get_list("set-cookie"))
    signed_in = {"Cookie": cookies, "X-CSRF-Token": session.json()["csrf_token"]}
    again = await house.people.post(url + "/approve", json={}, headers=signed_in)
    assert (again.status_code, "has approved production already" in again.json()["detail"]) == (409, True), again.text

    named = await house.approve(ADMIN_KEY, url, by="cat@example.com")
    assert (named.status_code, named.json()["code"]) == (403, "forbidden")
    assert "Nobody acts for somebody else here" in named.json()["detail"]

    workflow = house.harness.client.get_workflow_handle(workflow_id_of(house.started))
    word = (await house.harness.get(house.started)).approvals[0].vouched
    assert word is not None
    stolen = word.model_copy(update={"by": "cat@example.com", "identity": word.identity.model_copy(
        update={"person": "cat", "names": [], "hints": []})})  # fmt: skip
    for said in ({"by": "cat@example.com"}, {"by": "cat@example.com", "vouched": stolen.model_dump(mode="json")}):
        with pytest.raises(WorkflowUpdateFailedError):
            await workflow.execute_update("approve", said)  # pyright: ignore[reportUnknownMemberType]
        await workflow.signal("approve", said)
    assert await house.counting() == ["bob"]
    assert (await house.approve(await house.key("cat", owner="cat@example.com"), url)).status_code == 200
    await house.harness.until_status(house.started, "live")
    assert await house.counting() == ["bob", "cat"]


async def test_one_key_does_not_start_and_approve(house: House) -> None:
    key = await house.key("both", BOTH, owner="bob")
    url = await house.waiting(key)
    refused = await house.approve(key, url)
    assert (refused.status_code, "key:both started 1.0" in refused.json()["detail"]) == (409, True)
    other = await house.approve(await house.key("other", owner="bob"), url)
    assert (other.status_code, "started 1.0" in other.json()["detail"]) == (409, True), "another key of the same person"
    assert await house.counting() == []


async def test_whoever_made_the_key_is_not_a_second_person(house: House) -> None:
    url = await house.waiting(ADMIN_KEY)
    refused = await house.approve(await house.key("bob", owner="bob"), url)
    assert (refused.status_code, "made the key of the other" in refused.json()["detail"]) == (409, True)


@pytest.mark.parametrize(
    ("author", "key"),
    [
        ("ann@example.com", {"name": "ann@example.com"}),
        ("ann@example.com", {"name": "x", "owner": "Ann <ann@example.com>"}),
        ("Bob <b.builder@example.com>", {"name": "x", "owner": "bob"}),
        ("12345+bob@users.noreply.github.com", {"name": "x", "owner": "bob@example.com"}),
        ("BOB+work@example.com", {"name": "x", "owner": "github:bob"}),
        ("cat@example.com", {"name": "old-cat"}),
    ],
)
async def test_nobody_approves_their_own_version_under_another_name(
    house: House, author: str, key: dict[str, Any]
) -> None:
    url = await house.waiting(await house.key("ci", [{"role": "developer"}], machine=True), author)
    refused = await house.approve(await house.key(**key), url)
    assert (refused.status_code, "is the author" in refused.json()["detail"]) == (409, True), refused.text


async def test_keys_of_nobody_else_are_their_makers(house: House) -> None:
    """``bob-laptop`` and ``bob-desktop``, made without saying whose they are."""
    starter = await house.key("ci", [{"role": "developer"}], machine=True, owner="ops@example.com")
    assert (house.keys["ci"]["owner"], house.keys["ci"]["maker"]) == ("ops@example.com", "admin")
    url = await house.waiting(starter, required=2)
    refused = await house.approve(await house.key("bob-laptop"), url)
    assert house.keys["bob-laptop"]["owner"] == "admin"
    assert (refused.status_code, "made the key of the other" in refused.json()["detail"]) == (409, True)


async def test_a_machine_approves_only_where_the_service_says_so(house: House) -> None:
    starter = await house.key("ci", [{"role": "developer"}], machine=True)
    robot = await house.key("robot", machine=True)
    refused = await house.approve(robot, await house.waiting(starter))
    assert (refused.status_code, "is a machine" in refused.json()["detail"]) == (409, True)
    assert (await house.approve(robot, await house.waiting(starter, allow_machines=True))).status_code == 200
    await house.harness.until_status(house.started, "live")


async def test_a_chain_of_keys_and_a_replaced_key_lead_back_to_who_began_it(house: House) -> None:
    """The admin makes another admin's key, and with that one an approver's; or replaces it with itself."""
    url = await house.waiting(ADMIN_KEY)
    second = await house.key("b-admin", [{"role": "admin"}], owner="bobadmin@example.com")
    made = await house.ask(second, KEYS, name="c", grants=APPROVER, owner="cat@example.com")
    replaced = await house.ask(second, f"{KEYS}/{house.keys['b-admin']['key_id']}/rotate")
    for key in (made.json()["key"], replaced.json()["key"]):
        refused = await house.approve(key, url)
        assert (refused.status_code, "made the key of the other" in refused.json()["detail"]) == (409, True)
    assert await house.counting() == []


async def _two_of_three(house: House) -> tuple[str, str]:
    """A deployment that wants two, and the key of whoever gives the second."""
    url = await house.waiting(await house.key("ci", [{"role": "developer"}], machine=True), required=2)
    return url, await house.key("cat", owner="cat@example.com")


async def _counts_with_cats(house: House, url: str, cat: str, not_for: str | None) -> None:
    """Once there are two, whether Bob's still counts: not for these words, or it does."""
    assert (await house.approve(cat, url)).status_code == 200
    if not_for is None:
        await house.harness.until_status(house.started, "live")
    else:
        await house.harness.until_waits(house.started, not_for)
    assert await house.counting() == (["bob", "cat"] if not_for is None else ["cat"])


async def test_an_approval_counts_no_more_once_its_key_is_revoked(house: House) -> None:
    url, cat = await _two_of_three(house)
    assert (await house.approve(await house.key("bob", owner="bob"), url)).status_code == 200
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    key_id = house.keys["bob"]["key_id"]
    assert (await house.people.delete(f"{KEYS}/{key_id}", headers=admin)).status_code == 200
    second = await house.approve(cat, url)
    assert second.status_code == 200, second.text
    shown = await house.harness.until_waits(house.started, "counts no more")
    assert f"The key {key_id}, with which it was given, was revoked at" in (shown.waits_for or "")
    assert await house.counting() == ["cat"]
    assert (await house.approve(await house.key("bob-2", owner="bob"), url)).status_code == 200
    await house.harness.until_status(house.started, "live")


async def test_an_approval_stays_when_its_key_is_replaced_and_goes_with_the_one_that_replaced_it(house: House) -> None:
    for revoked in (False, True):
        url, cat = await _two_of_three(house)
        assert (await house.approve(await house.key("bob", owner="bob"), url)).status_code == 200
        rotated = await house.ask(ADMIN_KEY, f"{KEYS}/{house.keys['bob']['key_id']}/rotate", overlap_seconds=0)
        if revoked:
            admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
            await house.people.delete(f"{KEYS}/{rotated.json()['key_id']}", headers=admin)
        await _counts_with_cats(house, url, cat, "which stands for key" if revoked else None)


async def test_signing_out_takes_no_approval_back_and_revoking_the_session_does(house: House) -> None:
    for revoked in (False, True):
        url, cat = await _two_of_three(house)
        opened = await house.ask(await house.key("bob", owner="bob"), "/auth/session")
        cookies = "; ".join(line.split(";")[0] for line in opened.headers.get_list("set-cookie"))
        signed_in = {"Cookie": cookies, "X-CSRF-Token": opened.json()["csrf_token"]}
        assert (await house.people.post(url + "/approve", json={}, headers=signed_in)).status_code == 200
        assert (await house.people.post("/auth/logout", headers=signed_in)).status_code == 204
        if revoked:
            word = (await house.harness.get(house.started)).approvals[0].vouched
            assert word is not None
            ended = await house.people.delete(
                f"{KEYS}/{word.credential_id}", headers={"Authorization": f"Bearer {ADMIN_KEY}"}
            )
            assert ended.json()["kind"] == "session"
        await _counts_with_cats(house, url, cat, "The session " if revoked else None)


async def test_an_approval_counts_no_more_once_its_person_has_left_the_identity_map(house: House) -> None:
    """The API was started again with another access policy."""
    url, cat = await _two_of_three(house)
    assert (await house.approve(await house.key("bob", owner="bob@example.com"), url)).status_code == 200
    others = People([PersonRule.model_validate(each) for each in PEOPLE if each["id"] != "bob"])
    services = replace(house.services, voucher=Voucher(others, SECRET.encode()))
    async with client(app_with(services), None) as house.people:
        await _counts_with_cats(house, url, cat, "bob is not in `people` of the access policy any more.")


async def test_two_peoples_keys_of_one_name_are_refused_with_the_name_and_what_to_do(house: House) -> None:
    url = await house.waiting(await house.key("ci", [{"role": "developer"}], machine=True), required=2)
    assert (await house.approve(await house.key("laptop", owner="bob"), url)).status_code == 200
    refused = await house.approve(await house.key("laptop", owner="dan@example.com"), url)
    assert refused.status_code == 409
    told = (
        "key:laptop has approved production already: another person is needed. There are two keys with the name "
        "laptop, and keys of one name count as one person's. If they are two people's, list this key's id under its "
        "person in `people` of the access policy, or approve with a key of another name."
    )
    assert refused.json()["detail"].partition(" Who may: ")[0] == told
    renamed = await house.key("dans-laptop", owner="dan@example.com")
    assert (await house.approve(renamed, url)).status_code == 200
    started = await house.waiting(await house.key("desk", BOTH, owner="bob"))
    refused = await house.approve(await house.key("desk", owner="dan@example.com"), started)
    assert "key:desk started 1.0: somebody else must approve it" in refused.json()["detail"]
    assert "There are two keys with the name desk" in refused.json()["detail"]
    same = await house.approve(await house.key("desk", owner="bob"), started)
    assert "two keys" not in same.json()["detail"], "they are one person's"
