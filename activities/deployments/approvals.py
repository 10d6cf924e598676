"""What must be known before an approval is judged: who may approve as registered now, and whose word it is.

Deliberately not here: the judgement, which is the workflow's (``workflows.deployment.approvals``).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from workflows.contracts.deployments.approvals import ApprovalFacts, ApprovalQuestion
from workflows.contracts.deployments.rules import ApprovalPolicy
from workflows.contracts.deployments.services import Service
from workflows.contracts.errors import NotFound
from workflows.contracts.people import Vouched

_BY_HAND: Final = "it was sent straight to Temporal, not through the API"
_NO_KEY_HERE: Final = (
    "the control worker has no HYBRIDCI_SIGNING_KEY (or HYBRIDCI_SIGNING_KEY_FILE), so it can verify nothing"
)
_NO_KEY_THERE: Final = "the API has no HYBRIDCI_SIGNING_KEY (or HYBRIDCI_SIGNING_KEY_FILE), so it vouches for nothing"
_FORGED: Final = "its proof is not the API's, or of another secret (HYBRIDCI_SIGNING_KEY must be the same for both)"


@dataclass(frozen=True, slots=True)
class Approvals:
    """``read`` gives a service as it is registered now and raises NotFound. ``secret``: shared with the API."""

    read: Callable[[str], Awaitable[Service]]
    secret: bytes | None = field(default=None, repr=False)
    allow_unverified: bool = False
    allow_self_approval: bool = False

    async def facts(self, question: ApprovalQuestion) -> ApprovalFacts:
        """Raises Unavailable."""
        return ApprovalFacts(
            policy=await self._policy(question),
            doubts=[self._doubt(question, each) for each in question.given],
            allow_unverified=self.allow_unverified,
            allow_self_approval=self.allow_self_approval,
        )

    async def _policy(self, question: ApprovalQuestion) -> ApprovalPolicy | None:
        try:
            service = await self.read(question.service_name)
        except NotFound:
            return None
        rules = service.spec.environments if service.spec.policy is None else service.spec.policy.environments
        return next((each.approval for each in rules if each.name == question.environment), None)

    def _doubt(self, question: ApprovalQuestion, vouched: Vouched | None) -> str | None:
        if vouched is None:
            return _BY_HAND
        if self.secret is None:
            return _NO_KEY_HERE
        if not vouched.proof:
            return _NO_KEY_THERE
        subject = (question.deployment_id, question.version, question.git_commit_sha)
        return None if vouched.is_genuine(self.secret, *subject) else _FORGED
