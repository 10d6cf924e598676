"""What must be known before an approval is judged, and is not in a workflow: the question and its answer.

Deliberately not here: the judgement (``workflows.deployment.rules.approvals``).
"""

from pydantic import Field

from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.rules import ApprovalPolicy
from workflows.contracts.identity.people import Vouched


class ApprovalQuestion(Tolerant):
    """Of these approvals, in order: which does the API vouch for? None is one that it says nothing of."""

    service_name: str
    environment: str
    deployment_id: str
    version: str
    git_commit_sha: str
    given: list[Vouched | None]


class ApprovalFacts(Tolerant):
    """``policy``: the environment's as the service is registered now; None when it is not told there.

    ``doubts``: for each approval why it is not verified, None when it is. ``allow_unverified``: what the installation
    says for services that say nothing. ``allow_self_approval``: whoever started a deployment may approve it.
    ``withdrawn``: for each approval why what it was given with does not stand any more, None when it does; empty where
    nobody has looked.
    """

    policy: ApprovalPolicy | None = None
    doubts: list[str | None] = Field(default_factory=list[str | None])
    withdrawn: list[str | None] = Field(default_factory=list[str | None])
    allow_unverified: bool = False
    allow_self_approval: bool = False
