"""The pages that stand at the top of every page, for who may read them."""

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


def navigation(may: May) -> list[tuple[str, str]]:
    """Address and name of each."""
    return [(path, name) for path, name, operation in _PAGES if may(operation)]
