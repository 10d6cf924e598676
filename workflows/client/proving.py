"""Proving to the control worker that this process, and nobody else who writes to Temporal, sends a message.

Deliberately not here: what a proof is (``contracts.identity.proofs``), who looks at it (``activities.events.witness``).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from workflows.contracts.commands import JobInput
from workflows.contracts.identity.delivery import is_attempt_key, job_key
from workflows.contracts.identity.proofs import Provable
from workflows.contracts.identity.secrets import Secret, accepted, newest

M = TypeVar("M")


def _now() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Prover:
    """With the secret that the API and the control worker share; without one nothing can be proven."""

    secret: Secret | None = field(default=None, repr=False)
    clock: Callable[[], int] = field(default=_now, repr=False)

    def proven(self, message: M, workflow_id: str) -> M:
        """The message as it is sent to this workflow; what is no command stays as it is."""
        if self.secret is None or not isinstance(message, Provable):
            return message
        return message.proven(newest(self.secret), workflow_id, self.clock())

    def with_delivery_key(self, job: JobInput) -> JobInput:
        """The job as it is started: its agents can say to this API which attempt is theirs."""
        if self.secret is None:
            return job
        return job.model_copy(update={"delivery_key": job_key(newest(self.secret), job.job_id)})

    def is_attempt_key(self, job_id: str, attempt: int, given: str) -> bool:
        """Whether who shows this was given the attempt. Never, without a secret."""
        if self.secret is None:
            return False
        return any(is_attempt_key(each, job_id, attempt, given) for each in accepted(self.secret))
