"""The control worker's activities for environments: contract in, chain (or Temporal), contract out. Names and types are
the stubs' of ``workflows.contracts.activities``.

Deliberately not here: the rules (links, ``freezes``), whose turn it is (``workflows.environment``), Temporal's client
(``temporal``).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.chaining.chains import NamedChain, run_chain
from activities.environments import freezes
from activities.errors import speaks_temporal
from activities.events.witness import Witness
from activities.fitting import shorter_environment, written
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.deployments.environments import (
    EnvironmentInput,
    EnvironmentState,
    EnvironmentWrite,
    FreezeAnswer,
    FreezeQuestion,
    SignalEnvironment,
)
from workflows.contracts.deployments.reopening import TellLive
from workflows.contracts.errors import ErrorCode, NotFound

HEARTBEAT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class EnvironmentActivities:
    """The bodies, with what they need. ``all`` is what a Worker registers.

    ``read`` takes a service's and an environment's name and raises NotFound; ``send`` and ``closed`` are those of
    ``TemporalWorkflows``, ``live`` that of ``LiveVersions``.
    """

    writing: NamedChain
    read: Callable[[str, str], Awaitable[EnvironmentState]]
    send: Callable[[SignalEnvironment], Awaitable[None]]
    closed: Callable[[str], Awaitable[str]]
    witness: Witness
    live: Callable[[TellLive], Awaitable[None]]

    def all(self) -> Sequence[Callable[..., Any]]:
        """Every activity, for ``Worker(activities=…)``."""
        return [
            self.signal_environment,
            self.load_environment,
            self.record_environment,
            self.check_freeze,
            self.await_closed,
            self.tell_live,
        ]

    @activity.defn(name="signal_environment")
    @speaks_temporal
    async def signal_environment(self, signal: SignalEnvironment) -> None:
        """Send one signal to the environment's workflow, starting it when there is none."""
        await self.send(signal)

    @activity.defn(name="tell_live")
    @speaks_temporal
    async def tell_live(self, tell: TellLive) -> None:
        """Tell what is live that it holds its environment, starting its workflow when there is none."""
        await self.live(tell)

    @activity.defn(name="load_environment")
    @speaks_temporal
    async def load_environment(self, start: EnvironmentInput) -> EnvironmentState | None:
        """The environment's record as last written, or None."""
        try:
            return await self.read(start.service_name, start.environment)
        except NotFound:
            return None

    @activity.defn(name="record_environment")
    @speaks_temporal
    async def record_environment(self, write: EnvironmentWrite) -> None:
        """Write the environment's record and events. A write that is there already, or older, changes nothing."""
        events = self.witness.attested(write.events, activity.info().workflow_id)
        attested = write.model_copy(update={"events": events})
        await written(self._write, attested, shorter_environment)

    async def _write(self, write: EnvironmentWrite) -> WriteOutcome:
        return await run_chain(self.writing, {"write": write}, result="outcome", kind=WriteOutcome)

    @activity.defn(name="check_freeze")
    @speaks_temporal
    async def check_freeze(self, question: FreezeQuestion) -> FreezeAnswer:
        """Is one of these recurring freezes on? Raises validation_failed for one that cannot be read."""
        return await asyncio.to_thread(freezes.check_freeze, question)

    @activity.defn(name="await_closed")
    @speaks_temporal
    async def await_closed(self, workflow_id: str) -> str:
        """Wait until this workflow has closed, however it did. Returns its status in lower case, or ``not_found``.

        A worker that stops hands the waiting to another one at once instead of making its own stop wait.
        """
        waiting = asyncio.ensure_future(self.closed(workflow_id))
        stopping = asyncio.ensure_future(activity.wait_for_worker_shutdown())
        try:
            while True:
                activity.heartbeat()
                await asyncio.wait({waiting, stopping}, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if waiting.done():
                    return waiting.result()
                if stopping.done():
                    raise _handed_over(workflow_id)
        finally:
            waiting.cancel()
            stopping.cancel()
            await asyncio.gather(waiting, stopping, return_exceptions=True)


def _handed_over(workflow_id: str) -> ApplicationError:
    """Benign: no worker logs it, it is how a worker stops."""
    return ApplicationError(
        f"This worker stops; another one goes on waiting for {workflow_id}.",
        type=ErrorCode.UNAVAILABLE.value,
        category=ApplicationErrorCategory.BENIGN,
    )
