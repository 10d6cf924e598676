"""Records and workflows of deployments and environments that say different things: who knows more counts, nothing is
rolled out twice, and what ordinary work leaves behind is left alone.
"""

from collections.abc import Mapping
from typing import Any

from activities.deployments.chains import build_deployment_creation_chain
from activities.deployments.comparing import WHY_ENDED, DeploymentComparison
from activities.deployments.readers import DeploymentReader
from activities.deployments.writers import DeploymentWriter
from activities.environments.chains import build_record_environment_chain
from activities.environments.comparing import QUIET_MILLIS, EnvironmentComparison
from activities.jobs.reconcile import CAUSE, Ending
from activities.stores.open import open_memory_stores
from tests.unit.deployment_records import in_status, make_holder, make_state
from workflows.contracts.deployments.deployment import Deployment, DeploymentStatus, DeploymentWrite, Stage
from workflows.contracts.deployments.environments import EnvironmentState, EnvironmentWrite, LiveVersion
from workflows.contracts.ids import deployment_workflow_id
from workflows.environment.presentation import environment_status

NOW = 100_000_000
LONG_AGO = NOW - 10 * QUIET_MILLIS
ID = "00000000-0000-0000-0000-000000000001"
SHOP = ("shop", "production")


class Temporal:
    """What it knows, and in which order it was told what."""

    def __init__(self) -> None:
        self.deployments: dict[str, Deployment] = {}
        self.known: set[str] = set()
        self.locks: dict[tuple[str, str], EnvironmentState] = {}
        self.told: list[str] = []
        self.asked: list[str] = []
        self.deaf = False

    def holds(self, *deployments: Deployment) -> None:
        self.deployments |= {_workflow(each): each for each in deployments}

    async def shown(self) -> Mapping[str, str]:
        return {name: each.status.value for name, each in self.deployments.items()}

    async def state(self, workflow_id: str) -> Deployment | None:
        self.asked.append(workflow_id)
        return self.deployments.get(workflow_id)

    async def is_known(self, workflow_id: str) -> bool:
        return workflow_id in {*self.deployments, *self.known}

    async def end(self, workflow_id: str, why: str) -> None:
        self.told.append(f"end {workflow_id}")


class Locks:
    """The part of it that is about environments."""

    def __init__(self, temporal: Temporal) -> None:
        self.temporal = temporal

    async def shown(self) -> Mapping[tuple[str, str], tuple[str, str]]:
        locks = self.temporal.locks
        return {
            name: (environment_status(each), each.live.version if each.live else "") for name, each in locks.items()
        }

    async def state(self, name: tuple[str, str]) -> EnvironmentState | None:
        self.temporal.asked.append("/".join(name))
        return None if self.temporal.deaf else self.temporal.locks.get(name)

    async def end(self, name: tuple[str, str], why: str) -> None:
        self.temporal.told.append(f"end {'/'.join(name)}")

    async def start(self, name: tuple[str, str]) -> None:
        self.temporal.told.append(f"start {'/'.join(name)}")


class Bench:
    def __init__(self) -> None:
        self.stores, self.temporal = open_memory_stores(), Temporal()
        stores = self.stores
        reader = DeploymentReader(
            stores.deployments, stores.services, stores.environments, stores.events, bans=stores.bans
        )
        writing = build_record_environment_chain(stores.environments)
        environments = EnvironmentComparison(reader.environments_of, writing, Locks(self.temporal), lambda: NOW)
        creation = build_deployment_creation_chain(stores.deployments)
        writer = DeploymentWriter(stores.deployments)
        self.comparison = DeploymentComparison(reader, writer, creation, self.temporal, environments, lambda: NOW)

    async def stored(self, *deployments: Deployment) -> None:
        for each in deployments:
            await self.stores.deployments.write(DeploymentWrite(deployment=each))

    async def lock(self, state: EnvironmentState) -> None:
        await self.stores.environments.write(EnvironmentWrite(state=state))

    async def mend(self) -> list[str]:
        return await self.comparison.mend(self.close)

    async def close(self, deployment_id: str, ending: Ending) -> bool:
        assert ending == Ending(CAUSE, f"{WHY_ENDED} and was ended")
        self.temporal.told.append(f"close {deployment_id}")
        return True


def _workflow(deployment: Deployment) -> str:
    return deployment_workflow_id(deployment.service_name, deployment.version, deployment.deployment_id)


def _deployment(status: str, sequence: int, **changes: Any) -> Deployment:
    facts: dict[str, Any] = {"deployment_id": ID, "updated_at": LONG_AGO, "sequence": sequence, **changes}
    return in_status(DeploymentStatus(status), **facts)


def _lock(sequence: int, version: str | None = None, **changes: Any) -> EnvironmentState:
    live = None
    if version is not None:
        live = LiveVersion(version=version, deployment_id=ID, workflow_id="w", git_commit_sha="a" * 40, since=1)
    facts: dict[str, Any] = {"sequence": sequence, "updated_at": LONG_AGO, "live": live, **changes}
    return make_state(**facts)


async def test_a_record_that_is_behind_is_written_from_its_workflow() -> None:
    bench = Bench()
    await bench.stored(_deployment("staged", 4))
    bench.temporal.holds(_deployment("live", 9))
    assert await bench.mend() == [ID]
    record = await bench.stores.deployments.get(ID)
    assert (record and record.status, bench.temporal.told) == ("live", [])
    assert await bench.mend() == []


async def test_a_workflow_of_an_earlier_moment_is_ended_whatever_became_of_its_deployment() -> None:
    for became in ("production", "live", "superseded", "failed", "rolled_back"):
        bench, record, state = Bench(), _deployment(became, 9), _deployment("staged", 4)
        await bench.stored(record)
        bench.temporal.holds(state)
        assert await bench.mend() == [ID]
        assert bench.temporal.told == [f"end {_workflow(state)}", f"close {ID}"]
        assert await bench.stores.deployments.get(ID) == record


async def test_a_lock_of_an_earlier_moment_ends_first_and_goes_on_from_its_record_before_anybody_tells_it_more() -> (
    None
):
    bench, state = Bench(), _deployment("staged", 4)
    await bench.stored(_deployment("live", 9))
    bench.temporal.holds(state)
    await bench.lock(_lock(9, "1.0"))
    bench.temporal.locks[SHOP] = _lock(4)
    await bench.mend()
    lock = "shop/production"
    assert bench.temporal.told == [f"end {lock}", f"end {_workflow(state)}", f"start {lock}", f"close {ID}"]


async def test_nothing_is_ended_as_long_as_a_lock_of_the_service_does_not_answer() -> None:
    """It would see its holder go, and give the environment to what was live before."""
    bench = Bench()
    await bench.stored(_deployment("live", 9))
    bench.temporal.holds(_deployment("staged", 4))
    await bench.lock(_lock(9, "1.0"))
    bench.temporal.locks[SHOP], bench.temporal.deaf = _lock(4), True
    assert (await bench.mend(), bench.temporal.told) == ([], [])
    bench.temporal.deaf = False
    assert await bench.mend() == [ID]


async def test_one_that_is_lost_has_all_of_them_looked_at() -> None:
    """A turn that was given out and is forgotten shows nowhere: neither the status nor the version says so."""
    bench = Bench()
    gone = _deployment("pending", 4, deployment_id=ID.replace("1", "2"), version="2.0")
    turn = [Stage(environment="production", fence=7)]
    await bench.stored(_deployment("live", 9, stages=turn), gone)
    bench.temporal.holds(_deployment("live", 4))
    await bench.lock(_lock(9, "1.0", holder=make_holder(ID, 7).model_copy(update={"live": True})))
    bench.temporal.locks[SHOP] = _lock(4, "1.0", holder=make_holder(ID, 6).model_copy(update={"live": True}))
    bench.temporal.known.add(_workflow(gone))
    assert (await bench.mend(), bench.temporal.told) == ([], [])
    bench.temporal.known.clear()
    assert await bench.mend() == [ID]
    assert [said for said in bench.temporal.told if "shop/" in said] == ["end shop/production", "start shop/production"]


async def test_what_agrees_is_not_asked() -> None:
    bench = Bench()
    await bench.stored(_deployment("live", 9))
    bench.temporal.holds(_deployment("live", 9))
    await bench.lock(_lock(9, "1.0"))
    bench.temporal.locks[SHOP] = _lock(9, "1.0")
    assert (await bench.mend(), bench.temporal.asked) == ([], [])


async def test_an_approval_that_a_workflow_has_forgotten_is_no_reason_to_end_it() -> None:
    """As when a whole machine stops between an approval's record and its event."""
    bench = Bench()
    await bench.stored(_deployment("staged", 9, waits_for="its turn"))
    bench.temporal.holds(_deployment("staged", 4))
    await bench.lock(_lock(9, "1.0"))
    bench.temporal.locks[SHOP] = _lock(4)
    await bench.mend()
    assert bench.temporal.told == ["end shop/production", "start shop/production"]


async def test_what_is_young_or_has_just_been_started_is_left_alone() -> None:
    for record, state in (
        (_deployment("live", 9, updated_at=NOW), _deployment("staged", 4)),
        (_deployment("live", 9), _deployment("pending", 0)),
        (_deployment("staged", 4), _deployment("live", 9, updated_at=NOW)),
    ):
        bench = Bench()
        await bench.stored(record)
        bench.temporal.holds(state)
        assert (await bench.mend(), bench.temporal.told) == ([], [])
        assert await bench.stores.deployments.get(ID) == record


async def test_a_young_lock_and_one_that_has_just_been_started_are_left_alone() -> None:
    for record, state in (
        (_lock(9, "1.0", updated_at=NOW), _lock(4)),
        (_lock(9, "1.0"), _lock(0)),
        (_lock(4), _lock(9, "1.0", updated_at=NOW)),
    ):
        bench = Bench()
        await bench.lock(record)
        bench.temporal.locks[SHOP] = state
        assert (await bench.mend(), bench.temporal.told) == ([], [])
        assert await bench.stores.environments.get(*SHOP) == record


async def test_an_environments_record_that_is_behind_or_missing_is_written_with_room_for_the_workflows_own_write() -> (
    None
):
    for before in (None, _lock(3)):
        bench = Bench()
        if before is not None:
            await bench.lock(before)
        state = bench.temporal.locks[SHOP] = _lock(9, "1.0")
        await bench.mend()
        record = await bench.stores.environments.get(*SHOP)
        assert record == state.model_copy(update={"sequence": 8})
        assert bench.temporal.told == []
        await bench.lock(state)
        assert await bench.stores.environments.get(*SHOP) == state
