"""What the stores say of their own size."""

import builtins
from dataclasses import dataclass
from typing import Protocol

from activities.stores.interfaces.amounts import Amount
from workflows.contracts.storage.retention import SweepState


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table in numbers, as the database says them: AWS counts anew every six hours. ``holds``: what is in it."""

    holds: str
    table: str
    items: int
    size: int


class StorageStore(Protocol):
    """What the stores take as a whole, and how far the sweeps are."""

    async def tables(self) -> builtins.list[TableSize]:
        """Each table's size, by name."""
        ...

    async def oldest(self) -> builtins.dict[str, int]:
        """When the oldest of the ``jobs``, ``deployments`` and ``events`` was created, where there is one."""
        ...

    async def logs(self, at_most: int) -> Amount:
        """What logs take, as far as ``at_most`` objects."""
        ...

    async def artifacts(self, at_most: int) -> Amount:
        """What artifacts take, as far as ``at_most`` objects."""
        ...

    async def expired(self, now: int, at_most: int, *, remove: bool) -> Amount:
        """What has outlived its time where nothing else removes it: counted, or removed. Nothing where the database
        does so itself.
        """
        ...

    async def sweeps(self) -> SweepState:
        """How far the sweeps are; a consistent read."""
        ...

    async def keep_sweeps(self, state: SweepState) -> None:
        """Replace it."""
        ...
