"""The pages that stand at the top of every page, for who may read them."""

from collections.abc import Mapping
from typing import Final

from api.dashboard.may import May

_PAGES: Final = (
    ("/", "Overview", "read"),
    ("/jobs", "Jobs", "read"),
    ("/dead-letters", "Dead letters", "read"),
    ("/deployments", "Deployments", "read"),
    ("/services", "Services", "read"),
    ("/agents", "Agents", "read"),
    ("/webhooks", "Webhooks", "webhooks:read"),
    ("/audit", "Audit", "audit:read"),
    ("/access", "Access", "read"),
)
_KEYS: Final[Mapping[str, str]] = {
    "/": "o",
    "/jobs": "j",
    "/dead-letters": "l",
    "/deployments": "d",
    "/services": "s",
    "/agents": "a",
    "/webhooks": "w",
    "/audit": "t",
}
"""Behind ``g``."""


def navigation(may: May) -> list[tuple[str, str, str]]:
    """Address and name of each, and the key that goes there behind ``g``, or nothing."""
    return [(path, name, _KEYS.get(path, "")) for path, name, operation in _PAGES if may(operation)]
