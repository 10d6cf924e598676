"""What is asked of a store of webhooks' deliveries. All of it goes by itself after a while.

Deliberately not here: what is kept of a delivery (``contracts.deployments.deliveries``).
"""

import builtins
from typing import Protocol

from workflows.contracts.deployments.deliveries import CheckSeen, DeliveryPage, DeliveryQuery, KeptDelivery


class DeliveryStore(Protocol):
    """Deliveries with their bodies, and what was seen of checks. Every method raises Unavailable."""

    async def keep(self, delivery: KeptDelivery, body: bytes | None) -> None:
        """Keep it with its body, all or nothing; the one of the same id is replaced, but for a body that is kept and
        not given now.
        """
        ...

    async def get(self, delivery_id: str) -> KeptDelivery | None:
        """As it was kept last; a consistent read."""
        ...

    async def body(self, delivery_id: str) -> bytes | None:
        """Its body, if that is kept."""
        ...

    async def list(self, query: DeliveryQuery) -> DeliveryPage:
        """Newest first by ``at``. Raises ValidationFailed for a cursor that this query did not hand out."""
        ...

    async def see_check(self, repository: str, commit: str, check: CheckSeen) -> None:
        """Keep how a check of this commit ended; of the same check the last word counts."""
        ...

    async def checks(self, repository: str, commit: str) -> builtins.list[CheckSeen]:
        """All checks of this commit that were seen; a consistent read."""
        ...

    async def count_refused(self, day: str, counts: dict[str, int]) -> None:
        """Add what was not genuine on a day (``YYYY-MM-DD``), by provider."""
        ...

    async def refused(self, day: str) -> dict[str, int]:
        """What was not genuine on a day, by provider."""
        ...

    async def take_turn(self, name: str, now: int, until: int) -> bool:
        """True for the one who asks first after the last turn of this name has ended. Times in ms."""
        ...
