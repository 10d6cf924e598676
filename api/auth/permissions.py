"""THE table: which operation each route asks for. The README shows it by role; a test compares the two, and walks.

A route that is not in here is a start-up error, so that none is open by being forgotten.
Deliberately not here: which role may do an operation (``contracts.access``), how a caller is known (``guard``).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from workflows.contracts.access import Operation


class Open(StrEnum):
    """Routes that ask for no operation, and why."""

    PUBLIC = "public"  # health, docs, the way to sign in
    SIGNED = "signed"  # a webhook's signature is its key
    KNOWN = "known"  # anybody with a valid credential, about themselves


Need = Operation | Open

_PUBLIC: Final[Mapping[str, Need]] = {}

_JOBS: Final[Mapping[str, Need]] = {}

_DEPLOYMENTS: Final[Mapping[str, Need]] = {}

_AGENTS: Final[Mapping[str, Need]] = {}

_ACCESS: Final[Mapping[str, Need]] = {}

ROUTES: Final[Mapping[str, Need]] = {**_PUBLIC, **_JOBS, **_DEPLOYMENTS, **_AGENTS, **_ACCESS}
"""``"METHOD /path/{as}/{declared}"`` → what it asks for."""
