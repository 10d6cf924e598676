"""Whether the API has sent what a workflow was told: looked at where it is written down, or would be believed.

Deliberately not here: how the API proves it (``workflows.contracts.identity.proofs``, ``workflows.client.proving``),
approvals, which have a proof of their own that is looked at again later (``activities.deployments.approvals``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.errors import InvalidState
from workflows.contracts.identity.proofs import Claim
from workflows.contracts.identity.secrets import Secret, accepted
from workflows.contracts.who import Message, Who

M = TypeVar("M", bound=Message)
_ITSELF: Final = "workflow"
_NAME_ONLY: Final[dict[str, Any]] = {"via": "temporal", "address": None, "role": None, "key_id": None}
_WHY: Final = (
    "it was sent straight to Temporal, by nobody knows whom, or by an API of another version, with another "
    "HYBRIDCI_SIGNING_KEY or with a clock that is minutes off"
)


@dataclass(frozen=True, slots=True)
class Witness:
    """One worker's. Without the ``secret`` that it shares with the API, it can tell nothing and lets everything pass.

    ``allow_unverified``: this is somebody's own machine, where Temporal's own CLI may be used as the API is.
    """

    secret: Secret | None = field(default=None, repr=False)
    allow_unverified: bool = False

    def doubt(self, claim: Claim, workflow_id: str | None, *, instead: str) -> str | None:
        """Why nobody knows who has sent it; None when the API says so. Raises InvalidState where it must, with
        ``instead``: what is to be done.
        """
        if self._is_genuine(claim, workflow_id):
            return None
        if not self.allow_unverified:
            raise InvalidState(f"Nothing was done: {_WHY}. {instead}")
        return _WHY

    def heard(self, message: M, workflow_id: str | None) -> M:
        """The message as it is believed: what only it says of who sent it counts for no more than a name."""
        genuine = self._is_genuine(message.claim(), workflow_id)
        return message if genuine else message.model_copy(update=_NAME_ONLY)

    def known(self, claim: Claim | None, who: Who, workflow_id: str | None) -> Who:
        """``heard``, of a message that is handed on in parts. Without a claim: of a run from before there were any."""
        genuine = claim is None or self._is_genuine(claim, workflow_id)
        return who if genuine else who.model_copy(update=_NAME_ONLY)

    def attested(self, events: Sequence[AuditEvent], workflow_id: str | None) -> list[AuditEvent]:
        """The events of a workflow as they are to be kept: those that follow from a message, as ``heard``."""
        return [self._attested(event, workflow_id) for event in events]

    def _attested(self, event: AuditEvent, workflow_id: str | None) -> AuditEvent:
        if self.secret is None:
            return event.model_copy(update={"claim": None})
        if event.claim is None:
            return event if event.via == _ITSELF else event.model_copy(update=_NAME_ONLY)
        told = {} if self._is_genuine(event.claim, workflow_id) else _NAME_ONLY
        return event.model_copy(update={"claim": None, **told})

    def _is_genuine(self, claim: Claim, workflow_id: str | None) -> bool:
        if self.secret is None:
            return True
        if workflow_id is None:
            return False
        return any(claim.is_genuine(each, workflow_id) for each in accepted(self.secret))
