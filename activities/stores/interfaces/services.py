"""What the stores of services, and of what is banned of them, do."""

from collections.abc import Sequence
from typing import Protocol

from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.bans import BanList
from workflows.contracts.deployments.services import Service, ServicePage


class ServiceStore(Protocol):
    """Registered services, each version of their definition kept."""

    async def put(self, service: Service, *, expected_version: int | None, events: Sequence[AuditEvent]) -> bool:
        """Store this version and make it the present one, with its events, all or nothing.

        False, and nothing changed, unless the present version is ``service.version - 1`` (or there is none, for version
        1) and equals ``expected_version`` when that is given. The same version with the same content again is True.
        """
        ...

    async def get(self, name: str, version: int | None = None) -> Service | None:
        """This version of the service, or the present one; a consistent read."""
        ...

    async def list(self, *, limit: int, cursor: str | None) -> ServicePage:
        """Present versions, by name. Raises ValidationFailed for a foreign cursor."""
        ...


class BanStore(Protocol):
    """What is banned of each service: one record of a service."""

    async def put(self, bans: BanList, events: Sequence[AuditEvent]) -> bool:
        """Store the bans of a service and their events, all or nothing, under ``revision_follows`` as for agents."""
        ...

    async def get(self, service_name: str) -> BanList:
        """As last written, of revision 0 when nothing ever was; a consistent read."""
        ...
