"""Chains of deployments: their order, the registry of their writes, and the facade that the API reads through."""

import asyncio
import json
from typing import Any

import pytest

from activities.chaining.chains import run_chain
from activities.deployments import transitions, writers
from activities.deployments.chains import LIFECYCLE, build_deployment_creation_chain
from activities.deployments.readers import DeploymentReader
from activities.deployments.transitions import DEPLOYMENT_OPERATIONS, DeploymentOperation
from activities.deployments.writers import DeploymentWriter
from activities.stores.interfaces.writes import WriteOutcome
from activities.stores.open import Stores, open_memory_stores
from tests.unit.deployment_records import in_status, make_deployment, make_spec, make_state
from tests.unit.fakes import Counting
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentQuery,
    DeploymentStatus,
    DeploymentWrite,
)
from workflows.contracts.deployments.environments import EnvironmentWrite
from workflows.contracts.deployments.live_again import LiveAgain
from workflows.contracts.deployments.services import Service
from workflows.contracts.errors import InvalidState, NotFound, Unavailable, ValidationFailed


@pytest.fixture
def stores() -> Stores:
    return open_memory_stores()


def reader_of(stores: Stores) -> DeploymentReader:
    return DeploymentReader(stores.deployments, stores.services, stores.environments, stores.events, bans=stores.bans)


class TestDeploymentCreation:
    def test_links_of_deployment_creation_in_order(self, stores: Stores) -> None:
        links = build_deployment_creation_chain(stores.deployments).links
        assert links == ("ValidateDeploymentCreation", "SerializeDeployment", "CreateDeployment")

    async def test_a_write_becomes_a_record_with_its_events(self, stores: Stores) -> None:
        event = AuditEvent(event_id="e1", at=5, action="deployment.created", deployment_id="d1", service_name="shop")
        write = DeploymentWrite(deployment=make_deployment(sequence=1), events=[event])
        chain = build_deployment_creation_chain(stores.deployments)
        serialized = await run_chain(chain, {"write": write}, result="serialized", kind=str)
        assert json.loads(serialized) == write.deployment.model_dump(mode="json")
        assert await stores.deployments.get("d1") == write.deployment
        assert (await stores.events.list(EventQuery(deployment_id="d1"))).items == [event]

    async def test_a_deployment_that_is_refused_leaves_nothing(self, stores: Stores) -> None:
        chain = build_deployment_creation_chain(stores.deployments)
        write = DeploymentWrite(deployment=make_deployment(version=" "))
        with pytest.raises(ValidationFailed):
            await run_chain(chain, {"write": write}, result="outcome", kind=WriteOutcome)
        assert (await stores.deployments.stats()).total == 0


class TestDeploymentWriter:
    def test_every_lifecycle_operation_has_a_chain(self) -> None:
        assert set(LIFECYCLE) == set(DeploymentOperation) - {DeploymentOperation.CREATE}

    async def test_every_legal_change_of_a_deployment_is_written(self, stores: Stores) -> None:
        writer = DeploymentWriter(stores.deployments)
        apart = {DeploymentOperation.CREATE, DeploymentOperation.REOPEN}
        changes = [change for change, how in DEPLOYMENT_OPERATIONS.items() if how not in apart]
        for number, (before, now, rollback) in enumerate(changes):
            deployment = in_status(now, with_rollback=rollback, deployment_id=str(number), sequence=1)
            write = DeploymentWrite(deployment=deployment, previous=before)
            assert await writer.write(write) is WriteOutcome.APPLIED
            assert await stores.deployments.get(str(number)) == deployment

    async def test_a_deployment_is_written_as_text_once_and_its_operation_decided_once(
        self, stores: Stores, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dumped, decided = Counting(Deployment.model_dump_json), Counting(transitions.deployment_operation_of)
        monkeypatch.setattr(Deployment, "model_dump_json", dumped.call)
        monkeypatch.setattr(transitions, "deployment_operation_of", decided.call)
        monkeypatch.setattr(writers, "deployment_operation_of", decided.call)
        creation = build_deployment_creation_chain(stores.deployments)
        changes = [each for each, how in DEPLOYMENT_OPERATIONS.items() if how is not DeploymentOperation.REOPEN]
        for number, (before, now, rollback) in enumerate(changes):
            deployment = in_status(now, with_rollback=rollback, deployment_id=str(number), sequence=1)
            write = DeploymentWrite(deployment=deployment, previous=before)
            if before is None:
                await run_chain(creation, {"write": write}, result="outcome", kind=WriteOutcome)
            else:
                await DeploymentWriter(stores.deployments).write(write)
            assert (dumped.calls, decided.calls) == (number + 1, number + 1)
            assert await stores.deployments.get(str(number)) == deployment

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({}, None),
            ({"closed": True}, "says that it has ended"),
            ({"completed_at": 9}, "says that it has ended"),
            ({"reopened_in": None}, "does not say how"),
            ({"live_again": None}, "does not say how"),
            ({"environment": "staging"}, "not the last environment"),
        ],
    )
    async def test_what_has_ended_is_live_again_by_one_way_only(
        self, stores: Stores, changes: dict[str, Any], problem: str | None
    ) -> None:
        writer = DeploymentWriter(stores.deployments)
        facts: dict[str, Any] = {"reopened_in": "run-2", "live_again": LiveAgain(), "sequence": 1, **changes}
        write = DeploymentWrite(
            deployment=in_status(DeploymentStatus.LIVE, **facts), previous=DeploymentStatus.SUPERSEDED
        )
        with pytest.raises(InvalidState, match="which asks its environment"):
            await writer.write(write)
        if problem is None:
            assert await writer.reopen(write) is WriteOutcome.APPLIED
            return
        with pytest.raises(InvalidState, match=problem):
            await writer.reopen(write)

    async def test_a_late_write_of_a_deployment_changes_nothing(self, stores: Stores) -> None:
        writer = DeploymentWriter(stores.deployments)
        newer = in_status(DeploymentStatus.LIVE, sequence=5)
        await writer.write(DeploymentWrite(deployment=newer, previous=DeploymentStatus.PRODUCTION))
        late = in_status(DeploymentStatus.PRODUCTION, sequence=4)
        outcome = await writer.write(DeploymentWrite(deployment=late, previous=DeploymentStatus.STAGED))
        assert outcome is WriteOutcome.STALE
        assert await stores.deployments.get("d1") == newer

    @pytest.mark.parametrize(
        ("before", "now"),
        [
            (None, DeploymentStatus.PENDING),
            (None, DeploymentStatus.LIVE),
            (DeploymentStatus.ROLLED_BACK, DeploymentStatus.LIVE),
            (DeploymentStatus.SUPERSEDED, DeploymentStatus.PRODUCTION),
            (DeploymentStatus.LIVE, DeploymentStatus.STAGED),
        ],
    )
    async def test_an_illegal_change_of_a_deployment_is_refused_for_good(
        self, stores: Stores, before: DeploymentStatus | None, now: DeploymentStatus
    ) -> None:
        write = DeploymentWrite(deployment=in_status(now, sequence=1), previous=before)
        with pytest.raises(InvalidState) as caught:
            await DeploymentWriter(stores.deployments).write(write)
        assert not caught.value.retryable
        assert await stores.deployments.get("d1") is None


class TestDeploymentReader:
    async def test_deployments(self, stores: Stores) -> None:
        reader = reader_of(stores)
        for number in range(3):
            one = make_deployment(str(number), created_at=number, service_name="shop" if number else "blog", sequence=1)
            await stores.deployments.write(DeploymentWrite(deployment=one))
        assert (await reader.get("1")).service_name == "shop"
        with pytest.raises(NotFound):
            await reader.get("nope")
        assert [each.deployment_id for each in (await reader.list(DeploymentQuery())).items] == ["2", "1", "0"]
        of_shop = await reader.list(DeploymentQuery(service_name="shop", limit=1))
        assert [each.deployment_id for each in of_shop.items] == ["2"]
        rest = await reader.list(DeploymentQuery(service_name="shop", limit=1, cursor=of_shop.next_cursor))
        assert [each.deployment_id for each in rest.items] == ["1"]
        assert (await reader.stats()).total == 3
        assert await reader.day_count("1970-01-01") == 3
        assert await reader.day_count("1970-01-02") == 0
        with pytest.raises(ValidationFailed):
            await reader.day_count("today")
        with pytest.raises(ValidationFailed):
            await reader.list(DeploymentQuery(cursor="forged"))

    async def test_services(self, stores: Stores) -> None:
        reader = reader_of(stores)
        for version in (1, 2):
            service = Service(name="shop", version=version, spec=make_spec(), created_at=1, updated_at=version)
            assert await stores.services.put(service, expected_version=None, events=[])
        assert (await reader.service("shop")).version == 2
        assert (await reader.service("shop", 1)).version == 1
        with pytest.raises(NotFound):
            await reader.service("shop", 3)
        with pytest.raises(NotFound):
            await reader.service("blog")
        assert [service.version for service in (await reader.services()).items] == [2]
        with pytest.raises(ValidationFailed):
            await reader.services(limit=1, cursor="forged")

    async def test_environments_and_events(self, stores: Stores) -> None:
        reader = reader_of(stores)
        event = AuditEvent(event_id="e", at=1, action="environment.held", service_name="shop", environment="production")
        state = make_state(sequence=1)
        await stores.environments.write(EnvironmentWrite(state=state, events=[event]))
        assert await reader.environment("shop", "production") == state
        assert await reader.environments("shop") == [state]
        assert await reader.environments("blog") == []
        with pytest.raises(NotFound):
            await reader.environment("shop", "staging")
        assert (await reader.events(EventQuery(service_name="shop"))).items == [event]
        assert (await reader.events(EventQuery(service_name="blog"))).items == []

    async def test_stores_that_are_down_are_unavailable_everywhere(self) -> None:
        down: Any = Down()
        reader = DeploymentReader(down, down, down, down, bans=down)
        calls = [
            reader.get("x"),
            reader.list(DeploymentQuery()),
            reader.list(DeploymentQuery(service_name="shop")),
            reader.stats(),
            reader.day_count("2026-11-21"),
            reader.service("shop"),
            reader.services(),
            reader.environment("shop", "staging"),
            reader.environments("shop"),
            reader.events(EventQuery()),
        ]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unavailable] * len(calls)


class Down:
    """Every store at once, and none of them answers."""

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            raise Unavailable("the fake store is down")

        return call
