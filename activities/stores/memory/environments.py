"""EnvironmentStore in memory, for unit tests. No ``await`` stands between a read and the write that follows from it."""

from collections.abc import Sequence

from activities.stores.interfaces.writes import WriteOutcome
from activities.stores.memory.events import MemoryEventStore
from activities.stores.packing import pack, unpack
from workflows.contracts.deployments.environments import EnvironmentState, EnvironmentWrite


class MemoryEnvironmentStore:
    """EnvironmentStore in a dict. Records are kept as text, as everywhere."""

    def __init__(self, events: MemoryEventStore) -> None:
        self._events = events
        self._documents: dict[tuple[str, str], str | bytes] = {}

    async def write(self, write: EnvironmentWrite) -> WriteOutcome:
        """See EnvironmentStore. Raises ValidationFailed for a record that is too large to be kept."""
        state = write.state
        key = (state.service_name, state.environment)
        document = pack(state.model_dump_json(), "environment", "/".join(key))
        stored = await self.get(*key)
        if stored is not None and stored.sequence >= state.sequence:
            return WriteOutcome.STALE
        self._events.keep(write.events)
        self._documents[key] = document
        return WriteOutcome.APPLIED

    async def get(self, service_name: str, environment: str) -> EnvironmentState | None:
        """See EnvironmentStore."""
        kept = self._documents.get((service_name, environment))
        return None if kept is None else _load(kept)

    async def of_service(self, service_name: str) -> list[EnvironmentState]:
        """See EnvironmentStore."""
        return [_load(self._documents[key]) for key in sorted(self._documents) if key[0] == service_name]

    async def named(self, keys: Sequence[tuple[str, str]]) -> list[EnvironmentState]:
        """See EnvironmentStore."""
        return [_load(self._documents[key]) for key in dict.fromkeys(keys) if key in self._documents]


def _load(kept: str | bytes) -> EnvironmentState:
    return EnvironmentState.model_validate_json(unpack(kept))
