"""StorageStore in memory, for unit tests: it counts nothing."""

from activities.stores.interfaces.amounts import Amount
from activities.stores.interfaces.storage import TableSize
from workflows.contracts.storage.retention import SweepState


class MemoryStorageStore:
    """StorageStore without tables."""

    def __init__(self) -> None:
        self._state = SweepState()

    async def tables(self) -> list[TableSize]:
        """See StorageStore."""
        return []

    async def oldest(self) -> dict[str, int]:
        """See StorageStore."""
        return {}

    async def logs(self, at_most: int) -> Amount:
        """See StorageStore."""
        return Amount()

    async def artifacts(self, at_most: int) -> Amount:
        """See StorageStore."""
        return Amount()

    async def expired(self, now: int, at_most: int, *, remove: bool) -> Amount:
        """See StorageStore."""
        return Amount()

    async def sweeps(self) -> SweepState:
        """See StorageStore."""
        return self._state

    async def keep_sweeps(self, state: SweepState) -> None:
        """See StorageStore."""
        self._state = state
