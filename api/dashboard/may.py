"""What the caller of a page may do, so that it offers only that, and says who may.

Deliberately not here: deciding. The API decides again, whatever a page offered.
"""

from api.auth.principal import Principal
from workflows.contracts.access import ROLE_OPERATIONS, Operation


class May:
    """What the caller may do, by the same grants as the API asks; and who may, where they may not."""

    def __init__(self, caller: Principal | None) -> None:
        self._caller = caller

    def __call__(self, operation: str, service: str | None = None, pool: str | None = None) -> bool:
        """Of what has this service and this pool; None: of anything at all."""
        return self._caller is not None and self._caller.may(Operation(operation), service=service, pool=pool)

    def who(self, operation: str) -> str:
        """The roles that have it."""
        wanted = Operation(operation)
        return " or ".join(role for role, operations in ROLE_OPERATIONS.items() if wanted in operations)

    @property
    def name(self) -> str:
        """Whose session this is."""
        return "" if self._caller is None else self._caller.id
