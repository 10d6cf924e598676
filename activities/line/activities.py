"""The control worker's activities for the line: change it, tell who waits, say what stops an environment. Names and
types are the stubs' of ``workflows.contracts.activities``.

Deliberately not here: the rules (``workflows.line``), recurring windows (``activities.environments.freezes``).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from temporalio import activity

from activities.chaining.chains import NamedChain, run_chain
from activities.environments.freezes import check_freeze
from activities.errors import speaks_temporal
from activities.events.witness import Witness
from workflows.contracts.deployments.environments import EnvironmentState, Freeze, FreezeQuestion
from workflows.contracts.deployments.line import (
    LineChange,
    LineChanged,
    LineState,
    LineStop,
    StopAnswer,
    StopInForce,
    StopKind,
    StopQuestion,
    StopScope,
)
from workflows.contracts.deployments.services import Service
from workflows.contracts.errors import NotFound
from workflows.contracts.who import Message

M = TypeVar("M", bound=Message)
_THROUGH_THE_API: Final = "Stop the line through the API: `hybridci freeze add --all …`."


@dataclass(frozen=True, slots=True)
class LineActivities:
    """The bodies, with what they need. ``all`` is what a Worker registers.

    ``environment`` and ``service`` read records and raise NotFound; ``tell`` sends the signal to the environments that
    any of the scopes may concern, calls back for each, and returns how many these were.
    """

    changing: NamedChain
    reading: NamedChain
    environment: Callable[[str, str], Awaitable[EnvironmentState]]
    service: Callable[[str], Awaitable[Service]]
    tell: Callable[[Sequence[StopScope], Callable[[], None]], Awaitable[int]]
    witness: Witness

    def all(self) -> Sequence[Callable[..., Any]]:
        """Every activity, for ``Worker(activities=…)``."""
        return [self.change_line, self.tell_environments, self.check_stops]

    @activity.defn(name="change_line")
    @speaks_temporal
    async def change_line(self, change: LineChange) -> LineChanged:
        """Add or end one, with its event. Raises validation_failed, invalid_state, both not retryable."""
        heard = LineChange(
            stop=None if change.stop is None else self._heard(change.stop),
            go=None if change.go is None else self._heard(change.go),
        )
        made = {"change": heard, "change_id": f"{activity.info().workflow_id}-changed"}
        return await run_chain(self.changing, made, result="changed", kind=LineChanged)

    @activity.defn(name="tell_environments")
    @speaks_temporal
    async def tell_environments(self, scopes: list[StopScope]) -> int:
        """Let the open environments that these may concern look again. Returns how many were told."""
        return await self.tell(scopes, activity.heartbeat)

    @activity.defn(name="check_stops")
    @speaks_temporal
    async def check_stops(self, question: StopQuestion) -> StopAnswer:
        """What stops this environment now."""
        line = await run_chain(self.reading, {}, result="line", kind=LineState)
        found = [_wide(stop) for stop in await self._of_line(line, question)]
        if question.of_environment:
            found += await self._of_environment(question)
        return StopAnswer(stops=found)

    async def _of_line(self, line: LineState, question: StopQuestion) -> list[LineStop]:
        in_force = [stop for stop in line.stops if stop.in_force(question.at)]
        by_label = any(stop.scope.labels for stop in in_force)
        labels = await self._labels(question.service_name) if by_label else {}
        return [s for s in in_force if s.scope.concerns(question.service_name, question.environment, labels)]

    async def _labels(self, service_name: str) -> dict[str, str]:
        try:
            return (await self.service(service_name)).spec.labels
        except NotFound:
            return {}

    async def _of_environment(self, question: StopQuestion) -> list[StopInForce]:
        found = await self._recurring(question)
        try:
            state = await self.environment(question.service_name, question.environment)
        except NotFound:
            return found
        if state.hold is not None:
            hold = state.hold
            found.append(StopInForce(kind=StopKind.HOLD, name="hold", by=hold.by, reason=hold.reason, since=hold.at))
        return found + [_own(each) for each in state.freezes if each.starts_at <= question.at < each.ends_at]

    async def _recurring(self, question: StopQuestion) -> list[StopInForce]:
        if not question.freeze_windows:
            return []
        asked = FreezeQuestion(at=question.at, windows=question.freeze_windows)
        answer = await asyncio.to_thread(check_freeze, asked)
        if answer.until is None:
            return []
        return [StopInForce(kind=StopKind.FREEZE, name=answer.name or "a recurring freeze", until=answer.until)]

    def _heard(self, message: M) -> M:
        workflow_id = activity.info().workflow_id
        self.witness.doubt(message.claim(), workflow_id, instead=_THROUGH_THE_API)
        return self.witness.heard(message, workflow_id)


def _wide(stop: LineStop) -> StopInForce:
    return StopInForce(
        kind=stop.kind,
        name=stop.name,
        by=stop.by,
        reason=stop.reason,
        since=stop.starts_at,
        until=stop.ends_at,
        allow_override=stop.allow_override,
        wide_id=stop.stop_id,
        scope=stop.scope.words(),
    )


def _own(freeze: Freeze) -> StopInForce:
    return StopInForce(
        kind=StopKind.FREEZE,
        name=freeze.name,
        by=freeze.by,
        reason=freeze.reason,
        since=freeze.starts_at,
        until=freeze.ends_at,
    )
