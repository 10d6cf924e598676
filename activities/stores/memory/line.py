"""LineStore in memory, for unit tests. No ``await`` stands between a read and the write that follows from it."""

from collections.abc import Sequence

from activities.stores.memory.events import MemoryEventStore
from activities.stores.packing import pack, unpack
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.line import LineState


class MemoryLineStore:
    """LineStore in a variable, as text, as everywhere."""

    def __init__(self, events: MemoryEventStore) -> None:
        self._events = events
        self._document: str | bytes | None = None

    async def get(self) -> LineState:
        """See LineStore."""
        return LineState() if self._document is None else LineState.model_validate_json(unpack(self._document))

    async def put(self, line: LineState, events: Sequence[AuditEvent]) -> bool:
        """See LineStore. Raises ValidationFailed for a record that is too large to be kept."""
        document = pack(line.model_dump_json(), "line", "line")
        if (await self.get()).revision != line.revision - 1:
            return False
        self._events.keep(events)
        self._document = document
        return True
