"""DeliveryStore in memory, for unit tests. No ``await`` stands between a read and the write that follows from it."""

import builtins
from collections import Counter, defaultdict

from activities.stores.memory.pages import newest_first
from workflows.contracts.deployments.deliveries import CheckSeen, DeliveryPage, DeliveryQuery, KeptDelivery


class MemoryDeliveryStore:
    """DeliveryStore in dicts. Records are kept as text, as everywhere."""

    def __init__(self) -> None:
        self._documents: dict[str, str] = {}
        self._bodies: dict[str, bytes] = {}
        self._checks: defaultdict[tuple[str, str], dict[str, CheckSeen]] = defaultdict(dict)
        self._refused: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._turns: dict[str, int] = {}

    async def keep(self, delivery: KeptDelivery, body: bytes | None) -> None:
        """See DeliveryStore."""
        self._documents[delivery.delivery_id] = delivery.model_dump_json()
        if body is not None:
            self._bodies[delivery.delivery_id] = body

    async def get(self, delivery_id: str) -> KeptDelivery | None:
        """See DeliveryStore."""
        document = self._documents.get(delivery_id)
        return None if document is None else KeptDelivery.model_validate_json(document)

    async def body(self, delivery_id: str) -> bytes | None:
        """See DeliveryStore."""
        return self._bodies.get(delivery_id)

    async def list(self, query: DeliveryQuery) -> DeliveryPage:
        """See DeliveryStore."""
        kept = [KeptDelivery.model_validate_json(document) for document in self._documents.values()]
        found = [each for each in kept if _wanted(query, each)]
        page, next_cursor = newest_first(query, found, lambda each: (each.at, each.delivery_id))
        return DeliveryPage(items=page, next_cursor=next_cursor)

    async def see_check(self, repository: str, commit: str, check: CheckSeen) -> None:
        """See DeliveryStore."""
        self._checks[repository, commit][check.name] = check

    async def checks(self, repository: str, commit: str) -> builtins.list[CheckSeen]:
        """See DeliveryStore."""
        return builtins.list(self._checks[repository, commit].values())

    async def count_refused(self, day: str, counts: dict[str, int]) -> None:
        """See DeliveryStore."""
        self._refused[day].update(counts)

    async def refused(self, day: str) -> dict[str, int]:
        """See DeliveryStore."""
        return dict(self._refused[day])

    async def take_turn(self, name: str, now: int, until: int) -> bool:
        """See DeliveryStore."""
        if self._turns.get(name, now) > now:
            return False
        self._turns[name] = until
        return True


def _wanted(query: DeliveryQuery, each: KeptDelivery) -> bool:
    return (
        query.provider in (None, each.provider)
        and query.outcome in (None, each.outcome)
        and (query.service_name is None or query.service_name in each.services)
        and (query.since or 0) <= each.at
        and (query.until is None or each.at <= query.until)
    )
