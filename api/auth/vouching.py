"""What the API says of who gives an approval: who that is, by the identity map, with a proof that the API says it.

Deliberately not here: whether it counts (``workflows.deployment.rules.approvals``).
"""

from dataclasses import dataclass, field

from activities.clock import Clock, epoch_millis
from api.identity.people import People
from workflows.contracts.deployments.commands import Approve
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.identity.people import Somebody, Vouched
from workflows.contracts.identity.secrets import Secret, newest


@dataclass(frozen=True, slots=True)
class Giver:
    """Who gives an approval, with which credential; ``acts_for``: whom an admin named with it."""

    identity: Somebody
    acts_for: str | None = None
    credential_id: str | None = None


@dataclass(frozen=True, slots=True)
class Voucher:
    """One process's. ``secret`` is shared with the control worker; without one nothing can be proven.

    ``allow_self_approval``: this is somebody's own machine, where one human is alone.
    """

    people: People = field(default_factory=People)
    secret: Secret | None = field(default=None, repr=False)
    allow_self_approval: bool = False
    clock: Clock = epoch_millis

    def vouch(self, command: Approve, giver: Giver, deployment: Deployment) -> Approve:
        """The approval with who gives it, for the environment that it names, else the one where the deployment is."""
        vouched = Vouched(
            by=command.by,
            identity=self.people.with_makers(giver.identity),
            environment=command.environment or deployment.environment,
            acts_for=giver.acts_for,
            credential_id=giver.credential_id,
            unlisted=self._unlisted(deployment),
            at=self.clock(),
        )
        if self.secret is not None:
            subject = (deployment.deployment_id, deployment.version, deployment.git_commit_sha)
            vouched = vouched.proven(newest(self.secret), *subject)
        return command.model_copy(update={"vouched": vouched})

    def _unlisted(self, deployment: Deployment) -> list[str]:
        """Only here is it known that somebody left the map: the control worker does not have it."""
        given = [each.vouched.identity for each in deployment.approvals if each.vouched is not None]
        return sorted({each.person for each in given if each.listed and not self.people.lists(each.person)})
