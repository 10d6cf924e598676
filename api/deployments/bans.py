"""Lifting a ban on the way to something else: a start or a rollback that a person wants in spite of it.

Deliberately not here: refusing what is banned (``api.deployments.service``), bans of their own (``api.bans``).
"""

from typing import Protocol

from api.auth.guard import require
from api.auth.origin import Origin
from api.ports import HasDeploymentClient, HasDeploymentReader
from workflows.contracts.accepted import Accepted
from workflows.contracts.access import Operation
from workflows.contracts.deployments.bans import LiftBan
from workflows.contracts.errors import Unavailable


class BanPorts(HasDeploymentReader, HasDeploymentClient, Protocol):
    """What is banned, and the way to change it."""


async def lift_ban_of(
    ports: BanPorts, origin: Origin, service_name: str, version: str, git_commit_sha: str, reason: str
) -> None:
    """Lift what bans this version of this commit, if anything does: before, and whatever becomes of what follows.

    Raises ApiError forbidden for who may not ban here either, Unavailable.
    """
    require(origin.caller, Operation.DEPLOYMENTS_OPERATE, service=service_name)
    bans = await ports.deployments.bans(service_name)
    if bans.of(version, git_commit_sha) is None:
        return
    lift = LiftBan(name=service_name, version=version, git_commit_sha=git_commit_sha, reason=reason, **origin.fields())
    try:
        await ports.deployment_client.lift_ban(lift)
    except Accepted as error:
        raise Unavailable("The ban is being lifted, but that is not written down yet: try again.") from error
