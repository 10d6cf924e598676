"""BanStore in memory, for unit tests. No ``await`` stands between a read and the write that follows from it."""

from collections.abc import Sequence

from activities.stores.memory.events import MemoryEventStore
from activities.stores.packing import pack, unpack
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.bans import BanList


class MemoryBanStore:
    """BanStore in a dict. Records are kept as text, as everywhere."""

    def __init__(self, events: MemoryEventStore) -> None:
        self._events = events
        self._documents: dict[str, str | bytes] = {}

    async def put(self, bans: BanList, events: Sequence[AuditEvent]) -> bool:
        """See BanStore. Raises ValidationFailed for a record that is too large to be kept."""
        document = pack(bans.model_dump_json(), "bans", bans.service_name)
        stored = await self.get(bans.service_name)
        if stored.revision != bans.revision - 1:
            return stored == bans
        self._events.keep(events)
        self._documents[bans.service_name] = document
        return True

    async def get(self, service_name: str) -> BanList:
        """See BanStore."""
        kept = self._documents.get(service_name)
        return BanList(service_name=service_name) if kept is None else BanList.model_validate_json(unpack(kept))
