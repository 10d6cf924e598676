"""Links of deployments, services and environments, one by one: what they answer, what they refuse, loudly."""

import json
import traceback
from itertools import product
from typing import Any

import pytest
from codeuchain import Context

from activities.chaining.links import ChainMiswiredError, require
from activities.deployments.links import (
    CountDeployments,
    CreateDeployment,
    ListDeploymentsByService,
    RecordProductionDeployment,
    RecordRollback,
    RecordStagingDeployment,
    RetrieveDeployment,
    SerializeDeployment,
    UpdateDeployment,
    ValidateDeploymentCreation,
)
from activities.deployments.transitions import (
    DEPLOYMENT_OPERATIONS,
    DeploymentOperation,
    check_deployment_change,
    deployment_operation_of,
)
from activities.environments.links import RecordEnvironment, RetrieveEnvironment
from activities.services.links import ApplyService, RetrieveService, ValidateService
from activities.stores.interfaces.services import ServiceStore
from activities.stores.interfaces.writes import WriteOutcome
from activities.stores.open import Stores, open_memory_stores
from tests.unit.deployment_records import (
    in_status,
    make_deployment,
    make_environment,
    make_holder,
    make_rollback,
    make_spec,
    make_state,
    make_ticket,
    make_write,
)
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.deployments.deployment import (
    Approval,
    Decision,
    Deployment,
    DeploymentQuery,
    DeploymentStatus,
    DeploymentWrite,
    RollbackStatus,
    Stage,
)
from workflows.contracts.deployments.environments import EnvironmentWrite
from workflows.contracts.deployments.rules import FreezeWindow
from workflows.contracts.deployments.services import Service
from workflows.contracts.errors import Conflict, InvalidState, NotFound, Unavailable, ValidationFailed


def context(**data: object) -> Context[Any]:
    return Context[Any](data)


def writing(deployment: Deployment, previous: DeploymentStatus | None = None) -> Context[Any]:
    return context(write=DeploymentWrite(deployment=deployment, previous=previous))


def frozen_spec(**changes: object) -> Any:
    window = FreezeWindow(name="w", cron="0 22 * * FRI", duration_seconds=3600).model_copy(update=changes)
    production = make_environment("production").model_copy(update={"freeze_windows": [window]})
    return make_spec(make_environment("staging"), production)


@pytest.fixture
def stores() -> Stores:
    return open_memory_stores()


class TestValidateDeploymentCreation:
    async def refused(self, deployment: Deployment) -> ValidationFailed:
        with pytest.raises(ValidationFailed) as caught:
            await ValidateDeploymentCreation().call(writing(deployment))
        return caught.value

    async def test_a_good_deployment_passes_unchanged(self) -> None:
        deployment = make_deployment()
        answer = await ValidateDeploymentCreation().call(writing(deployment))
        assert require(answer, "deployment", Deployment) is deployment

    async def test_every_bad_field_is_named_at_once(self) -> None:
        bad = make_deployment(
            "",
            service_name="Shop",
            service_version=0,
            version="-rf",
            git_commit_sha="main",
            git_author="",
            git_ref="--upload-pack",
            git_repo="https://example.com/other.git",
            stages=[],
            definition=frozen_spec(cron="* * * * 9", timezone="Mars/Phobos"),
        )
        assert {error.field for error in (await self.refused(bad)).errors} == {
            "deployment_id",
            "service_name",
            "service_version",
            "version",
            "git_commit_sha",
            "git_author",
            "git_ref",
            "git_repo",
            "stages",
            "definition.environments.1.freeze_windows.0.cron",
            "definition.environments.1.freeze_windows.0.timezone",
        }

    async def test_a_definition_that_was_copied_past_its_rules_is_refused(self) -> None:
        twice = make_spec().model_copy(update={"environments": [make_environment("staging")] * 2})
        error = await self.refused(make_deployment(definition=twice, stages=[Stage(environment="staging")] * 2))
        assert [(found.field, found.message) for found in error.errors] == [
            ("definition", "environments: two have the same name")
        ]
        empty = make_spec().model_copy(update={"environments": [make_environment("staging", external=True)]})
        nothing = empty.model_copy(
            update={"environments": [empty.environments[0].model_copy(update={"steps": [], "external": False})]}
        )
        error = await self.refused(make_deployment(definition=nothing, stages=[Stage(environment="staging")]))
        assert [found.field for found in error.errors] == ["definition.environments.0"]

    async def test_values_stay_out_of_the_error(self) -> None:
        error = await self.refused(make_deployment(git_commit_sha="hunter2", version="hunter2 hunter2"))
        assert "hunter2" not in "".join(traceback.format_exception(error)) + str(error.details)


class TestValidateService:
    async def test_cron_and_time_zone_are_named_by_their_path(self) -> None:
        bad = make_write(spec=frozen_spec(cron="0 0 31 2 *", timezone="../etc/passwd"))
        with pytest.raises(ValidationFailed) as caught:
            await ValidateService().call(context(write=bad))
        assert [error.field for error in caught.value.errors] == [
            "environments.1.freeze_windows.0.cron",
            "environments.1.freeze_windows.0.timezone",
        ]

    async def test_a_good_one_passes(self) -> None:
        write = make_write(spec=frozen_spec(timezone="Europe/Berlin"))
        answer = await ValidateService().call(context(write=write))
        assert answer.get("write") is write


class TestDeploymentTransitions:
    def test_nothing_leaves_rolled_back_or_superseded_but_by_being_live_again(self) -> None:
        for final in (DeploymentStatus.ROLLED_BACK, DeploymentStatus.SUPERSEDED):
            changes = [change for change in DEPLOYMENT_OPERATIONS if change[0] is final]
            assert {now for _, now, _ in changes} == {final, DeploymentStatus.LIVE}
            again = {DEPLOYMENT_OPERATIONS[change] for change in changes if change[1] is DeploymentStatus.LIVE}
            assert again == {DeploymentOperation.REOPEN}

    def test_nothing_goes_back_from_production_or_from_live(self) -> None:
        on_the_way = {DeploymentStatus.PENDING, DeploymentStatus.STAGING, DeploymentStatus.STAGED}
        beyond = {DeploymentStatus.PRODUCTION, DeploymentStatus.LIVE, DeploymentStatus.FAILED}
        assert not [change for change in DEPLOYMENT_OPERATIONS if change[0] in beyond and change[1] in on_the_way]
        after_failure = {now for before, now, _ in DEPLOYMENT_OPERATIONS if before is DeploymentStatus.FAILED}
        assert after_failure == {
            DeploymentStatus.FAILED,
            DeploymentStatus.ROLLED_BACK,
            DeploymentStatus.SUPERSEDED,
            DeploymentStatus.LIVE,
        }

    def test_rolled_back_needs_a_rollback(self) -> None:
        assert {back for _, now, back in DEPLOYMENT_OPERATIONS if now is DeploymentStatus.ROLLED_BACK} == {True}

    def test_every_operation_takes_its_own_changes_and_refuses_all_others(self) -> None:
        taken = 0
        everything = product([None, *DeploymentStatus], DeploymentStatus, [False, True], DeploymentOperation)
        for before, now, rollback, operation in everything:
            write = DeploymentWrite(deployment=in_status(now, with_rollback=rollback), previous=before)
            if DEPLOYMENT_OPERATIONS.get((before, now, rollback)) is operation:
                check_deployment_change(operation, write)
                assert deployment_operation_of(write) is operation
                taken += 1
            else:
                with pytest.raises(InvalidState) as caught:
                    check_deployment_change(operation, write)
                assert not caught.value.retryable
                assert caught.value.details["status"] == now
        assert taken == len(DEPLOYMENT_OPERATIONS)

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"environment": "moon"}, "no environment moon, only staging, production"),
            ({"stages": [Stage(environment="qa")]}, "no environment qa"),
            ({"stages": [Stage(environment="staging")] * 2}, "twice"),
            ({"rollback": make_rollback(RollbackStatus.FAILED, environment="x")}, "no environment x"),
            (
                {
                    "approvals": [
                        Approval(environment="y", decision=Decision.APPROVE, by="ann", at=1, git_commit_sha="a" * 40)
                    ]
                },
                "no environment y",
            ),
            ({"status": DeploymentStatus.LIVE, "live_at": None}, "no live_at"),
            ({"completed_at": None}, "no completed_at"),
            ({"closed": False, "rollback": make_rollback()}, "still open"),
        ],
    )
    def test_a_record_that_contradicts_itself_is_refused(self, changes: dict[str, Any], problem: str) -> None:
        broken = in_status(DeploymentStatus.FAILED, with_rollback=True).model_copy(update=changes)
        write = DeploymentWrite(deployment=broken, previous=DeploymentStatus.LIVE)
        with pytest.raises(InvalidState, match=problem):
            check_deployment_change(DeploymentOperation.ROLLBACK, write)

    def test_an_open_failure_whose_rollback_is_tried_again_is_legal(self) -> None:
        again = in_status(DeploymentStatus.FAILED, closed=False, completed_at=None).model_copy(
            update={"rollback": make_rollback(), "rollbacks": [make_rollback(RollbackStatus.FAILED)]}
        )
        write = DeploymentWrite(deployment=again, previous=DeploymentStatus.FAILED)
        check_deployment_change(DeploymentOperation.ROLLBACK, write)


class TestDeploymentWriting:
    async def test_create_writes_once(self, stores: Stores) -> None:
        link = CreateDeployment(stores.deployments)
        ctx = writing(make_deployment(sequence=1))
        assert (await link.call(ctx)).get("outcome") is WriteOutcome.APPLIED
        assert (await link.call(ctx)).get("outcome") is WriteOutcome.STALE

    async def test_create_refuses_the_id_of_another_version(self, stores: Stores) -> None:
        """One idempotency key for two requests: two workflows, but one record."""
        link = CreateDeployment(stores.deployments)
        first = make_deployment(sequence=1, version="1.0")
        await link.call(writing(first))
        with pytest.raises(Conflict, match="Idempotency-Key"):
            await link.call(writing(make_deployment(sequence=2, version="1.1")))
        assert await stores.deployments.get(first.deployment_id) == first

    async def test_create_refuses_a_version_that_was_another_commit_before_there_were_claims(
        self, stores: Stores, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = CreateDeployment(stores.deployments)
        await link.call(writing(make_deployment("earlier", status=DeploymentStatus.PENDING)))

        async def none(*_: str) -> None:
            return None

        monkeypatch.setattr(stores.deployments, "version_claim", none)
        with pytest.raises(InvalidState) as refused:
            await link.call(writing(make_deployment("later", git_commit_sha="b" * 40)))
        for named in ("a" * 40, "b" * 40, "earlier", "allow_version_reuse"):
            assert named in str(refused.value)
        assert await stores.deployments.get("later") is None
        await link.call(writing(make_deployment("again")))

    async def test_create_refuses_one_that_has_moved_on(self, stores: Stores) -> None:
        with pytest.raises(InvalidState):
            await CreateDeployment(stores.deployments).call(writing(in_status(DeploymentStatus.LIVE)))
        assert await stores.deployments.get("d1") is None

    async def test_staging_is_before_the_last_environment(self, stores: Stores) -> None:
        link = RecordStagingDeployment(stores.deployments)
        good = in_status(DeploymentStatus.STAGING, sequence=1)
        answer = await link.call(writing(good, DeploymentStatus.PENDING))
        assert answer.get("outcome") is WriteOutcome.APPLIED
        wrong = in_status(DeploymentStatus.STAGING, environment="production", sequence=2)
        with pytest.raises(InvalidState, match="in production, not in one before the last"):
            await link.call(writing(wrong, DeploymentStatus.STAGING))
        assert await stores.deployments.get("d1") == good

    @pytest.mark.parametrize("environment", ["staging", None])
    async def test_production_is_the_last_environment(self, stores: Stores, environment: str | None) -> None:
        link = RecordProductionDeployment(stores.deployments)
        good = in_status(DeploymentStatus.LIVE, sequence=1)
        answer = await link.call(writing(good, DeploymentStatus.PRODUCTION))
        assert answer.get("outcome") is WriteOutcome.APPLIED
        wrong = in_status(DeploymentStatus.PRODUCTION, environment=environment, sequence=2)
        with pytest.raises(InvalidState, match="not the last environment"):
            await link.call(writing(wrong, DeploymentStatus.STAGED))
        assert await stores.deployments.get("d1") == good

    @pytest.mark.parametrize(
        ("status", "rollback", "problem"),
        [
            (DeploymentStatus.ROLLED_BACK, make_rollback(), "its rollback has the status running"),
            (DeploymentStatus.LIVE, make_rollback(RollbackStatus.SUCCEEDED), "its rollback has the status succeeded"),
            (DeploymentStatus.FAILED, make_rollback(RollbackStatus.FAILED, completed_at=None), "no completed_at"),
            (DeploymentStatus.LIVE, make_rollback(by=""), "who asked"),
        ],
    )
    async def test_a_rollback_that_contradicts_itself_is_not_recorded(
        self, stores: Stores, status: DeploymentStatus, rollback: Any, problem: str
    ) -> None:
        link = RecordRollback(stores.deployments)
        with pytest.raises(InvalidState, match=problem):
            await link.call(writing(in_status(status, with_rollback=True, rollback=rollback), DeploymentStatus.LIVE))
        assert await stores.deployments.get("d1") is None

    async def test_a_rollback_is_recorded(self, stores: Stores) -> None:
        back = in_status(DeploymentStatus.ROLLED_BACK, with_rollback=True, sequence=1)
        answer = await RecordRollback(stores.deployments).call(writing(back, DeploymentStatus.LIVE))
        assert answer.get("outcome") is WriteOutcome.APPLIED

    async def test_an_update_writes_what_its_operation_may(self, stores: Stores) -> None:
        ctx = writing(in_status(DeploymentStatus.SUPERSEDED, sequence=1), DeploymentStatus.LIVE)
        answer = await UpdateDeployment(stores.deployments, DeploymentOperation.END).call(ctx)
        assert answer.get("outcome") is WriteOutcome.APPLIED
        with pytest.raises(InvalidState, match="that is for end"):
            await UpdateDeployment(stores.deployments, DeploymentOperation.PREPARE).call(ctx)

    async def test_serialized_keeps_everything(self) -> None:
        deployment = make_deployment(metadata={"": ""}, live_at=0)
        serialized = json.loads(
            require(await SerializeDeployment().call(context(deployment=deployment)), "serialized", str)
        )
        assert (serialized["metadata"], serialized["live_at"], serialized["git_ref"]) == ({"": ""}, 0, None)
        assert Deployment.model_validate(serialized) == deployment


class TestRecordEnvironment:
    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"queue": [make_ticket("a"), make_ticket("b"), make_ticket("a")]}, "waits twice"),
            ({"holder": make_holder("a", 7), "fence": 6}, "turn 7 was never given out"),
            ({"holder": make_holder("a", 7), "fence": 7, "queue": [make_ticket("a")]}, "also waits"),
        ],
    )
    async def test_a_lock_that_contradicts_itself_is_not_recorded(
        self, stores: Stores, changes: dict[str, Any], problem: str
    ) -> None:
        write = EnvironmentWrite(state=make_state(sequence=1, **changes))
        with pytest.raises(InvalidState, match=problem):
            await RecordEnvironment(stores.environments).call(context(write=write))
        assert await stores.environments.get("shop", "production") is None

    async def test_a_lock_is_recorded_once(self, stores: Stores) -> None:
        link = RecordEnvironment(stores.environments)
        state = make_state(sequence=1, holder=make_holder("a", 7), fence=9, queue=[make_ticket("b")])
        ctx = context(write=EnvironmentWrite(state=state))
        assert (await link.call(ctx)).get("outcome") is WriteOutcome.APPLIED
        assert (await link.call(ctx)).get("outcome") is WriteOutcome.STALE


class TestReadingLinks:
    async def test_what_is_not_there_is_not_found_and_says_what_to_do(self, stores: Stores) -> None:
        with pytest.raises(NotFound, match="List the deployments"):
            await RetrieveDeployment(stores.deployments).call(context(deployment_id="nope"))
        with pytest.raises(NotFound, match="service apply"):
            await RetrieveService(stores.services).call(context(service_name="nope"))
        with pytest.raises(NotFound, match="no version 3"):
            await RetrieveService(stores.services).call(context(service_name="nope", version=3))
        with pytest.raises(NotFound, match="Start a deployment"):
            await RetrieveEnvironment(stores.environments).call(context(service_name="shop", environment="x"))

    async def test_a_list_by_service_needs_a_service(self, stores: Stores) -> None:
        with pytest.raises(ChainMiswiredError):
            await ListDeploymentsByService(stores.deployments).call(context(query=DeploymentQuery()))

    @pytest.mark.parametrize("day", ["", "today", "20261121", "2026-13-01"])
    async def test_a_count_needs_a_day(self, stores: Stores, day: str) -> None:
        with pytest.raises(ValidationFailed):
            await CountDeployments(stores.deployments).call(context(day=day))


class Overtaken:
    """A ServiceStore to which another change is always a little faster."""

    def __init__(self, store: ServiceStore, times: int) -> None:
        self.store, self.times = store, times
        self.get, self.list = store.get, store.list

    async def put(self, service: Service, *, expected_version: int | None, events: list[AuditEvent]) -> bool:
        if self.times > 0:
            self.times -= 1
            other = service.model_copy(update={"spec": make_spec(description=f"other {self.times}"), "updated_by": "x"})
            await self.store.put(other, expected_version=None, events=[])
        return await self.store.put(service, expected_version=expected_version, events=events)


class TestApplyService:
    async def apply(self, stores: Stores, change: str, services: Any = None, **wanted: Any) -> Service:
        link = ApplyService(services or stores.services, stores.events, clock=lambda: 42)
        answer = await link.call(context(write=make_write(**wanted), change_id=change))
        return require(answer, "service", Service)

    async def test_versions_count_changes_and_the_trail_names_them(self, stores: Stores) -> None:
        first = await self.apply(stores, "c1", via="cli", address="10.0.0.1")
        assert (first.version, first.created_at, first.updated_by) == (1, 42, "ann")
        assert await self.apply(stores, "c2") == first
        second = await self.apply(stores, "c3", spec=make_spec(description="new"))
        assert second.version == 2
        assert (await stores.services.get("shop", 1)) == first
        events = (await stores.events.list(EventQuery(service_name="shop"))).items
        trail = {
            (event.action, event.by, event.via, event.address, event.details["service_version"]) for event in events
        }
        assert trail == {
            ("service.applied", "ann", "cli", "10.0.0.1", 1),
            ("service.applied", "ann", "api", None, 2),
        }

    async def test_another_version_than_expected_is_refused_with_the_present_one(self, stores: Stores) -> None:
        with pytest.raises(InvalidState, match="does not exist") as caught:
            await self.apply(stores, "c0", expected_version=3)
        assert caught.value.details == {"version": 0}
        await self.apply(stores, "c1", expected_version=0)
        with pytest.raises(InvalidState, match="is version 1, but none was expected") as caught:
            await self.apply(stores, "c2", expected_version=0)
        assert caught.value.details == {"version": 1}
        changed = await self.apply(stores, "c3", expected_version=1, spec=make_spec(description="new"))
        assert changed.version == 2

    async def test_a_change_that_was_stored_before_its_answer_was_lost_is_answered_again(self, stores: Stores) -> None:
        first = await self.apply(stores, "c1", expected_version=0)
        await self.apply(stores, "c2", spec=make_spec(description="meanwhile"))
        assert await self.apply(stores, "c1", expected_version=0) == first

    async def test_a_faster_change_is_taken_into_account(self, stores: Stores) -> None:
        services = Overtaken(stores.services, 2)
        assert (await self.apply(stores, "c1", services)).version == 3

    async def test_a_faster_change_of_the_expected_version_is_a_refusal(self, stores: Stores) -> None:
        with pytest.raises(InvalidState) as caught:
            await self.apply(stores, "c1", Overtaken(stores.services, 1), expected_version=0)
        assert caught.value.details == {"version": 1}

    async def test_it_gives_up_for_now_when_others_are_always_faster(self, stores: Stores) -> None:
        with pytest.raises(Unavailable) as caught:
            await self.apply(stores, "c1", Overtaken(stores.services, 99))
        assert caught.value.retryable
