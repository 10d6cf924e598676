"""What the stores of environments, and of the line before all of them, do."""

from collections.abc import Sequence
from typing import Protocol

from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.environments import EnvironmentState, EnvironmentWrite
from workflows.contracts.deployments.line import LineState


class EnvironmentStore(Protocol):
    """What is live in each environment of a service, who waits, what holds it."""

    async def write(self, write: EnvironmentWrite) -> WriteOutcome:
        """Store the state and append its events, under ``sequence_is_newer``."""
        ...

    async def get(self, service_name: str, environment: str) -> EnvironmentState | None:
        """As last written; a consistent read."""
        ...

    async def of_service(self, service_name: str) -> list[EnvironmentState]:
        """All environments of a service that have ever been used, by name; ten or so."""
        ...

    async def named(self, keys: Sequence[tuple[str, str]]) -> list[EnvironmentState]:
        """Of these services' environments, those that were ever used, in no order; a few hundred in a few requests."""
        ...


class LineStore(Protocol):
    """The one record of the freezes and holds that concern many services."""

    async def get(self) -> LineState:
        """As last written, or an empty one of revision 0; a consistent read."""
        ...

    async def put(self, line: LineState, events: Sequence[AuditEvent]) -> bool:
        """Store it with its events, all or nothing. False, and nothing changed, unless the stored one is of the
        revision before. Raises ValidationFailed for a record that is too large to be kept.
        """
        ...
