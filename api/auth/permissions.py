"""THE table: which operation each route asks for. docs/access.md shows it by role; a test compares the two, and walks.

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
    PAGE = "page"  # a page of the dashboard: it asks the API, as the browser's session, what it shows and does


Need = Operation | Open

_PUBLIC: Final[Mapping[str, Need]] = {
    "GET /health": Open.PUBLIC,
    "GET /health/ready": Open.PUBLIC,
    "GET /api/docs": Open.PUBLIC,
    "GET /api/docs/oauth2-redirect": Open.PUBLIC,
    "GET /api/openapi.json": Open.PUBLIC,
    "MOUNT /api/docs/assets": Open.PUBLIC,
    "GET /auth/issuers": Open.PUBLIC,
    "GET /auth/login": Open.PUBLIC,
    "GET /auth/callback": Open.PUBLIC,
    "POST /auth/session": Open.PUBLIC,
    "POST /auth/token": Open.PUBLIC,
    "POST /auth/ticket": Open.KNOWN,
    "POST /auth/validate": Open.KNOWN,
    "POST /auth/logout": Open.KNOWN,
    "POST /api/webhooks/{provider}": Open.SIGNED,
    "GET /info": Operation.READ,
    "GET /metrics": Operation.READ,
    "GET /health/system": Operation.READ,
    "GET /api/dashboard/summary": Operation.READ,
}

_JOBS: Final[Mapping[str, Need]] = {
    "POST /api/dashboard/jobs": Operation.JOBS_SUBMIT,
    "GET /api/dashboard/jobs": Operation.READ,
    "GET /api/dashboard/jobs/running": Operation.READ,
    "GET /api/dashboard/jobs/agent/{agent_id}": Operation.READ,
    "GET /api/dashboard/jobs/{job_id}": Operation.READ,
    "PATCH /api/dashboard/jobs/{job_id}": Operation.JOBS_OPERATE,
    "PATCH /api/dashboard/jobs/{job_id}/complete": Operation.JOBS_OPERATE,
    "POST /api/dashboard/jobs/{job_id}/cancel": Operation.JOBS_SUBMIT,
    "POST /api/dashboard/jobs/{job_id}/retry": Operation.JOBS_SUBMIT,
    "POST /api/dashboard/jobs/{job_id}/repair": Operation.JOBS_OPERATE,
    "GET /api/dashboard/jobs/{job_id}/logs": Operation.READ,
    "GET /api/dashboard/jobs/{job_id}/logs/search": Operation.READ,
    "GET /api/dashboard/jobs/{job_id}/artifacts": Operation.READ,
    "GET /api/dashboard/jobs/{job_id}/artifacts/{path:path}": Operation.READ,
    "POST /api/queue/jobs": Operation.JOBS_SUBMIT,
    "POST /api/queue/jobs/batch": Operation.JOBS_SUBMIT,
    "GET /api/queue/jobs": Operation.READ,
    "GET /api/queue/jobs/{job_id}": Operation.READ,
    "PATCH /api/queue/jobs/{job_id}/priority": Operation.JOBS_OPERATE,
    "DELETE /api/queue/jobs/{job_id}": Operation.JOBS_SUBMIT,
    "GET /api/queue/stats": Operation.READ,
    "POST /api/queue/maintenance/requeue-expired": Operation.JOBS_OPERATE,
    "GET /api/queue/dead-letters": Operation.READ,
    "POST /api/queue/dead-letters/redrive": Operation.JOBS_OPERATE,
    "GET /api/queue/dead-letters/redrives/{redrive_id}": Operation.READ,
    "GET /api/queue/dead-letters/{job_id}": Operation.READ,
    "PATCH /api/queue/dead-letters/{job_id}": Operation.JOBS_OPERATE,
    "POST /api/queue/dead-letters/{job_id}": Operation.JOBS_OPERATE,
    "POST /api/queue/dead-letters/{job_id}/redrive": Operation.JOBS_OPERATE,
    "DELETE /api/queue/dead-letters/{job_id}": Operation.JOBS_OPERATE,
}

_DEPLOYMENTS: Final[Mapping[str, Need]] = {
    "GET /api/dashboard/services": Operation.READ,
    "GET /api/dashboard/services/{name}": Operation.READ,
    "PUT /api/dashboard/services/{name}": Operation.SERVICES_WRITE,
    "GET /api/dashboard/services/{name}/policy-change": Operation.READ,
    "POST /api/dashboard/services/{name}/policy-change/approve": Operation.SERVICES_POLICY,
    "POST /api/dashboard/services/{name}/policy-change/reject": Operation.SERVICES_POLICY,
    "GET /api/dashboard/services/{name}/bans": Operation.READ,
    "POST /api/dashboard/services/{name}/bans": Operation.DEPLOYMENTS_OPERATE,
    "DELETE /api/dashboard/services/{name}/bans": Operation.DEPLOYMENTS_OPERATE,
    "POST /api/dashboard/services/{name}/archive": Operation.SERVICES_WRITE,
    "POST /api/dashboard/services/{name}/unarchive": Operation.SERVICES_WRITE,
    "DELETE /api/dashboard/services/{name}": Operation.SERVICES_POLICY,
    "GET /api/dashboard/services/{name}/deployments": Operation.READ,
    "GET /api/dashboard/services/{name}/environments": Operation.READ,
    "GET /api/dashboard/services/{name}/environments/{environment}": Operation.READ,
    "POST /api/dashboard/services/{name}/environments/{environment}/hold": Operation.DEPLOYMENTS_OPERATE,
    "POST /api/dashboard/services/{name}/environments/{environment}/release": Operation.DEPLOYMENTS_OPERATE,
    "POST /api/dashboard/services/{name}/environments/{environment}/retire": Operation.DEPLOYMENTS_OPERATE,
    "POST /api/dashboard/services/{name}/environments/{environment}/freezes": Operation.DEPLOYMENTS_OPERATE,
    "DELETE /api/dashboard/services/{name}/environments/{environment}/freezes/{freeze_id}": (
        Operation.DEPLOYMENTS_OPERATE
    ),
    "POST /api/dashboard/services/{name}/environments/{environment}/rollback": Operation.DEPLOYMENTS_OPERATE,
    "POST /api/dashboard/services/{name}/environments/{environment}/repair": Operation.DEPLOYMENTS_OPERATE,
    "GET /api/dashboard/freezes": Operation.READ,
    "POST /api/dashboard/freezes": Operation.DEPLOYMENTS_OPERATE,
    "DELETE /api/dashboard/freezes/{stop_id}": Operation.DEPLOYMENTS_OPERATE,
    "GET /api/dashboard/holds": Operation.READ,
    "POST /api/dashboard/holds": Operation.DEPLOYMENTS_OPERATE,
    "DELETE /api/dashboard/holds/{stop_id}": Operation.DEPLOYMENTS_OPERATE,
    "POST /api/dashboard/deployments": Operation.DEPLOYMENTS_START,
    "GET /api/dashboard/deployments": Operation.READ,
    "GET /api/dashboard/deployments/service/{name}": Operation.READ,
    "GET /api/dashboard/deployments/{deployment_id}": Operation.READ,
    "GET /api/dashboard/deployments/{deployment_id}/events": Operation.READ,
    "GET /api/dashboard/deployments/{deployment_id}/metrics": Operation.READ,
    "POST /api/dashboard/deployments/{deployment_id}/approve": Operation.DEPLOYMENTS_APPROVE,
    "POST /api/dashboard/deployments/{deployment_id}/reject": Operation.DEPLOYMENTS_APPROVE,
    "POST /api/dashboard/deployments/{deployment_id}/rollback": Operation.DEPLOYMENTS_OPERATE,
    "POST /api/dashboard/deployments/{deployment_id}/resume": Operation.DEPLOYMENTS_OPERATE,
    "POST /api/dashboard/deployments/{deployment_id}/promote": Operation.DEPLOYMENTS_OPERATE,
    "POST /api/dashboard/deployments/{deployment_id}/skip-step": Operation.DEPLOYMENTS_OPERATE,
    "POST /api/dashboard/deployments/{deployment_id}/abort": Operation.DEPLOYMENTS_OPERATE,
    "POST /api/dashboard/deployments/{deployment_id}/cancel": Operation.DEPLOYMENTS_START,
    "POST /api/dashboard/deployments/{deployment_id}/override-freeze": Operation.DEPLOYMENTS_OPERATE,
    "POST /api/dashboard/deployments/{deployment_id}/repair": Operation.DEPLOYMENTS_OPERATE,
    "POST /api/dashboard/deployments/{deployment_id}/staging": Operation.DEPLOYMENTS_REPORT,
    "POST /api/dashboard/deployments/{deployment_id}/production": Operation.DEPLOYMENTS_REPORT,
    "POST /api/dashboard/deployments/{deployment_id}/environments/{environment}": Operation.DEPLOYMENTS_REPORT,
    "POST /api/dashboard/deployments/{deployment_id}/metrics": Operation.DEPLOYMENTS_REPORT,
}

_AGENTS: Final[Mapping[str, Need]] = {
    "POST /api/agents/register": Operation.AGENT_WORK,
    "POST /api/agents": Operation.AGENT_WORK,
    "POST /api/agents/{agent_id}/heartbeat": Operation.AGENT_WORK,
    "POST /api/agents/{agent_id}/deregister": Operation.AGENT_WORK,
    "GET /api/agents": Operation.READ,
    "GET /api/agents/healthy": Operation.READ,
    "GET /api/agents/{agent_id}": Operation.READ,
    "DELETE /api/agents/{agent_id}": Operation.AGENTS_OPERATE,
    "POST /api/agents/{agent_id}/drain": Operation.AGENTS_OPERATE,
    "POST /api/agents/{agent_id}/pause": Operation.AGENTS_OPERATE,
    "POST /api/agents/{agent_id}/resume": Operation.AGENTS_OPERATE,
    "PATCH /api/agents/{agent_id}/status": Operation.AGENTS_OPERATE,
    "GET /api/agents/pools": Operation.READ,
    "GET /api/agents/pools/{name}": Operation.READ,
    "POST /api/agents/pools/{name}/scale": Operation.AGENTS_OPERATE,
    "POST /api/agents/pools/{name}/tasks": Operation.TASKS_ASK,
    "GET /api/agents/pools/{name}/tasks/{task_id}": Operation.TASKS_ASK,
    "POST /api/agents/pools/{name}/tasks/{task_id}/cancel": Operation.TASKS_ASK,
    "PUT /api/agents/pools/{name}/sealing-keys": Operation.AGENTS_OPERATE,
    "POST /api/queue/claim": Operation.AGENT_WORK,
    "PATCH /api/queue/jobs/{job_id}/start": Operation.AGENT_WORK,
    "PATCH /api/queue/jobs/{job_id}/heartbeat": Operation.AGENT_WORK,
    "PATCH /api/queue/jobs/{job_id}/complete": Operation.AGENT_WORK,
    "PUT /api/queue/jobs/{job_id}/attempts/{attempt}/start": Operation.AGENT_WORK,
    "PUT /api/queue/jobs/{job_id}/attempts/{attempt}/log/{offset}": Operation.AGENT_WORK,
    "PUT /api/queue/jobs/{job_id}/attempts/{attempt}/artifacts/{path:path}": Operation.AGENT_WORK,
    "PUT /api/queue/jobs/{job_id}/attempts/{attempt}/artifact-bundles": Operation.AGENT_WORK,
}

_ACCESS: Final[Mapping[str, Need]] = {
    "GET /api/events": Operation.AUDIT_READ,
    "GET /api/events/export": Operation.AUDIT_READ,
    "GET /api/webhooks/deliveries": Operation.WEBHOOKS_READ,
    "GET /api/webhooks/deliveries/{delivery_id}": Operation.WEBHOOKS_READ,
    "POST /api/webhooks/deliveries/{delivery_id}/replay": Operation.WEBHOOKS_REPLAY,
    "GET /api/storage": Operation.STORAGE_READ,
    "POST /api/storage/sweep": Operation.STORAGE_SWEEP,
    "GET /api/audit/seals": Operation.AUDIT_READ,
    "GET /api/audit/verify": Operation.AUDIT_READ,
    "GET /api/audit/report": Operation.AUDIT_READ,
    "POST /api/codec/decode": Operation.CODEC_USE,
    "POST /api/codec/encode": Operation.CODEC_USE,
    "POST /api/access/keys": Operation.ACCESS_MANAGE,
    "GET /api/access/keys": Operation.ACCESS_MANAGE,
    "GET /api/access/keys/{key_id}": Operation.ACCESS_MANAGE,
    "DELETE /api/access/keys/{key_id}": Operation.ACCESS_MANAGE,
    "POST /api/access/keys/{key_id}/claim": Operation.ACCESS_MANAGE,
    "POST /api/access/keys/{key_id}/rotate": Operation.ACCESS_MANAGE,
}

_LIVE: Final[Mapping[str, Need]] = {"GET /live": Operation.READ}

_PAGES: Final[Mapping[str, Need]] = dict.fromkeys(
    (
        "GET /",
        "GET /jobs",
        "GET /jobs/{job_id}",
        "GET /jobs/{job_id}/log",
        "POST /jobs/{job_id}/{command}",
        "GET /dead-letters",
        "GET /deployments",
        "GET /deployments/{deployment_id}",
        "POST /deployments/{deployment_id}/{command}",
        "GET /services",
        "GET /services/{name}",
        "POST /services/{name}/environments/{environment}/{command}",
        "GET /agents",
        "POST /agents/{agent_id}/{command}",
        "GET /audit",
        "GET /webhooks",
        "POST /webhooks/{delivery_id}/replay",
        "GET /sign-in",
        "POST /sign-in",
        "POST /sign-out",
        "GET /static/{digest}/{name:path}",
    ),
    Open.PAGE,
)

REGISTERING: Final = frozenset({"POST /api/agents/register", "POST /api/agents"})
"""What a pool's key is for. All else that asks for ``agent:work`` an agent says with the token that it got for it."""

ROUTES: Final[Mapping[str, Need]] = {**_PUBLIC, **_JOBS, **_DEPLOYMENTS, **_AGENTS, **_ACCESS, **_LIVE, **_PAGES}
"""``"METHOD /path/{as}/{declared}"`` → what it asks for."""

CHANGES_NOTHING: Final = frozenset({"POST /api/codec/decode", "POST /api/codec/encode"})
"""Reads that are POSTs: another site's page may send them with a person's cookie and cannot see the answer."""

CHECKED_INSIDE: Final = frozenset(
    {
        "GET /info",
        "GET /health/system",
        "GET /api/events",
        "GET /live",
        "GET /api/audit/report",
        "GET /api/webhooks/deliveries",
        "GET /api/webhooks/deliveries/{delivery_id}",
        "POST /api/webhooks/deliveries/{delivery_id}/replay",
        "POST /api/dashboard/jobs",
        "POST /api/queue/jobs",
        "POST /api/queue/jobs/batch",
        "POST /api/dashboard/deployments",
        "GET /api/dashboard/freezes",
        "POST /api/dashboard/freezes",
        "DELETE /api/dashboard/freezes/{stop_id}",
        "GET /api/dashboard/holds",
        "POST /api/dashboard/holds",
        "DELETE /api/dashboard/holds/{stop_id}",
        "GET /api/dashboard/jobs",
        "GET /api/dashboard/jobs/running",
        "GET /api/dashboard/jobs/agent/{agent_id}",
        "GET /api/queue/jobs",
        "GET /api/queue/dead-letters",
        "GET /api/dashboard/deployments",
        "GET /api/dashboard/services",
        "POST /api/agents/register",
        "POST /api/agents",
        "POST /api/agents/{agent_id}/heartbeat",
        "POST /api/agents/{agent_id}/deregister",
        "GET /api/agents",
        "GET /api/agents/healthy",
        "GET /api/agents/{agent_id}",
        "DELETE /api/agents/{agent_id}",
        "POST /api/agents/{agent_id}/drain",
        "POST /api/agents/{agent_id}/pause",
        "POST /api/agents/{agent_id}/resume",
        "PATCH /api/agents/{agent_id}/status",
        "GET /api/agents/pools",
        "GET /api/agents/pools/{name}",
        "POST /api/agents/pools/{name}/scale",
        "POST /api/agents/pools/{name}/tasks",
        "GET /api/agents/pools/{name}/tasks/{task_id}",
        "POST /api/agents/pools/{name}/tasks/{task_id}/cancel",
        "PUT /api/agents/pools/{name}/sealing-keys",
        "POST /api/queue/claim",
        "PATCH /api/queue/jobs/{job_id}/start",
        "PATCH /api/queue/jobs/{job_id}/heartbeat",
        "PATCH /api/queue/jobs/{job_id}/complete",
        "PUT /api/queue/jobs/{job_id}/attempts/{attempt}/start",
        "PUT /api/queue/jobs/{job_id}/attempts/{attempt}/log/{offset}",
        "PUT /api/queue/jobs/{job_id}/attempts/{attempt}/artifacts/{path:path}",
        "PUT /api/queue/jobs/{job_id}/attempts/{attempt}/artifact-bundles",
    }
)
"""Routes that look themselves at what limited grants reach: they call ``guard.require`` for what a body names, or show
only what is within reach. Any other asks ``resources``, and one that concerns everything needs a grant without limits.
"""
