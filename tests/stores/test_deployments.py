"""The contract of DeploymentStore: records and their counters. Lists are in test_deployment_lists."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest

from activities.stores.documents import dump_deployment
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.creation import create_tables
from activities.stores.dynamo.deployments import DeploymentItems, DynamoDeploymentStore
from activities.stores.dynamo.events import DynamoEventStore, RecordEvents
from activities.stores.dynamo.table import DeploymentTables
from activities.stores.interfaces.writes import WriteOutcome
from tests.stores.conftest import ReleaseStores
from tests.stores.lives import NOON, SHA
from tests.stores.releases import DeploymentLife, make_deployment, make_event, make_spec, noise
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.deployment import (
    Approval,
    Decision,
    Deployment,
    DeploymentQuery,
    DeploymentStats,
    DeploymentStatus,
    DeploymentWrite,
    MetricSample,
    Rollback,
    Stage,
)
from workflows.contracts.deployments.services import MAX_SERVICE_BYTES
from workflows.contracts.deployments.versions import claim_of
from workflows.contracts.errors import InvalidState, ValidationFailed
from workflows.contracts.jobs import Step

PENDING = DeploymentStatus.PENDING


async def test_a_deployment_is_read_as_it_was_written(releases: ReleaseStores) -> None:
    floats = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, 1e22, 0.0]
    deployment = make_deployment(
        git_commit_message="naïve 🚀 \u2028 \x7f\n\t", error_message="", waits_for=None, environment="", created_by="ü",
        metadata={"": "", "ключ": "值", "$decimal": "1.10"}, cause="", git_ref=None, staged_at=0, closed=False,
        metrics=MetricSample(at=NOON, error_rate=0.1 + 0.2), approvals=[
            Approval(environment="production", decision=Decision.APPROVE, by="", at=NOON, git_commit_sha=SHA)],
        metric_samples=[MetricSample(at=NOON, latency_ms=value, breaches=[""]) for value in floats],
        stages=[Stage(environment="staging", fence=2**53 - 1, job_ids=["", "a"], started_at=0), Stage(environment="")],
        rollback=Rollback(environment="production", reason="🚨", by="", requested_at=NOON),
        definition=make_spec(description="ß\n" * 3, labels={"": "\u200b"}),
    )  # fmt: skip
    assert await releases.deployments.write(DeploymentWrite(deployment=deployment)) is WriteOutcome.APPLIED
    read = await releases.deployments.get(deployment.deployment_id)
    assert read == deployment
    assert read is not None
    assert repr(read.metric_samples) == repr(deployment.metric_samples)  # equality alone takes 0.0 for -0.0
    assert (await releases.deployments.list(DeploymentQuery())).items == [deployment.summary()]


async def test_the_largest_definition_is_kept_with_the_longest_trail(releases: ReleaseStores) -> None:
    steps = [Step(name=f"step {number}", run=noise(62 * 1024, number)) for number in range(3)]
    definition = make_spec(steps)
    assert len(definition.model_dump_json()) > 0.96 * MAX_SERVICE_BYTES
    message = "the health check answered 503: " * 20
    stages = [
        Stage(environment=f"env-{number}", job_ids=["j" * 36] * 40, error_message=message) for number in range(10)
    ]
    deployment = make_deployment(definition=definition, stages=stages, error_message="é" * 20_000)
    await releases.deployments.write(DeploymentWrite(deployment=deployment, events=[make_event()]))
    assert await releases.deployments.get(deployment.deployment_id) == deployment


async def test_a_deployments_document_that_is_there_is_kept_as_it_is(
    releases: ReleaseStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = make_deployment(metadata={"": "ключ"})
    document, write = dump_deployment(deployment), DeploymentWrite(deployment=deployment)
    with monkeypatch.context() as patched:
        patched.setattr(Deployment, "model_dump_json", None)
        assert await releases.deployments.write(write, document) is WriteOutcome.APPLIED
    assert await releases.deployments.get(deployment.deployment_id) == deployment


@pytest.mark.parametrize("message", [noise(600_000), "all the same " * 20_000])
async def test_a_deployment_that_no_item_can_hold_is_refused_whole(releases: ReleaseStores, message: str) -> None:
    deployment = make_deployment(error_message=message)
    with pytest.raises(ValidationFailed) as refused:
        await releases.deployments.write(DeploymentWrite(deployment=deployment, events=[make_event()]))
    assert [error.field for error in refused.value.errors] == ["deployment"]
    assert await releases.deployments.get(deployment.deployment_id) is None
    assert await releases.deployments.stats() == DeploymentStats()
    assert (await releases.events.list(EventQuery())).items == []


async def test_of_an_unknown_deployment_there_is_nothing(releases: ReleaseStores) -> None:
    assert await releases.deployments.get(make_deployment().deployment_id) is None
    assert await releases.deployments.stats() == DeploymentStats()
    assert await releases.deployments.day_count("2025-11-21") == 0


async def test_an_old_or_repeated_deployment_changes_nothing(releases: ReleaseStores) -> None:
    first = make_deployment()
    second = first.model_copy(update={"sequence": 2, "status": DeploymentStatus.FAILED})
    third = first.model_copy(update={"sequence": 3, "status": DeploymentStatus.STAGING})
    store, kept, late = releases.deployments, make_event("kept"), make_event("late")
    assert await store.write(DeploymentWrite(deployment=first)) is WriteOutcome.APPLIED
    assert await store.write(DeploymentWrite(deployment=third, previous=PENDING, events=[kept])) is WriteOutcome.APPLIED
    for old in (second, third, third.model_copy(update={"version": "2"}), first):
        for previous in (None, PENDING, DeploymentStatus.STAGING):
            write = DeploymentWrite(deployment=old, previous=previous, events=[late])
            assert await store.write(write) is WriteOutcome.STALE
    assert await store.get(first.deployment_id) == third
    assert await store.stats() == DeploymentStats(total=1, by_status={DeploymentStatus.STAGING: 1})
    assert (await store.list(DeploymentQuery(status=DeploymentStatus.FAILED))).items == []
    assert (await releases.events.list(EventQuery())).items == [kept]


async def test_a_deployment_that_overtakes_takes_the_older_ones_share(releases: ReleaseStores) -> None:
    """Whatever was written last: ``previous`` can be wrong when a write in between never came."""
    deployment, store = make_deployment(), releases.deployments
    await store.write(DeploymentWrite(deployment=deployment))
    live = deployment.model_copy(update={"sequence": 5, "status": DeploymentStatus.LIVE})
    write = DeploymentWrite(deployment=live, previous=DeploymentStatus.PRODUCTION)
    assert await store.write(write) is WriteOutcome.APPLIED
    fresh = make_deployment(status=DeploymentStatus.FAILED, sequence=9)
    assert await store.write(DeploymentWrite(deployment=fresh, previous=DeploymentStatus.LIVE)) is WriteOutcome.APPLIED
    assert await store.stats() == counted([live, fresh])
    assert await store.day_count("2025-11-21") == 2
    for status, found in ((PENDING, []), (DeploymentStatus.LIVE, [live]), (DeploymentStatus.FAILED, [fresh])):
        items = (await store.list(DeploymentQuery(status=status))).items
        assert items == [each.summary() for each in found]


async def test_one_of_24_racing_deployment_writers_wins_with_its_event(releases: ReleaseStores) -> None:
    created = make_deployment()
    await releases.deployments.write(DeploymentWrite(deployment=created))
    writes = [
        DeploymentWrite(
            deployment=created.model_copy(update={"sequence": 2, "environment": f"env-{number}"}),
            previous=PENDING,
            events=[make_event(f"event-{number}")],
        )
        for number in range(24)
    ]
    outcomes = await asyncio.gather(*(releases.deployments.write(write) for write in writes))
    assert outcomes.count(WriteOutcome.APPLIED) == 1
    winner = writes[outcomes.index(WriteOutcome.APPLIED)]
    assert await releases.deployments.get(created.deployment_id) == winner.deployment
    assert (await releases.events.list(EventQuery())).items == winner.events


async def test_one_of_24_racing_deployment_creators_wins(releases: ReleaseStores) -> None:
    deployment, event = make_deployment(), make_event()
    write = DeploymentWrite(deployment=deployment, events=[event])
    outcomes = await asyncio.gather(*(releases.deployments.write(write) for _ in range(24)))
    assert outcomes.count(WriteOutcome.APPLIED) == 1
    assert await releases.deployments.stats() == counted([deployment])
    assert (await releases.deployments.list(DeploymentQuery())).items == [deployment.summary()]
    assert (await releases.events.list(EventQuery())).items == [event]


async def test_deployment_counters_equal_a_recount_under_concurrency_and_repeats(releases: ReleaseStores) -> None:
    chance, store = random.Random(1), releases.deployments
    lives = [DeploymentLife(chance, NOON + number, chance.randrange(7)) for number in range(8)]

    async def live(life: DeploymentLife) -> None:
        dice = random.Random(life.deployment.created_at)
        for number, write in enumerate(life.writes):
            outcomes = await asyncio.gather(*(store.write(write) for _ in range(dice.choice([1, 1, 2]))))
            assert outcomes.count(WriteOutcome.APPLIED) == 1
            assert await store.write(dice.choice(life.writes[: number + 1])) is WriteOutcome.STALE

    await asyncio.gather(*(live(life) for life in lives))
    records = [life.deployment for life in lives]
    assert await store.stats() == counted(records)
    assert await store.day_count("2025-11-21") == len(records)
    for status in DeploymentStatus:
        found = (await store.list(DeploymentQuery(status=status))).items
        assert found == [each.summary() for each in reversed(records) if each.status is status]
    happened = sorted(event.event_id for life in lives for write in life.writes for event in write.events)
    assert len(happened) <= 100
    assert sorted(event.event_id for event in (await releases.events.list(EventQuery(limit=100))).items) == happened


async def test_deployments_are_counted_by_the_day_in_utc(releases: ReleaseStores) -> None:
    midnight = NOON + 12 * 3600 * 1000
    for created_at in (NOON, midnight - 1, midnight):
        await releases.deployments.write(DeploymentWrite(deployment=make_deployment(created_at=created_at)))
    days = [await releases.deployments.day_count(f"2025-11-{day}") for day in (20, 21, 22)]
    assert days == [0, 2, 1]


@pytest.mark.parametrize("endpoint_fixture", ["aws_endpoint", "dynamodb_local_endpoint"])
async def test_a_deployment_whose_answer_was_lost_counts_once(
    clients_of: Callable[[str], AwsClients], deployment_tables: DeploymentTables, endpoint_fixture: str
) -> None:
    clients = clients_of(endpoint_fixture)
    await create_tables(clients, deployment_tables)
    store, life = DynamoDeploymentStore(clients, deployment_tables), DeploymentLife(random.Random(5), NOON, 4)
    before: DeploymentStatus | None = None
    for write in life.writes:
        # The server carries it out and nobody hears of it; then the activity is tried again.
        lost = DeploymentItems(deployment_tables, write.deployment).actions(before)
        events = RecordEvents(clients, deployment_tables.events, write.events)
        await events.send(lost, frozenset())
        assert await store.write(write) is WriteOutcome.STALE
        before = write.deployment.status
    assert await store.stats() == counted([life.deployment])
    kept = (await DynamoEventStore(clients, deployment_tables.events).list(EventQuery())).items
    assert kept == [event for write in reversed(life.writes) for event in write.events]


def counted(records: list[Deployment]) -> DeploymentStats:
    return DeploymentStats(total=len(records), by_status=dict(Counter(record.status for record in records)))


async def test_one_commit_of_12_that_race_for_a_version_has_it(releases: ReleaseStores) -> None:
    made = [make_deployment(git_commit_sha=f"{number:040x}", created_at=NOON + number) for number in range(12)]
    answers = await asyncio.gather(
        *(releases.deployments.write(DeploymentWrite(deployment=each)) for each in made), return_exceptions=True
    )
    kept = [each for each, answer in zip(made, answers, strict=True) if answer is WriteOutcome.APPLIED]
    assert len(kept) == 1
    refused = [str(answer) for answer in answers if isinstance(answer, InvalidState)]
    assert len(refused) == 11
    assert all(kept[0].git_commit_sha in why and kept[0].deployment_id in why for why in refused)
    assert (await releases.deployments.list(DeploymentQuery())).items == [kept[0].summary()]
    assert await releases.deployments.stats() == counted(kept)
    assert await releases.deployments.version_claim("checkout", "1.4.2") == claim_of(kept[0])


async def test_a_version_keeps_its_commit_when_the_record_is_gone(releases: ReleaseStores) -> None:
    first, again = make_deployment(), make_deployment()
    for each in (first, again):  # the same commit once more is a redeploy
        assert await releases.deployments.write(DeploymentWrite(deployment=each)) is WriteOutcome.APPLIED
        assert await releases.deployments.remove(each)
    other = make_deployment(git_commit_sha="b" * 40)
    with pytest.raises(InvalidState, match=f"is commit {SHA} already, by deployment {again.deployment_id}"):
        await releases.deployments.write(DeploymentWrite(deployment=other))
    allowed = other.model_copy(update={"definition": make_spec(allow_version_reuse=True)})
    assert await releases.deployments.write(DeploymentWrite(deployment=allowed)) is WriteOutcome.APPLIED
    assert await releases.deployments.version_claim("checkout", "1.4.2") == claim_of(allowed)
    elsewhere = make_deployment(git_commit_sha="c" * 40, service_name="cart")
    assert await releases.deployments.write(DeploymentWrite(deployment=elsewhere)) is WriteOutcome.APPLIED
