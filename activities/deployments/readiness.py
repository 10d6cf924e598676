"""Whether what is live could be rolled back now: its target's record, the commit, an agent of the pool. Known before it
is needed, and said when it changes.

Deliberately not here: what the target is (``workflows.deployment.live.targets``), asking an agent (``workflows.task``).
"""

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from activities.clock import Clock
from activities.deployments.readers import DeploymentReader
from workflows.bans import under
from workflows.contracts.agents import Agent
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.environments import (
    EnvironmentState,
    LiveVersion,
    RollbackReadiness,
    SignalEnvironment,
)
from workflows.contracts.deployments.services import Environment
from workflows.contracts.errors import HybridCIError, NotFound
from workflows.contracts.fields import shortened
from workflows.contracts.tasks import ReadyAnswer, ReadyQuestion, TaskOutcome, TaskResult, TaskStart
from workflows.deployment.live.targets import choose, previous_of

ASKED_EVERY_MILLIS: Final = 3_600_000
"""An agent is asked for a commit once an hour."""
_TASKS: Final = uuid.UUID("8d1c6f2e-33b7-5f0a-9f7e-0c7a5c1b9d42")


class Asking(Protocol):
    """Questions to agents."""

    async def ask(self, start: TaskStart) -> TaskStart:
        """Ask; an id that exists asks nothing."""
        ...

    async def result(self, pool: str, task_id: str, *, within: float) -> TaskResult | None:
        """How it ended, None when that is not known yet. Raises NotFound for what was never asked."""
        ...


@dataclass(frozen=True, slots=True)
class Readiness:
    """``members`` gives all agents of a pool, ``tell`` signals an environment."""

    reader: DeploymentReader
    members: Callable[[str], Awaitable[Sequence[Agent]]]
    asking: Asking
    tell: Callable[[SignalEnvironment], Awaitable[None]]
    clock: Clock

    async def look(self, state: EnvironmentState) -> None:
        """Tell the environment when it is otherwise than it knows. Raises Unavailable, and what Temporal raises."""
        live, known = state.live, state.rollback
        if live is None:
            return
        found = await self._found(state, live)
        if found is None or (known is not None and known.same(found)):
            return
        await self.tell(
            SignalEnvironment(service_name=state.service_name, environment=state.environment, rollback_readiness=found)
        )

    async def _found(self, state: EnvironmentState, live: LiveVersion) -> RollbackReadiness | None:
        """None: an agent was asked, and has not answered yet."""
        present = await self._record(live.deployment_id)
        if present is None:
            return None
        stage = present.stage(state.environment)
        before = previous_of(state.history, live.deployment_id, None if stage is None else stage.previous_version)
        bans = (await self.reader.bans(state.service_name)).items
        banned = {each.deployment_id for each in state.history if under(bans, each)}
        choice = choose(state.history, live.deployment_id, before, banned=banned)
        about = RollbackReadiness(live=live.deployment_id, at=self.clock())
        if choice is None:
            why = f"nothing was live before {live.version}" + (" that is not banned" if banned else "")
            return about.model_copy(update={"why": why})
        about = about.model_copy(update={"target_version": choice.target.version})
        target = await self._record(choice.target.deployment_id)
        if target is None:
            return about.not_ready(f"the record of {choice.target.version} was removed by policy")
        environment = _steps_of(present, target, state.environment)
        if environment is None or environment.external:
            return about.model_copy(update={"why": "another CI rolls back here"})
        agents = await self.members(environment.pool)
        if not any(agent.accepts(self.clock()) for agent in agents):
            return about.not_ready(f"no agent of pool {environment.pool} is online; a rollback waits for one")
        return await self._commit(about, target, environment.pool)

    async def _commit(self, about: RollbackReadiness, target: Deployment, pool: str) -> RollbackReadiness | None:
        hour = self.clock() // ASKED_EVERY_MILLIS
        task_id = str(uuid.uuid5(_TASKS, f"{pool}\n{target.git_repo}\n{target.git_commit_sha}\n{hour}"))
        try:
            result = await self.asking.result(pool, task_id, within=0)
        except NotFound:
            await self._ask(target, pool, task_id)
            return None
        except HybridCIError as error:
            return about.model_copy(update={"why": f"nobody could be asked: {shortened(error.message, 200)}"})
        if result is None:
            return None
        answer = result.answer
        if result.outcome is not TaskOutcome.ANSWERED or not isinstance(answer, ReadyAnswer):
            why = f"no agent of pool {pool} could tell whether its commit can be had ({result.outcome.value})"
            return about.model_copy(update={"why": why})
        if not answer.ready:
            return about.not_ready(f"an agent of pool {pool} cannot have it: {answer.why or 'it does not say why'}")
        return about.model_copy(update={"ready": True, "why": f"its commit and an agent of pool {pool} are there"})

    async def _ask(self, target: Deployment, pool: str, task_id: str) -> None:
        question = ReadyQuestion(git_repo=target.git_repo, git_ref=target.git_ref, git_commit_sha=target.git_commit_sha)
        await self.asking.ask(
            TaskStart(
                task_id=task_id,
                pool=pool,
                question=question,
                service=target.service_name,
                by="reconciliation",
                via="workflow",
            )
        )

    async def _record(self, deployment_id: str) -> Deployment | None:
        try:
            return await self.reader.get(deployment_id)
        except NotFound:
            return None


def _steps_of(present: Deployment, target: Deployment, name: str) -> Environment | None:
    """The environment whose steps a rollback runs, as ``workflows.deployment.rollback`` chooses it."""
    own = next((each for each in present.definition.environments if each.name == name), None)
    if own is not None and (own.external or (own.rollback is not None and own.rollback.steps)):
        return own
    return next((each for each in target.definition.environments if each.name == name), own)
