"""Environments whose open workflow and record say different things, as after a restore of two different moments.

Where the workflow knows more, its record is written from it. Where the record knows more, the workflow is named as
outdated: who asks ends it and starts it again, from its record. Deliberately not here: when all of them are looked at,
and what of deployments is then put right (``activities.deployments.outdated``).
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from temporalio.service import RPCError

from activities.bounded import gather_bounded
from activities.chaining.chains import NamedChain, run_chain
from activities.clock import Clock
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.deployments.environments import EnvironmentState, EnvironmentWrite
from workflows.contracts.errors import HybridCIError
from workflows.environment.presentation import environment_status

logger = logging.getLogger(__name__)

QUIET_MILLIS: Final = 60_000
EnvironmentName = tuple[str, str]
"""A service, and an environment of it."""


class OpenEnvironments(Protocol):
    """What the open workflows of environments say. Temporal's errors pass through."""

    async def shown(self) -> Mapping[EnvironmentName, tuple[str, str]]:
        """The status and the live version that each shows; may lag behind by seconds."""
        ...

    async def state(self, name: EnvironmentName) -> EnvironmentState | None:
        """What its workflow knows now; None: there is no open one, or it does not answer."""
        ...

    async def end(self, name: EnvironmentName, why: str) -> None:
        """End the workflow where it stands."""
        ...

    async def start(self, name: EnvironmentName) -> None:
        """Start one, which goes on from its record; one that is open stays."""
        ...


@dataclass(slots=True)
class ComparedEnvironments:
    """``outdated``: whose workflow is behind its record. ``silent``: who could not be asked."""

    outdated: set[EnvironmentName] = field(default_factory=set[EnvironmentName])
    silent: set[EnvironmentName] = field(default_factory=set[EnvironmentName])


@dataclass(frozen=True, slots=True)
class EnvironmentComparison:
    """Safe to repeat and to run twice at once: writes are ordered. ``read`` finds the records that there are."""

    read: Callable[[Sequence[EnvironmentName]], Awaitable[list[EnvironmentState]]]
    writing: NamedChain
    workflows: OpenEnvironments
    clock: Clock

    async def look(self, *, thoroughly: bool) -> ComparedEnvironments:
        """Workflows that are behind their records; records that are behind are written on the way.

        Only those are asked that show something else than their record, but ``thoroughly``. Raises Unavailable.
        """
        shown = await self.workflows.shown()  # before the records: a workflow goes on meanwhile, its record never back
        records = {(each.service_name, each.environment): each for each in await self.read(list(shown))}
        suspects = [name for name, said in shown.items() if thoroughly or _said(records.get(name)) != said]
        found = ComparedEnvironments()
        answers = await gather_bounded(lambda name: self._compare(found, name, records.get(name)), suspects)
        for name, answer in zip(suspects, answers, strict=True):
            if isinstance(answer, HybridCIError | RPCError):  # one must not hold up the others
                named = {"service": name[0], "environment": name[1], "because": str(answer)}
                logger.warning("a record was not put right", extra=named)
                found.silent.add(name)
            elif isinstance(answer, Exception):
                raise answer
        return found

    async def _compare(
        self, found: ComparedEnvironments, name: EnvironmentName, stored: EnvironmentState | None
    ) -> None:
        if stored is not None and not self._is_quiet(stored):
            return
        state = await self.workflows.state(name)
        known = 0 if stored is None else stored.sequence
        if state is None:
            found.silent.add(name)
        elif state.sequence == 0 or not self._is_quiet(state):
            return  # 0: it has just been started, and has yet to read its record
        elif state.sequence - 1 > known:
            await self._write(state)
        elif state.sequence < known:
            found.outdated.add(name)

    async def _write(self, state: EnvironmentState) -> None:
        """One number lower: should its workflow be about to write it, with what it has to tell, that comes after."""
        behind = state.model_copy(update={"sequence": state.sequence - 1})
        write = EnvironmentWrite(state=behind)
        outcome = await run_chain(self.writing, {"write": write}, result="outcome", kind=WriteOutcome)
        if outcome is WriteOutcome.APPLIED:
            told = {"service": state.service_name, "environment": state.environment}
            logger.warning("an environment's record was written from its workflow", extra=told)

    def _is_quiet(self, state: EnvironmentState) -> bool:
        return self.clock() - state.updated_at >= QUIET_MILLIS


def _said(record: EnvironmentState | None) -> tuple[str, str]:
    if record is None:
        return "", ""
    return environment_status(record), "" if record.live is None else record.live.version
