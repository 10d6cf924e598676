"""Proving to the control worker that this process, and nobody else who writes to Temporal, sends a message.

Deliberately not here: what a proof is (``contracts.proofs``), who looks at it (``activities.events.witness``).
"""

from dataclasses import dataclass, field
from typing import TypeVar

from workflows.contracts.proofs import Provable

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Prover:
    """With the secret that the API and the control worker share; without one nothing can be proven."""

    secret: bytes | None = field(default=None, repr=False)

    def proven(self, message: M, workflow_id: str) -> M:
        """The message as it is sent to this workflow; what is no command stays as it is."""
        if self.secret is None or not isinstance(message, Provable):
            return message
        return message.proven(self.secret, workflow_id)
