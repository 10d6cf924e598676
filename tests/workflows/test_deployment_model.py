"""Random sequences of what people, monitoring and crashes do to the deployments of one service, on the real server.

Whatever happens: never two jobs at work in one environment, no acknowledged approval is lost, what is live is what the
agent put there last and is never replaced by an older commit but by a rollback or on purpose, nothing that is banned is
rolled out, environment, records and workflows agree in the end, and everything comes to one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from temporalio.client import Client
from temporalio.service import RPCError

from activities.bootstrap import build_activities
from activities.clock import epoch_millis
from tests.workflows.commit_order import Commits, agent_for, ban, sha, unban
from tests.workflows.deployment_harness import BOB, CAT, Deploys
from tests.workflows.deployment_harness import deploys as started_deploys
from tests.workflows.harness import Agent, fail, succeed
from tests.workflows.standing import disagreement
from workflows.contracts.accepted import Accepted
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.deployments.commands import (
    Abort,
    CancelDeployment,
    Promote,
    Reject,
    Resume,
    RollbackCommand,
)
from workflows.contracts.deployments.deployment import Decision, Deployment
from workflows.contracts.deployments.environments import FreezeCommand, HoldCommand, ReleaseCommand, UnfreezeCommand
from workflows.contracts.deployments.line import LetTheLineGo, NewStop, StopKind, StopScope, StopTheLine
from workflows.contracts.errors import HybridCIError

LINE = Commits(c0="", c1="c0", c2="c1", c3="c2", c4="c3", c5="c4")
"""``c0`` is the oldest. Which one is deployed when, chance decides."""
FAR = 4_000_000_000_000
_ON_ITS_WAY_SECONDS = 3
"""A step that began before the stop can be with its agent by then."""
ACTIONS = (
    "start", "approve", "reject", "rollback", "freeze", "unfreeze", "hold", "release", "breach", "well", "cancel",
    "crash", "terminate", "rest", "start_older", "ban", "unban", "back", "back_to", "terminate_live",
    "stop_line", "hold_line", "let_line_go", "promote", "abort", "resume",
)  # fmt: skip
Action = tuple[str, int]
actions = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 5)), min_size=4, max_size=12)


class Model:
    """What was done and acknowledged, and what the agent saw."""

    def __init__(self, deploys: Deploys) -> None:
        self.deploys = deploys
        self.service = deploys.service(
            deploys.environment(
                approval={"required": 1},
                verification={"max_error_rate": 0.1},
                supersede="none",
                rollout={"steps": [{"percent": 50}, {"pause": {"seconds": 1}}, {"percent": 100}]},
            )
        )
        self.commits: dict[str, int] = {}
        self.on_purpose: set[str] = set()
        self.banned: set[str] = set()
        self.never: set[str] = set()
        self.older: list[tuple[str, str]] = []
        self.stopped_at: float | None = None
        self.in_a_stop: list[str] = []
        self.acknowledged: list[tuple[str, str]] = []
        self.terminated: set[str] = set()
        self.at_work: list[str] = []
        self.overlaps: list[tuple[str, str]] = []
        self.put_there: list[str] = []
        for kind in ("deploy production", "rollback production"):
            deploys.script(kind, self._work)

    async def _work(self, attempt: AttemptInput, agent: Agent) -> AttemptResult:
        self.overlaps += [(other, attempt.job_id) for other in self.at_work]
        self.at_work.append(attempt.job_id)
        await asyncio.sleep(0.05)
        self.at_work.remove(attempt.job_id)
        version = attempt.env["HYBRIDCI_VERSION"]
        if attempt.job_type == "deploy":
            await self._must_be_newer(version)
            if self._is_stopped():
                self.in_a_stop.append(version)
        if attempt.job_type == "deploy" and version.endswith("3"):  # every fourth version is a bad one
            return await fail(1)(attempt, agent)
        self.put_there.append(version)
        return await succeed(attempt, agent)

    async def _must_be_newer(self, version: str) -> None:
        """Than what is live now, by the environment's record: it is told before anybody has a turn."""
        state = await self.deploys.stores.environments.get(self.deploys.name, "production")
        if state is None or state.live is None or version in self.on_purpose:
            return
        if self.commits[version] < self.commits[state.live.version]:
            self.older.append((version, state.live.version))

    async def _start(self, which: int, **fields: str) -> None:
        version = f"1.{len(self.deploys.started)}"
        self.commits[version] = which
        if fields:
            self.on_purpose.add(version)
        await self.deploys.start(version, self.service, sha=sha(f"c{which}"), **fields)

    async def _ban(self, version: str) -> None:
        with suppress(HybridCIError):
            await ban(self.deploys, version)
            self.banned.add(version)

    async def _unban(self, version: str) -> None:
        with suppress(HybridCIError):
            await unban(self.deploys, version)
            self.banned.discard(version)

    def _is_stopped(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self.stopped_at is not None and now - self.stopped_at > _ON_ITS_WAY_SECONDS

    async def do(self, action: str, which: int) -> None:
        """Do it to one of the deployments; a refusal is an answer too."""
        deploys, started = self.deploys, self.deploys.started
        if action == "start":
            await self._start(which)
        elif action == "start_older":
            await self._start(which, allow_older="it is needed")
        elif action == "ban":  # also one that nobody has started yet
            await self._ban(f"1.{which + 1}")
            self.never |= {f"1.{which + 1}"} if which + 1 >= len(started) else set()
        elif action == "unban":
            await self._unban(f"1.{which + 1}")
            self.never.discard(f"1.{which + 1}")
        elif action == "rest":
            await asyncio.sleep(0.1)
        elif action == "crash":
            await deploys.crash()
        elif action in {"stop_line", "hold_line", "let_line_go"}:
            await self._to_line(action)
        elif action in {"freeze", "unfreeze", "hold", "release"}:
            await self._to_environment(action)
        elif action in {"back", "back_to", "terminate_live"}:
            await self._to_what_is_live(action, which)
        elif started:
            await self._to_deployment(action, started[which % len(started)], which)

    async def _to_environment(self, action: str) -> None:
        commands = {
            "freeze": FreezeCommand(by=BOB, freeze_id="f", name="fair", ends_at=FAR),
            "unfreeze": UnfreezeCommand(by=BOB, freeze_id="f"),
            "hold": HoldCommand(by=BOB, reason="look"),
            "release": ReleaseCommand(by=BOB),
        }
        with suppress(HybridCIError):
            await self.deploys.releases.command_environment(self.deploys.name, "production", commands[action])

    async def _to_what_is_live(self, action: str, which: int) -> None:
        """As the API does it, whatever workflows there are; ``which`` of those that were live to go to."""
        state = await self.deploys.stores.environments.get(self.deploys.name, "production")
        if state is None or state.live is None:
            return
        live = await self.deploys.stores.deployments.get(state.live.deployment_id)
        assert live is not None
        if action == "terminate_live":
            with suppress(RPCError):
                await self.deploys.handle(live).terminate("somebody's hand")
            return
        to = state.history[which % len(state.history)].version if action == "back_to" else None
        with suppress(HybridCIError, Accepted):
            await self.deploys.releases.roll_back_live(live, RollbackCommand(by=BOB, reason="slow", to_version=to))

    async def sweep(self) -> None:
        """The minute's, as it finds what has been so for a while."""
        deploys = self.deploys
        bodies = build_activities(
            deploys.stores, deploys.client, approvals=deploys.approving, clock=lambda: epoch_millis() + 60_000
        )
        await deploys.stores.services.put(self.service, expected_version=None, events=[])
        await bodies.deployments.live.run(lambda checked: None)

    async def _to_line(self, action: str) -> None:
        """A stop of all services; a promotion does not pass it."""
        releases, everything = self.deploys.releases, StopScope(all_services=True)
        found = (await self.deploys.stores.line.get()).stop("s")
        if action == "let_line_go":
            self.stopped_at = None
            with suppress(HybridCIError):
                await releases.change_line(LetTheLineGo(by=BOB, stop_id="s", scope=everything))
            return
        kind = StopKind.HOLD if action == "hold_line" else StopKind.FREEZE
        ends_at = None if kind is StopKind.HOLD else FAR
        new = NewStop(stop_id="s", kind=kind, name="s", scope=everything, ends_at=ends_at, allow_override=False)
        replaces = None if found is None else found.scope
        await releases.change_line(StopTheLine(by=BOB, reason="look", stop=new, replaces=replaces))
        self.stopped_at = asyncio.get_running_loop().time()

    async def _to_deployment(self, action: str, deployment: Deployment, which: int = 0) -> None:
        releases = self.deploys.releases
        actions: Mapping[str, Callable[[], Awaitable[object]]] = {
            "approve": lambda: self._approve(deployment),
            "reject": lambda: releases.command(deployment, Reject(by=CAT, reason="no")),
            "rollback": lambda: releases.command(deployment, RollbackCommand(by=BOB, reason="slow")),
            "breach": lambda: self.deploys.measure(deployment, error_rate=0.9, source=f"reporter-{which % 3}"),
            "well": lambda: self.deploys.measure(deployment, error_rate=0.01, source=f"reporter-{which % 3}"),
            "cancel": lambda: releases.command(deployment, CancelDeployment(by=BOB)),
            "promote": lambda: releases.command(deployment, Promote(by=BOB, reason="now", full=True)),
            "abort": lambda: releases.command(deployment, Abort(by=BOB, reason="bad")),
            "resume": lambda: releases.command(deployment, Resume(by=BOB, reason="well")),
            "terminate": lambda: self._terminate(deployment),
        }
        with suppress(HybridCIError):
            await actions[action]()

    async def _approve(self, deployment: Deployment) -> None:
        await self.deploys.approve(deployment, BOB)
        self.acknowledged.append((deployment.deployment_id, BOB))

    async def _terminate(self, deployment: Deployment) -> None:
        with suppress(RPCError):
            await self.deploys.handle(deployment).terminate("somebody's hand")
            self.terminated.add(deployment.deployment_id)

    async def settle(self) -> list[Deployment]:
        """Let everything go on, and wait until each deployment has ended, is live, or was terminated."""
        found: list[Deployment] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(120):
                while True:
                    found = await self._go_on()
                    moving = [each for each in found if self._moves(each)]
                    if not moving and not self.at_work:
                        await self.sweep()
                        if await disagreement(self.deploys) is None:
                            return [await self.deploys.get(each) for each in self.deploys.started]
                    await asyncio.sleep(0.1)
        environment = await self.deploys.stores.environments.get(self.deploys.name, "production")
        why = await disagreement(self.deploys)
        raise AssertionError(f"never settled: {why}; at work {self.at_work}; {environment}; {found}")

    async def _go_on(self) -> list[Deployment]:
        """Take away whatever people must take away. Returns the records."""
        await self._to_environment("release")
        await self._to_environment("unfreeze")
        await self._to_line("let_line_go")
        found = [await self.deploys.get(each) for each in self.deploys.started]
        for each in found:
            if self._moves(each) and "approv" in (each.waits_for or ""):
                await self._to_deployment("approve", each)
        return found

    def _moves(self, deployment: Deployment) -> bool:
        return not deployment.closed and deployment.status != "live" and deployment.deployment_id not in self.terminated

    def arrived(self, found: list[Deployment]) -> list[str]:
        """What was put there, without what failed (a cancel can come when its command has just ended well)."""
        failed = {each.version for each in found if each.status == "failed"}
        return [version for version in self.put_there if version not in failed]


@pytest.fixture(scope="module")
def server(temporal_client: Client) -> Client:
    return temporal_client


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(done=actions)
@example(
    done=[("start", 0), ("approve", 0), ("rest", 0), ("start", 0), ("approve", 1), ("rollback", 0), ("rollback", 1)]
)
@example(
    done=[("start", 3), ("start", 1), ("approve", 1), ("approve", 2), ("rest", 0), ("start_older", 0), ("crash", 0)]
)
@example(done=[("approve", 0), ("start", 2), ("ban", 0), ("approve", 1), ("ban", 1), ("start", 4), ("unban", 0)])
@example(
    done=[
        ("approve", 0), ("rest", 0), ("start", 0), ("approve", 1), ("rest", 0), ("start", 0), ("approve", 2),
        ("rest", 0), ("back", 0), ("rest", 0), ("back", 0), ("rest", 0), ("back_to", 1), ("terminate_live", 0),
        ("back", 0),
    ]
)  # fmt: skip
@example(done=[("cancel", 0), ("start", 0), ("release", 0), ("cancel", 0), ("rollback", 1), ("breach", 0)])
@example(done=[("start", 0), ("start", 0), ("approve", 0), ("terminate", 0), ("approve", 1), ("crash", 0), ("hold", 0)])
@example(done=[("start", 0), ("freeze", 0), ("approve", 0), ("crash", 0), ("unfreeze", 0), ("start", 0), ("cancel", 1)])
@example(done=[("approve", 0), ("stop_line", 0), *[("rest", 0)] * 40, ("promote", 0), ("crash", 0), ("let_line_go", 0)])
@example(done=[("hold_line", 0), ("approve", 0), *[("rest", 0)] * 40, ("start", 0), ("approve", 1), ("abort", 0)])
async def test_no_sequence_leads_astray(server: Client, done: list[Action]) -> None:
    async with started_deploys(server) as deploys, agent_for(deploys, LINE):
        model = Model(deploys)
        for action, which in [("start", 0), *done]:
            await model.do(action, which)
        found = await model.settle()
        assert model.overlaps == []
        assert model.older == []
        assert model.never.isdisjoint(ran.env["HYBRIDCI_VERSION"] for ran in deploys.ran if ran.kind == "deploy")
        assert model.in_a_stop == []
        for deployment_id, by in model.acknowledged:
            record = next(each for each in found if each.deployment_id == deployment_id)
            if deployment_id not in model.terminated:
                assert by in [entry.by for entry in record.approvals if entry.decision is Decision.APPROVE]
        if model.arrived(found) and not model.terminated:  # the environment hears of it just after the record
            last = model.arrived(found)[-1]
            await deploys.until_environment(lambda state: state.live is not None and state.live.version == last)
