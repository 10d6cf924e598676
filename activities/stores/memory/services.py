"""ServiceStore in memory, for unit tests. No ``await`` stands between a read and the write that follows from it."""

from collections.abc import Sequence

from activities.stores.cursors import ServiceQuery
from activities.stores.memory.events import MemoryEventStore
from activities.stores.memory.pages import by_name
from activities.stores.packing import pack, unpack
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.services import Service, ServicePage


class MemoryServiceStore:
    """ServiceStore in a dict: all versions of each service, oldest first. Records are kept as text, as everywhere."""

    def __init__(self, events: MemoryEventStore) -> None:
        self._events = events
        self._versions: dict[str, list[str | bytes]] = {}

    async def put(self, service: Service, *, expected_version: int | None, events: Sequence[AuditEvent]) -> bool:
        """See ServiceStore. Raises ValidationFailed for a record that is too large to be kept."""
        document = pack(service.model_dump_json(), "service", service.name)
        versions = self._versions.get(service.name, [])
        if service.version != len(versions) + 1 or expected_version not in {None, len(versions)}:
            return await self.get(service.name, service.version) == service
        self._events.keep(events)
        self._versions[service.name] = [*versions, document]
        return True

    async def get(self, name: str, version: int | None = None) -> Service | None:
        """See ServiceStore."""
        versions = self._versions.get(name, [])
        number = len(versions) if version is None else version
        return _load(versions[number - 1]) if 1 <= number <= len(versions) else None

    async def list(self, *, limit: int, cursor: str | None) -> ServicePage:
        """See ServiceStore."""
        query = ServiceQuery(limit=limit, cursor=cursor)
        page, next_cursor = by_name(query, self._versions, lambda name: name)
        return ServicePage(items=[_load(self._versions[name][-1]) for name in page], next_cursor=next_cursor)


def _load(kept: str | bytes) -> Service:
    return Service.model_validate_json(unpack(kept))
