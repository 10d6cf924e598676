"""Changing a service, on stores in memory: tried again under one id, overtaken, decided by a second person."""

from typing import Any

import pytest

from activities.chaining.chains import run_chain
from activities.services.chains import build_apply_service_chain, build_decide_policy_chain
from activities.stores.open import Stores, open_memory_stores
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.policy import DecidePolicyChange
from workflows.contracts.deployments.services import Service, ServiceWrite
from workflows.contracts.errors import InvalidState, ValidationFailed
from workflows.contracts.identity.people import Somebody

REPO = "https://example.com/shop.git"


def spec_of(required: int, *, second_person: bool = True, **fields: Any) -> dict[str, Any]:
    production = {"name": "production", "external": True, "approval": {"required": required}}
    flag = {"policy_change_needs_second_person": second_person}
    return {"git_repo": REPO, "environments": [production], **flag, **fields}


class Bench:
    """A service named shop, and who changes it."""

    def __init__(self) -> None:
        self.stores: Stores = open_memory_stores()
        self.now = 0

    def clock(self) -> int:
        self.now += 1
        return self.now

    async def apply(self, spec: dict[str, Any], by: str = "ann", *, change: str = "c", **fields: Any) -> Service:
        chain = build_apply_service_chain(self.stores.services, self.stores.events, clock=self.clock)
        write = ServiceWrite.model_validate({"name": "shop", "spec": spec, "by": by, **fields})
        return await run_chain(chain, {"write": write, "change_id": change}, result="service", kind=Service)

    async def decide(
        self, version: int, by: str = "bob", *, approve: bool = True, change: str = "d", reason: str = ""
    ) -> Service:
        chain = build_decide_policy_chain(self.stores.services, self.stores.events, clock=self.clock)
        decision = DecidePolicyChange(name="shop", version=version, approve=approve, reason=reason, by=by)
        return await run_chain(chain, {"decision": decision, "change_id": change}, result="service", kind=Service)

    async def actions(self) -> list[str]:
        page = await self.stores.events.list(EventQuery(service_name="shop", limit=100))
        return [event.action.removeprefix("service.") for event in reversed(page.items)]

    async def required(self) -> int:
        service = await self.stores.services.get("shop")
        assert service is not None
        approval = service.spec.environments[0].approval
        assert approval is not None
        return approval.required


@pytest.fixture
async def bench() -> Bench:
    started = Bench()
    await started.apply(spec_of(2), change="first")
    return started


async def test_a_request_that_is_tried_again_after_it_was_stored_waits_once(bench: Bench) -> None:
    first = await bench.apply(spec_of(1), change="again", expected_version=1)
    assert (first.version, first.policy_change is not None) == (2, True)
    assert await bench.apply(spec_of(1), change="again", expected_version=1) == first
    assert await bench.apply(spec_of(1), change="again") == first
    assert await bench.actions() == ["applied", "policy_change_requested"]


async def test_a_change_of_long_ago_that_is_asked_for_again_takes_nothing_back(bench: Bench) -> None:
    """Temporal can take its workflow back, or give its id again."""
    weak = await bench.apply(spec_of(1, second_person=False), change="weak")
    waiting = await bench.decide(weak.version, change="yes")
    strong = await bench.apply(spec_of(3), change="strong")
    assert (waiting.version, strong.version, await bench.required()) == (3, 4, 3)
    assert (await bench.apply(spec_of(1, second_person=False), change="weak")).version == weak.version
    present = await bench.stores.services.get("shop")
    assert present is not None
    assert (present.version, await bench.required()) == (strong.version, 3)


async def test_the_same_wish_of_two_people_is_two_wishes(bench: Bench) -> None:
    """Else the second one would wait under the first one's name, and who asked first could agree to it."""
    await bench.apply(spec_of(1), "ann", change="a")
    second = await bench.apply(spec_of(1), "bob", change="b")
    assert second.policy_change is not None
    assert (second.version, second.policy_change.asked_by) == (3, "bob")
    with pytest.raises(InvalidState, match="another person"):
        await bench.decide(3, "bob")
    assert await bench.required() == 2


async def test_a_decision_that_is_tried_again_after_it_was_stored_is_the_same(bench: Bench) -> None:
    await bench.apply(spec_of(1), change="a")
    decided = await bench.decide(2, change="d")
    assert await bench.decide(2, change="d") == decided
    assert await bench.required() == 1
    assert await bench.actions() == ["applied", "policy_change_requested", "applied", "policy_changed"]
    with pytest.raises(InvalidState, match="nothing waits there"):
        await bench.decide(2, change="another")


async def test_a_rejection_that_is_tried_again_is_the_same(bench: Bench) -> None:
    await bench.apply(spec_of(1), change="a")
    rejected = await bench.decide(2, approve=False, change="d", reason="no")
    assert await bench.decide(2, approve=False, change="d", reason="no") == rejected
    assert (await bench.required(), rejected.version, rejected.policy_change) == (2, 3, None)


async def test_what_is_no_policy_needs_one_person(bench: Bench) -> None:
    service = await bench.apply(spec_of(2, description="x"), change="a")
    assert (service.version, service.policy_change, service.spec.description) == (2, None, "x")
    assert await bench.actions() == ["applied", "applied"]


async def test_the_present_service_says_whether_it_needs_two_not_the_new_one(bench: Bench) -> None:
    off = await bench.apply(spec_of(1, second_person=False), change="a")
    assert off.policy_change is not None
    await bench.decide(off.version)
    assert await bench.required() == 1
    on = await bench.apply(spec_of(2), change="b")
    assert on.policy_change is None, "to ask for a second person from now on needs none"


async def test_a_definition_in_the_repository_without_a_policy_is_refused(bench: Bench) -> None:
    spec = {"git_repo": REPO, "definition": {"path": "a.yml"}}
    with pytest.raises(ValidationFailed, match="Correct policy") as caught:
        await bench.apply(spec)
    assert [error.field for error in caught.value.errors] == ["policy"]
    assert await bench.required() == 2


async def test_whoever_reads_the_definition_is_trusted_by_the_last_environment(bench: Bench) -> None:
    """An agent of another pool could say that the commit holds other steps, and have them signed and run there."""
    environments: list[dict[str, Any]] = [{"name": "staging"}, {"name": "production", "pools": ["production", "eu"]}]
    spec = {"git_repo": REPO, "policy": {"environments": environments}}
    with pytest.raises(ValidationFailed) as caught:
        await bench.apply({**spec, "definition": {"path": "a.yml"}})
    (error,) = caught.value.errors
    assert error.field == "definition.pool"
    assert error.message.startswith("default is none of production's pools (production, eu)")
    held = await bench.apply(
        {**spec, "definition": {"pool": "eu"}, "policy_change_needs_second_person": True}, change="eu"
    )
    assert held.policy_change is not None, "it is taken, and waits for a second person"


async def test_a_machine_asks_for_no_policy_that_needs_two(bench: Bench) -> None:
    """Whoever holds its key would be the second person as well."""
    with pytest.raises(InvalidState, match="one of them must ask"):
        await bench.apply(spec_of(1), change="a", identity=Somebody(person="machine:ci", machine=True))
    assert await bench.required() == 2
