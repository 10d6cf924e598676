"""What must be known before an approval is judged: who may approve as registered now, whose word it is, and whether
what it was given with still stands.

Deliberately not here: the judgement, which is the workflow's (``workflows.deployment.rules.approvals``).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from activities.clock import Clock, epoch_millis
from workflows.contracts.access import Credential
from workflows.contracts.deployments.approvals import ApprovalFacts, ApprovalQuestion
from workflows.contracts.deployments.rules import ApprovalPolicy
from workflows.contracts.deployments.services import Service
from workflows.contracts.errors import NotFound
from workflows.contracts.identity.people import Vouched
from workflows.contracts.identity.secrets import Secret, accepted
from workflows.words import moment

_BY_HAND: Final = "it was sent straight to Temporal, not through the API"
_NO_KEY_HERE: Final = (
    "the control worker has no HYBRIDCI_SIGNING_KEY (or HYBRIDCI_SIGNING_KEY_FILE), so it can verify nothing"
)
_NO_KEY_THERE: Final = "the API has no HYBRIDCI_SIGNING_KEY (or HYBRIDCI_SIGNING_KEY_FILE), so it vouches for nothing"
_FORGED: Final = "its proof is not the API's, or of another secret (HYBRIDCI_SIGNING_KEY must be the same for both)"


@dataclass(frozen=True, slots=True)
class Approvals:
    """``read`` gives a service as it is registered now, ``credential`` what was handed out, as last written; both raise
    NotFound. ``secret``: shared with the API.
    """

    read: Callable[[str], Awaitable[Service]]
    credential: Callable[[str], Awaitable[Credential]]
    secret: Secret | None = field(default=None, repr=False)
    allow_unverified: bool = False
    allow_self_approval: bool = False
    clock: Clock = epoch_millis

    async def facts(self, question: ApprovalQuestion) -> ApprovalFacts:
        """Raises Unavailable."""
        return ApprovalFacts(
            policy=await self._policy(question),
            doubts=[self._doubt(question, each) for each in question.given],
            withdrawn=[
                _left(each, question.given[place + 1 :]) or await self._withdrawn(each)
                for place, each in enumerate(question.given)
            ],
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
        genuine = any(vouched.is_genuine(each, *subject) for each in accepted(self.secret))
        return None if genuine else _FORGED

    async def _withdrawn(self, vouched: Vouched | None) -> str | None:
        """Why an approval counts no more, when what it was given with was taken away; None when it was not.

        One that has expired, was signed out or was replaced stands: it was good when the approval was given. A key and
        those that replace it are one key, and a session stands with the key that opened it.
        """
        if vouched is None or vouched.credential_id is None:
            return None
        try:
            given_with = await self.credential(vouched.credential_id)
            opened_with = None if given_with.parent_id is None else await self.credential(given_with.parent_id)
        except NotFound:
            return f"Nothing is known any more of {vouched.credential_id}, with which it was given: approve again."
        for credential in (given_with, opened_with):
            if credential is not None and (revoked := await self._revoked(credential)) is not None:
                return _words(revoked, given_with)
        return None

    async def _revoked(self, credential: Credential) -> Credential | None:
        """The one of it and of those that replace it which was revoked."""
        seen: set[str] = set()
        now = self.clock()
        while credential.credential_id not in seen:
            seen.add(credential.credential_id)
            if not credential.signed_out and credential.revoked_at is not None and credential.revoked_at <= now:
                return credential
            if credential.replaced_by is None:
                return None
            try:
                credential = await self.credential(credential.replaced_by)
            except NotFound:  # it was never kept
                return None
        return None


def _left(vouched: Vouched | None, later: Sequence[Vouched | None]) -> str | None:
    """Why an approval counts no more: whoever gave it has left the identity map, as the API said with a later one."""
    unlisted = {person for each in later if each is not None for person in each.unlisted}
    if vouched is None or not vouched.identity.listed or vouched.identity.person not in unlisted:
        return None
    return f"{vouched.identity.person} is not in `people` of the access policy any more."


def _words(revoked: Credential, given_with: Credential) -> str:
    """Why, and when: the credential itself, the key that opened its session, or one that replaced that key."""
    how = "with which it was given"
    if revoked.credential_id != given_with.credential_id:
        how = f"which stands for {given_with.kind} {given_with.credential_id}, {how}"
    return f"The {revoked.kind} {revoked.credential_id}, {how}, was revoked at {moment(revoked.revoked_at or 0)}."
