"""All pages, in the order in which their addresses are tried."""

from typing import Final

from api.dashboard.routes import (
    agents,
    audit,
    deployments,
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
    each.router for each in (overview, logs, jobs, deployments, services, agents, webhooks, audit, sign_in, theme, kept)
)
