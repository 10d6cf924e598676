"""A fake of our own way to sweeps: the real sweeper over the application's stores, without a workflow."""

from collections.abc import Callable

from activities.retention.sweep import Sweeper, SweepStores
from activities.stores.open import Stores
from workflows.client.storage import WAIT_SECONDS, StorageClient
from workflows.contracts.errors import HybridCIError
from workflows.contracts.storage.retention import RetentionPolicy, Sweep, SweepResult, SweepTask, Swept, SweptKind


class FakeSweeps(StorageClient):
    """``slow``: every sweep takes longer than anybody waits. ``failure`` is raised by every call."""

    def __init__(self, stores: Stores, clock: Callable[[], int]) -> None:  # no client: the base class is not used
        own, self._clock = stores, clock
        self._stores = SweepStores(own.jobs, own.deployments, own.environments, own.logs, own.artifacts, own.storage)
        self.policy = RetentionPolicy()
        self.asked: list[Sweep] = []
        self.slow = False
        self.failure: HybridCIError | None = None

    async def sweep(self, command: Sweep, *, within: float = WAIT_SECONDS) -> SweepResult | None:
        if self.failure is not None:
            raise self.failure
        self.asked.append(command)
        if self.slow:
            return None
        return await self._swept(command)

    async def preview(self, command: Sweep, *, behind: int, within: float) -> SweepResult | None:
        return await self.sweep(command, within=within)

    async def _swept(self, command: Sweep) -> SweepResult:
        sweeper, kinds = Sweeper(self._stores, self.policy, self._clock), list[Swept]()
        for kind in SweptKind:
            kinds.append(await sweeper.run(SweepTask(kind=kind, dry_run=command.dry_run), lambda _: None))
        result = SweepResult(policy=self.policy, kinds=kinds, dry_run=command.dry_run)
        if not command.dry_run:
            await sweeper.keep(result)
        return result
