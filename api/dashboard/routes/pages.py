"""All pages, in the order in which their addresses are tried."""

from typing import Final

from api.dashboard.routes import (
    access,
    agents,
    audit,
    deployments,
    freezes,
    jobs,
    logs,
    overview,
    service_editor,
    services,
    sign_in,
    webhooks,
)

ROUTERS: Final = tuple(
    each.router
    for each in (
        overview,
        logs,
        jobs,
        deployments,
        service_editor,
        services,
        freezes,
        agents,
        webhooks,
        audit,
        access,
        sign_in,
    )
)
