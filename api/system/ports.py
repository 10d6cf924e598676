"""What tells how the system is."""

from collections.abc import Mapping
from typing import Annotated, Protocol

from fastapi import Depends
from starlette.requests import Request

from api.agents.ports import HasFleet
from api.audit.ports import HasEvidence
from api.auth.ports import AuthPorts
from api.deployments.ports import DeploymentPorts
from api.ports import HasEnvironmentName, HasMetrics, HasRepairClient, provided
from api.system.checks import Check, Checks, answers
from api.temporal.ports import HasRunningVersions


class HasProbes(Protocol):
    """What the installation needs besides this process's own: a check for each part, by name."""

    @property
    def probes(self) -> Mapping[str, Check]: ...


class SystemPorts(
    HasProbes,
    HasEvidence,
    AuthPorts,
    DeploymentPorts,
    HasFleet,
    HasRepairClient,
    HasMetrics,
    HasEnvironmentName,
    HasRunningVersions,
    Protocol,
):
    """Records, agents, workflows that cannot go on, and the numbers."""


async def checks_of(request: Request, ports: Annotated[SystemPorts, Depends(provided)]) -> Checks:
    """The checks of this application: made once, since they remember their answers."""
    state = request.app.state
    if not hasattr(state, "checks"):
        needed = {
            "temporal": answers(lambda: ports.job_client.ready()),
            "dynamodb": answers(lambda: ports.reader.queue_stats()),
        }
        state.checks = Checks(needed, ports.probes, lambda: ports.evidence.last_seal())
    return state.checks


ChecksDep = Annotated[Checks, Depends(checks_of)]
SystemPortsDep = Annotated[SystemPorts, Depends(provided)]
