"""All pages, in the order in which their addresses are tried."""

from typing import Final

from api.dashboard.routes import (
    access,
    agents,
    audit,
    dead_letters,
    deployments,
    freezes,
    job_lists,
    jobs,
    kept,
    logs,
    overview,
    service_editor,
    services,
    sign_in,
    temporal,
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
        service_editor,  # before the services, whose commands could be any word
        services,
        freezes,
        agents,
        webhooks,
        audit,
        access,
        sign_in,
        temporal,
        theme,
        kept,
    )
)
