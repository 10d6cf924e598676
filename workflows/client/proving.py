"""Proving to the control worker that this process, and nobody else who writes to Temporal, sends a message.

Deliberately not here: what a proof is (``contracts.identity.proofs``), who looks at it (``activities.events.witness``).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from workflows.contracts.identity.proofs import Provable

M = TypeVar("M")


def _now() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Prover:
    """With the secret that the API and the control worker share; without one nothing can be proven."""

    secret: bytes | None = field(default=None, repr=False)
    clock: Callable[[], int] = field(default=_now, repr=False)

    def proven(self, message: M, workflow_id: str) -> M:
        """The message as it is sent to this workflow; what is no command stays as it is."""
        if self.secret is None or not isinstance(message, Provable):
            return message
        return message.proven(self.secret, workflow_id, self.clock())
