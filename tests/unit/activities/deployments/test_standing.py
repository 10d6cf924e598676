"""The minute's comparison of what is live: what is started again, what is superseded, what is left alone."""

from typing import Any

import pytest

from activities.deployments.readers import DeploymentReader
from activities.deployments.readiness import ASKED_EVERY_MILLIS, Readiness
from activities.deployments.reconcile import DeploymentReconciler
from activities.deployments.standing import QUIET_MILLIS, LiveSweeper
from activities.deployments.writers import DeploymentWriter
from activities.jobs.reconcile import CAUSE
from activities.stores.open import Stores, open_memory_stores
from tests.unit.activities.deployments.test_reconcile import FakeDeploymentWorkflows
from tests.unit.deployment_records import in_status, make_environment, make_holder, make_spec, make_state
from workflows.contracts.agents import Agent
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.deployment import Deployment, DeploymentStatus, DeploymentWrite
from workflows.contracts.deployments.environments import EnvironmentWrite, LiveVersion, RollbackReadiness
from workflows.contracts.deployments.reopening import LiveSwept
from workflows.contracts.deployments.services import Service
from workflows.contracts.errors import NotFound
from workflows.contracts.ids import deployment_workflow_id
from workflows.contracts.tasks import ReadyAnswer, TaskOutcome, TaskResult, TaskStart

NOW = 100_000_000
LONG_AGO = NOW - 10 * QUIET_MILLIS


class Asking:
    """Answers what was asked before."""

    def __init__(self, answer: TaskResult | None = None) -> None:
        self.answer, self.asked = answer, list[TaskStart]()

    async def ask(self, start: TaskStart) -> TaskStart:
        self.asked.append(start)
        return start

    async def result(self, pool: str, task_id: str, *, within: float) -> TaskResult | None:
        if task_id not in [each.task_id for each in self.asked]:
            raise NotFound("never asked")
        return self.answer


class Bench:
    def __init__(self, how: str | None = "terminated", running: set[str] | None = None, now: int = NOW) -> None:
        self.stores: Stores = open_memory_stores()
        self.workflows = FakeDeploymentWorkflows(how, running)
        self.now, self.agents = now, list[Agent]()
        self.asking = Asking()
        reader = DeploymentReader(
            self.stores.deployments,
            self.stores.services,
            self.stores.environments,
            self.stores.events,
            bans=self.stores.bans,
        )
        writer = DeploymentWriter(self.stores.deployments)
        reconciler = DeploymentReconciler(reader, writer, self.workflows, self.clock)
        readiness = Readiness(reader, self.members, self.asking, self.workflows.signal_environment, self.clock)
        self.sweeper = LiveSweeper(reader, writer, self.workflows, reconciler, readiness, self.clock)

    def clock(self) -> int:
        return self.now

    async def members(self, pool: str) -> list[Agent]:
        return self.agents

    async def sweep(self) -> LiveSwept:
        return await self.sweeper.run(lambda checked: None)

    async def deployment(self, status: str, name: str = "d1", **changes: Any) -> Deployment:
        facts: dict[str, Any] = {"updated_at": LONG_AGO, "sequence": 4, **changes}
        deployment = in_status(DeploymentStatus(status), deployment_id=name, **facts)
        await self.stores.deployments.write(DeploymentWrite(deployment=deployment))
        return deployment

    async def environment(self, live: Deployment | None, *before: Deployment, **changes: Any) -> None:
        spec = make_spec() if live is None else live.definition
        service = Service(name="shop", version=1, spec=spec, created_at=1, updated_at=1)
        await self.stores.services.put(service, expected_version=None, events=[])
        history = [] if live is None else [_live(each) for each in (live, *before)]
        facts: dict[str, Any] = {"live": history[0] if history else None, "history": history, "updated_at": LONG_AGO}
        state = make_state(sequence=1, fence=9, **facts | changes)
        await self.stores.environments.write(EnvironmentWrite(state=state))

    async def record(self, name: str = "d1") -> Deployment:
        found = await self.stores.deployments.get(name)
        assert found is not None
        return found

    def restored(self) -> list[str]:
        return [told.restore_live.deployment_id for told in self.workflows.told if told.restore_live is not None]

    def readiness(self) -> list[RollbackReadiness]:
        return [told.rollback_readiness for told in self.workflows.told if told.rollback_readiness is not None]


def _live(deployment: Deployment) -> LiveVersion:
    return LiveVersion(
        version=deployment.version,
        deployment_id=deployment.deployment_id,
        workflow_id=_workflow(deployment),
        git_commit_sha=deployment.git_commit_sha,
        since=1,
    )


def _workflow(deployment: Deployment) -> str:
    return deployment_workflow_id(deployment.service_name, deployment.version, deployment.deployment_id)


async def test_a_live_version_whose_workflow_was_terminated_is_started_again_and_the_trail_says_why() -> None:
    bench = Bench()
    await bench.environment(await bench.deployment("live"))
    swept = await bench.sweep()
    assert (swept.restored, bench.restored()) == (["d1"], ["d1"])
    assert bench.workflows.told[0].restore_live is not None
    assert bench.workflows.told[0].restore_live.why == "Its workflow was terminated in Temporal"
    record = await bench.record()
    assert (record.status, record.closed, record.cause) == ("live", True, CAUSE)
    events = await bench.stores.events.list(EventQuery(deployment_id="d1"))
    assert [event.action for event in events.items] == ["deployment.workflow_terminated"]
    bench.now += QUIET_MILLIS
    await bench.sweep()
    assert bench.restored() == ["d1", "d1"], "until it runs; the trail has it once"
    assert len((await bench.stores.events.list(EventQuery(deployment_id="d1"))).items) == 1


async def test_a_live_record_without_a_workflow_that_was_replaced_is_superseded() -> None:
    """Of before: its environment has another version for long."""
    bench = Bench()
    await bench.deployment("live", closed=True, cause=CAUSE)
    other = await bench.deployment("superseded", "d2", version="1.1")
    await bench.environment(other, updated_at=NOW)
    assert (await bench.sweep()).superseded == ["d1"]
    record = await bench.record()
    assert (record.status, record.superseded_by, record.closed) == ("superseded", "d2", True)
    assert "1.1 (deployment d2) took its place" in (record.error_message or "")
    assert (await bench.sweep()).superseded == []


async def test_a_live_record_without_a_workflow_where_nothing_is_live_any_more_is_ended() -> None:
    bench = Bench()
    await bench.deployment("live")
    await bench.environment(None, updated_at=NOW - QUIET_MILLIS + 1)
    assert (await bench.sweep()).superseded == [], "it has just changed"
    bench.now += 1
    assert ((await bench.sweep()).superseded, bench.restored()) == (["d1"], [])
    record = await bench.record()
    assert (record.status, record.cause, record.closed) == ("superseded", "retired", True)
    events = await bench.stores.events.list(EventQuery(deployment_id="d1"))
    assert [event.action for event in events.items] == ["deployment.retired"]
    assert (await bench.sweep()).superseded == []


@pytest.mark.parametrize("status", ["superseded", "rolled_back"])
async def test_what_came_back_before_there_was_this_is_live_again(status: str) -> None:
    bench = Bench()
    record = await bench.deployment(status, with_rollback=status == "rolled_back")
    await bench.environment(record)
    assert (await bench.sweep()).restored == ["d1"]
    assert bench.restored() == ["d1"]
    assert await bench.record() == record, "its own workflow writes it"


async def test_what_is_left_alone() -> None:
    live = in_status(DeploymentStatus.LIVE, deployment_id="d1")
    cases: list[tuple[Bench, str, dict[str, Any], dict[str, Any]]] = [
        (Bench(running={_workflow(live)}), "live", {}, {"holder": make_holder("d1", 9)}),
        (Bench(None), "live", {}, {}),
        (Bench(now=LONG_AGO + QUIET_MILLIS - 1), "live", {}, {}),
        (Bench(now=LONG_AGO + QUIET_MILLIS - 1), "superseded", {}, {}),
        (Bench(), "failed", {"cause": "rollback_failed"}, {}),
        (Bench(), "failed", {"closed": False}, {}),
        (Bench(), "superseded", {}, {"holder": make_holder("d9", 9).model_copy(update={"live": True})}),
    ]
    for bench, status, record, state in cases:
        stored = await bench.deployment(status, with_rollback=status == "failed", **record)
        await bench.environment(stored, **state)
        swept = await bench.sweep()
        assert (swept.restored, swept.superseded, bench.restored()) == ([], [], []), (status, record, state)
        assert await bench.record() == stored


async def test_a_live_version_that_holds_nothing_is_told_to() -> None:
    live = in_status(DeploymentStatus.LIVE, deployment_id="d1")
    bench = Bench(running={_workflow(live)})
    await bench.environment(await bench.deployment("live"))
    await bench.sweep()
    assert bench.restored() == ["d1"]


def agent(**changes: Any) -> Agent:
    facts: dict[str, Any] = {
        "agent_id": "a",
        "instance": "i",
        "pool": "default",
        "registered_at": NOW,
        "tasks": ["ready"],
    }
    return Agent(**facts | changes)


async def ready(bench: Bench, *, target: bool = True, **definition: Any) -> None:
    spec = make_spec(make_environment("staging"), make_environment("production", **definition))
    live = await bench.deployment("live", "d2", version="1.1", definition=spec)
    before = in_status(DeploymentStatus.SUPERSEDED, deployment_id="d1", updated_at=LONG_AGO, sequence=1)
    if target:
        await bench.stores.deployments.write(DeploymentWrite(deployment=before))
    bench.workflows.running = {_workflow(live)}
    await bench.environment(live, before, holder=make_holder("d2", 9))
    stages = [each.model_copy(update={"previous_version": "1.0"}) for each in live.stages]
    await bench.stores.deployments.write(
        DeploymentWrite(deployment=live.model_copy(update={"stages": stages, "sequence": 5}), previous=live.status)
    )


async def test_whether_one_can_go_back_is_known_before_it_is_needed() -> None:
    bench = Bench()
    await ready(bench)
    await bench.sweep()
    (told,) = bench.readiness()
    assert (told.live, told.target_version, told.ready) == ("d2", "1.0", False)
    assert told.why == "no agent of pool default is online; a rollback waits for one"
    bench.agents.append(agent())
    await bench.sweep()
    assert len(bench.readiness()) == 1, "an agent was asked"
    (asked,) = bench.asking.asked
    assert (asked.pool, asked.question.kind, asked.via) == ("default", "ready", "workflow")
    for answer, said, why in (
        (ReadyAnswer(ready=True, commit=True), True, "its commit and an agent of pool default are there"),
        (ReadyAnswer(ready=False, commit=False, why="no such commit"), False, "no such commit"),
    ):
        bench.asking.answer = TaskResult(task_id="t", pool="default", outcome=TaskOutcome.ANSWERED, answer=answer)
        await bench.sweep()
        told = bench.readiness()[-1]
        assert (told.ready, why in told.why) == (said, True)
    bench.asking.answer = TaskResult(task_id="t", pool="default", outcome=TaskOutcome.NOT_OFFERED)
    await bench.sweep()
    assert bench.readiness()[-1].ready is None
    assert len(bench.asking.asked) == 1
    bench.now += ASKED_EVERY_MILLIS
    bench.agents[:] = [agent(registered_at=bench.now)]
    await bench.sweep()
    assert len(bench.asking.asked) == 2, "once an hour"


async def test_only_what_is_new_is_told() -> None:
    bench = Bench()
    await ready(bench)
    await bench.sweep()
    state = await bench.stores.environments.get("shop", "production")
    assert state is not None
    known = state.model_copy(update={"rollback": bench.readiness()[0], "sequence": 2})
    await bench.stores.environments.write(EnvironmentWrite(state=known))
    bench.now += 1
    await bench.sweep()
    assert len(bench.readiness()) == 1


@pytest.mark.parametrize(
    ("given", "said", "why"),
    [
        ({"target": False}, False, "the record of 1.0 was removed"),
        ({"external": True, "steps": []}, None, "another CI rolls back here"),
        (
            {"rollback": {"steps": [{"name": "b", "run": "x"}]}, "pool": "blue"},
            False,
            "no agent of pool blue is online",
        ),
    ],
)
async def test_why_one_cannot_go_back(given: dict[str, Any], said: bool | None, why: str) -> None:
    bench = Bench()
    await ready(bench, **given)
    await bench.sweep()
    (told,) = bench.readiness()
    assert (told.ready, why in told.why) == (said, True), told
