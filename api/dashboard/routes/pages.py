"""All pages, in the order in which their addresses are tried."""

from typing import Final

from api.dashboard.routes import (
    agents,
    audit,
    dead_letters,
    deployments,
    job_lists,
    jobs,
    kept,
    logs,
    overview,
    services,
    sign_in,
    theme,
    webhooks,
)

ROUTERS: Final = tuple(
    each.router
    for each in (
        overview,
        logs,
        job_lists,
        dead_letters,
        jobs,
        deployments,
        services,
        agents,
        webhooks,
        audit,
        sign_in,
        theme,
        kept,
    )
)
