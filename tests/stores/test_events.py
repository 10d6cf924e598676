"""The contract of EventStore: every event once, newest first, whoever wrote it and however often."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from activities.bounded import gather_bounded
from activities.stores.dynamo import listing
from activities.stores.event_rules import MAX_EVENT_BYTES
from activities.stores.interfaces.writes import WriteOutcome
from activities.stores.memory.events import MemoryEventStore
from tests.stores.conftest import ReleaseStores
from tests.stores.lives import NOON
from tests.stores.releases import make_deployment, make_event, make_spec, make_state, noise
from tests.stores.test_jobs import CORNERS
from tests.stores.trails import trail
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.deployments.deployment import DeploymentWrite
from workflows.contracts.deployments.environments import EnvironmentWrite
from workflows.contracts.errors import ValidationFailed
from workflows.contracts.jobs import Step


async def test_an_event_is_read_as_it_was_written(releases: ReleaseStores) -> None:
    event = make_event(
        "ü#~/🚀", details=CORNERS | {"n": Decimal("1.10")}, reason="", message="\u2028", address=None, version=""
    )
    await releases.events.append(event)
    read = await trail(releases.events)
    assert read == [event]
    assert repr(read[0].details) == repr(event.details)


async def test_an_appended_event_is_kept_once(releases: ReleaseStores) -> None:
    event = make_event("delivery-1", service_name="cart")
    again = event.model_copy(update={"at": NOON + 1, "service_name": "checkout", "message": "again"})
    await asyncio.gather(*(releases.events.append(event) for _ in range(8)))
    await releases.events.append(again)
    assert await trail(releases.events) == [event]
    assert await trail(releases.events, EventQuery(service_name="checkout")) == []


@pytest.mark.parametrize("limit", [3, 100])
async def test_events_come_newest_first_by_service_and_by_deployment(releases: ReleaseStores, limit: int) -> None:
    services, deployments = (None, "cart", "cart-2"), (None, "d", "d-2", "e")
    made = [
        make_event(f"{number:03d}", at=NOON + number // 4, service_name=services[number % 3]) for number in range(24)
    ]
    made = [event.model_copy(update={"deployment_id": deployments[n % 4]}) for n, event in enumerate(made)]
    await asyncio.gather(*(releases.events.append(event) for event in made))
    for service in (None, "cart", "nobody"):
        for deployment in (None, "d", "e", "nobody"):
            query = EventQuery(service_name=service, deployment_id=deployment, limit=limit)
            wanted = [event for event in reversed(made) if service in {None, event.service_name}]
            wanted = [event for event in wanted if deployment in {None, event.deployment_id}]
            assert await trail(releases.events, query) == wanted, (service, deployment)


@pytest.mark.parametrize("limit", [3, 100])
async def test_events_are_found_by_job_by_agent_and_by_what_they_say(releases: ReleaseStores, limit: int) -> None:
    made = [
        make_event(
            f"{number:03d}",
            at=NOON + number * 1000,
            job_id=(None, "j", "j-2")[number % 3],
            agent_id=(None, "a", "j")[number // 3 % 3],
            service_name=("cart", None)[number % 2],
            by=("", "ann", "bob")[number // 2 % 3],
            action=("job.retried", "job.cancelled", "agent.drained", "jobs")[number % 4],
        )
        for number in range(24)
    ]
    await gather_bounded(releases.events.append, made)
    for asked in (
        {"job_id": "j"}, {"agent_id": "j"}, {"job_id": "j", "agent_id": "a"}, {"agent_id": "a", "service_name": "cart"},
        {"by": "ann"}, {"by": ""}, {"action": "job."}, {"action": "job", "by": "bob"}, {"action": "", "job_id": "j-2"},
        {"since": NOON + 7000}, {"until": NOON + 7000}, {"since": NOON + 3000, "until": NOON + 9001},
        {"since": NOON + 3001, "until": NOON + 3999}, {"until": NOON - 1}, {"since": NOON + 10**9},
        {"job_id": "j", "since": NOON + 5000, "until": NOON + 19000, "action": "job.", "by": "ann"}, {"job_id": "none"},
    ):  # fmt: skip
        query = EventQuery.model_validate({**asked, "limit": limit})
        assert await trail(releases.events, query) == [each for each in reversed(made) if says(each, asked)], asked
    assert await trail(releases.events, EventQuery(limit=limit)) == list(reversed(made)), "bounds teach nothing wrong"


def says(event: AuditEvent, asked: dict[str, Any]) -> bool:
    asked = dict(asked)
    begins, since, until = asked.pop("action", ""), asked.pop("since", 0), asked.pop("until", NOON * 2)
    same = all(getattr(event, name) == value for name, value in asked.items())
    return same and event.action.startswith(begins) and since <= event.at <= until


async def test_events_carried_by_several_writes_are_kept_once(releases: ReleaseStores) -> None:
    """A workflow that does not know whether its write was made sends its events along with the next one."""
    deployment = make_deployment()
    events = [make_event(f"{number}", at=NOON + number, deployment_id="d") for number in range(6)]
    for sequence in range(1, 6):
        newer = deployment.model_copy(update={"sequence": sequence})
        previous = None if sequence == 1 else deployment.status
        write = DeploymentWrite(deployment=newer, previous=previous, events=events[sequence - 1 : sequence + 1])
        assert await releases.deployments.write(write) is WriteOutcome.APPLIED
        assert await releases.deployments.write(write) is WriteOutcome.STALE
    assert await trail(releases.events) == list(reversed(events))
    await releases.events.append(events[3])
    state = EnvironmentWrite(state=make_state(), events=[*events, *events])
    assert await releases.environments.write(state) is WriteOutcome.APPLIED
    assert await trail(releases.events, EventQuery(deployment_id="d")) == list(reversed(events))


async def test_two_records_that_race_with_the_same_event_keep_it_once(releases: ReleaseStores) -> None:
    event = make_event("shared")
    made = [make_deployment(created_at=NOON + number) for number in range(6)]
    outcomes = await asyncio.gather(
        *(releases.deployments.write(DeploymentWrite(deployment=each, events=[event])) for each in made),
        *(releases.environments.write(EnvironmentWrite(state=make_state(f"e{n}"), events=[event])) for n in range(6)),
    )
    assert set(outcomes) == {WriteOutcome.APPLIED}
    assert await trail(releases.events) == [event]
    assert (await releases.deployments.stats()).total == len(made)


async def test_more_events_than_a_transaction_takes_are_all_kept(releases: ReleaseStores) -> None:
    events = [
        make_event(f"{number:03d}", at=NOON + number, service_name="cart", deployment_id="d") for number in range(67)
    ]
    deployment = make_deployment()
    write = DeploymentWrite(deployment=deployment, events=events)
    await releases.events.append(events[3])
    outcomes = await asyncio.gather(*(releases.deployments.write(write) for _ in range(4)))
    assert outcomes.count(WriteOutcome.APPLIED) == 1
    late = [make_event(f"late-{number}") for number in range(25)]
    assert await releases.deployments.write(DeploymentWrite(deployment=deployment, events=late)) is WriteOutcome.STALE
    state = EnvironmentWrite(state=make_state(), events=events)
    assert await releases.environments.write(state) is WriteOutcome.APPLIED
    assert await releases.environments.write(EnvironmentWrite(state=make_state(), events=late)) is WriteOutcome.STALE
    assert await trail(releases.events, EventQuery(deployment_id="d", limit=100)) == list(reversed(events))
    assert len(await trail(releases.events)) == len(events)


async def test_the_largest_events_fit_beside_the_largest_record(releases: ReleaseStores) -> None:
    steps = [Step(name=f"step {number}", run=noise(62 * 1024, number)) for number in range(3)]
    deployment = make_deployment(definition=make_spec(steps), error_message=noise(90_000))
    events = [
        make_event(f"{number:02d}", message=noise(MAX_EVENT_BYTES - 1000, number), service_name="s", deployment_id="d")
        for number in range(20)
    ]
    write = DeploymentWrite(deployment=deployment, events=events)
    assert await releases.deployments.write(write) is WriteOutcome.APPLIED
    assert await releases.deployments.get(deployment.deployment_id) == deployment
    assert await trail(releases.events, EventQuery(deployment_id="d")) == list(reversed(events))


BAD: list[dict[str, Any]] = [{"event_id": "x" * 257}, {"message": "ü" * MAX_EVENT_BYTES}]


@pytest.mark.parametrize("changes", BAD)
async def test_an_event_that_cannot_be_kept_refuses_the_whole_write(
    releases: ReleaseStores, changes: dict[str, Any]
) -> None:
    events = [*(make_event() for _ in range(25)), make_event().model_copy(update=changes), make_event()]
    deployment = make_deployment()
    calls = [
        releases.deployments.write(DeploymentWrite(deployment=deployment, events=events)),
        releases.deployments.write(DeploymentWrite(deployment=deployment, events=list(reversed(events)))),
        releases.events.append(events[25]),
    ]
    for call in calls:
        with pytest.raises(ValidationFailed) as refused:
            await call
        assert [error.field.split(".")[0] for error in refused.value.errors] == ["events"]
    assert await releases.deployments.get(deployment.deployment_id) is None
    assert await trail(releases.events) == []


async def test_an_event_cursor_is_good_for_its_own_list_only(releases: ReleaseStores) -> None:
    events = [make_event(f"{number}", at=NOON + number, deployment_id="d" * 36) for number in range(5)]
    await asyncio.gather(*(releases.events.append(event) for event in events))
    query = EventQuery(deployment_id="d" * 36, limit=2)
    cursor = (await releases.events.list(query)).next_cursor
    assert cursor is not None
    for other in (EventQuery(cursor=cursor), EventQuery(deployment_id="e", cursor=cursor), EventQuery(cursor="x")):
        with pytest.raises(ValidationFailed):
            await releases.events.list(other)
    await releases.events.append(make_event("newer", at=NOON + 99, deployment_id="d" * 36))
    rest = await trail(releases.events, query.model_copy(update={"cursor": cursor}))
    assert rest == list(reversed(events[:3]))


async def test_a_page_of_events_that_looked_at_enough_says_so(
    releases: ReleaseStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_MAX_QUERIES", 1)
    events = [make_event(f"e{number}", at=NOON + number, by="ann") for number in range(60)]
    rare = make_event("rare", at=NOON - 1, by="bob")
    for event in [*events, rare]:
        await releases.events.append(event)
    assert await trail(releases.events, EventQuery(by="bob", limit=2)) == [rare]
    page = await releases.events.list(EventQuery(by="bob", limit=2))
    if not isinstance(releases.events, MemoryEventStore):
        assert (page.items, page.stopped_early) == ([], True)
        assert page.looked_at is not None
        assert 0 < page.looked_at < 60
    assert not (await releases.events.list(EventQuery(by="ann", limit=2))).stopped_early
