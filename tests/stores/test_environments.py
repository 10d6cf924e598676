"""The contract of EnvironmentStore: the state as last written, all environments of one service and no others'."""

import asyncio

import pytest

from activities.stores.interfaces.writes import WriteOutcome
from tests.stores.conftest import ReleaseStores
from tests.stores.lives import NOON, SHA
from tests.stores.releases import make_event, make_state, noise
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.environments import (
    MAX_HISTORY,
    EnvironmentState,
    EnvironmentWrite,
    Freeze,
    Hold,
    Holder,
    LiveVersion,
    Ticket,
)
from workflows.contracts.deployments.rules import FreezeWindow
from workflows.contracts.errors import ValidationFailed


def full_state(environment: str = "production", waiting: int = 3) -> EnvironmentState:
    windows = [FreezeWindow(name="night 🌙", cron="0 22 * * 5", duration_seconds=3600, timezone="Europe/Berlin")]
    queue = [
        Ticket(
            deployment_id=noise(36, number), workflow_id=f"deploy-{number}", version="1", git_commit_sha=SHA,
            arrived_at=NOON, freeze_windows=windows, final=True,
        )
        for number in range(waiting)
    ]  # fmt: skip
    lives = [
        LiveVersion(version=f"1.{number}", deployment_id="", workflow_id="w", git_commit_sha=SHA, since=0)
        for number in range(MAX_HISTORY)
    ]
    return make_state(
        environment,
        holder=Holder(deployment_id="d", workflow_id="w", version="1", fence=2**53, since=NOON, live=True),
        queue=queue, live=lives[0], history=lives, hold=Hold(by="ü", reason="", at=0), fence=2**53, frozen_until=0,
        freezes=[Freeze(freeze_id="f", name="\u2028", starts_at=0, ends_at=NOON, by="", reason="")], frozen_by="",
    )  # fmt: skip


async def test_an_environment_is_read_as_it_was_written(releases: ReleaseStores) -> None:
    for state in (full_state(), make_state("staging"), full_state("large", waiting=300)):
        assert await releases.environments.write(EnvironmentWrite(state=state)) is WriteOutcome.APPLIED
        read = await releases.environments.get(state.service_name, state.environment)
        assert repr(read) == repr(state)
    assert await releases.environments.get("checkout", "nowhere") is None
    assert await releases.environments.get("check", "production") is None


async def test_an_old_or_repeated_environment_changes_nothing(releases: ReleaseStores) -> None:
    first, store = make_state(sequence=0), releases.environments
    third = full_state().model_copy(update={"sequence": 3})
    assert await store.write(EnvironmentWrite(state=first, events=[make_event("1")])) is WriteOutcome.APPLIED
    assert await store.write(EnvironmentWrite(state=third, events=[make_event("3")])) is WriteOutcome.APPLIED
    for late in (first, first.model_copy(update={"sequence": 2}), third, third.model_copy(update={"fence": 0})):
        write = EnvironmentWrite(state=late, events=[make_event("3"), make_event("late")])
        assert await store.write(write) is WriteOutcome.STALE
    assert await store.get("checkout", "production") == third
    assert sorted(event.event_id for event in (await releases.events.list(EventQuery())).items) == ["1", "3"]


@pytest.mark.parametrize("sequence", [1, 2])
async def test_one_of_16_racing_environment_writers_wins(releases: ReleaseStores, sequence: int) -> None:
    if sequence == 2:
        await releases.environments.write(EnvironmentWrite(state=make_state()))
    racing = [
        EnvironmentWrite(state=make_state(sequence=sequence, fence=number), events=[make_event(f"event-{number}")])
        for number in range(16)
    ]
    outcomes = await asyncio.gather(*(releases.environments.write(write) for write in racing))
    assert outcomes.count(WriteOutcome.APPLIED) == 1
    winner = racing[outcomes.index(WriteOutcome.APPLIED)]
    assert await releases.environments.get("checkout", "production") == winner.state
    assert (await releases.events.list(EventQuery())).items == winner.events


async def test_a_service_shows_its_own_environments_by_name(releases: ReleaseStores) -> None:
    states = [make_state(name) for name in ("a", "b-1", "production", "staging")]
    others = [make_state("a", "check"), make_state("c", "checkout-2"), make_state("zz", "cart")]
    writes = [EnvironmentWrite(state=state) for state in (*reversed(states), *others)]
    await asyncio.gather(*(releases.environments.write(write) for write in writes))
    assert await releases.environments.of_service("checkout") == states
    assert await releases.environments.of_service("nobody") == []


async def test_environments_that_fill_several_answers_are_all_shown(releases: ReleaseStores) -> None:
    holds = [Hold(by="ann", reason=noise(250_000, number), at=NOON) for number in range(6)]
    states = [make_state(f"env-{number}", hold=hold) for number, hold in enumerate(holds)]
    for state in states:
        assert await releases.environments.write(EnvironmentWrite(state=state)) is WriteOutcome.APPLIED
    assert await releases.environments.of_service("checkout") == states


async def test_an_environment_that_no_item_can_hold_is_refused(releases: ReleaseStores) -> None:
    state = make_state(hold=Hold(by="ann", reason=noise(600_000), at=NOON))
    with pytest.raises(ValidationFailed) as refused:
        await releases.environments.write(EnvironmentWrite(state=state, events=[make_event()]))
    assert [error.field for error in refused.value.errors] == ["environment"]
    assert await releases.environments.get("checkout", "production") is None
    assert (await releases.events.list(EventQuery())).items == []


async def test_the_environments_of_many_services_are_read_at_once(releases: ReleaseStores) -> None:
    states = [make_state(name).model_copy(update={"service_name": f"s{n}"}) for n in range(60) for name in ("a", "b")]
    for state in states:
        await releases.environments.write(EnvironmentWrite(state=state))
    keys = [(state.service_name, state.environment) for state in states]
    found = await releases.environments.named([*keys, ("s1", "nowhere"), ("nobody", "a"), keys[0]])
    assert sorted((each.service_name, each.environment) for each in found) == sorted(keys)
    assert await releases.environments.named([]) == []
