"""Lease tokens: what an agent that speaks HTTP holds of an attempt. Pure.

A token is Temporal's task token with what must be known of it later, bound to the agent that claimed. Nothing is
remembered, so any API process with the same signing key takes it. Deliberately not here: whether a lease still
holds, which only Temporal knows (``attempt_tasks``).
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Final

from api.auth.binding import NotYoursError, TaskTokens
from workflows.contracts.identity.secrets import Secret

_KIND: Final = "claim:"
"""No agent's name has a ':', so that a token bound for another purpose is no lease."""


@dataclass(frozen=True, slots=True)
class LeaseToken:
    """An attempt in an agent's hands. ``claimed_at`` in epoch milliseconds, by the clock of the API."""

    agent_id: str
    job_id: str
    attempt: int
    pool: str
    lease_seconds: int
    claimed_at: int
    task_token: bytes


class LeaseTokens:
    """Makes and reads lease tokens. All API processes share the secret of at least 32 bytes."""

    def __init__(self, secret: Secret) -> None:
        self._tokens = TaskTokens(secret)

    def issue(self, lease: LeaseToken) -> str:
        """The token for this lease."""
        known = [lease.job_id, lease.attempt, lease.pool, lease.lease_seconds, lease.claimed_at]
        content = json.dumps(known, separators=(",", ":")).encode() + b"\0" + lease.task_token
        bound = self._tokens.bind(_KIND + lease.agent_id, content)
        return base64.urlsafe_b64encode(bound).rstrip(b"=").decode()

    def read(self, agent_id: str, token: str) -> LeaseToken:
        """The lease of this agent. Raises NotYoursError for another agent's token and for one that is none of ours."""
        try:
            bound = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            raise NotYoursError from None
        content = self._tokens.unbind(_KIND + agent_id, bound)
        known, _, task_token = content.partition(b"\0")
        job_id, attempt, pool, lease_seconds, claimed_at = json.loads(known)
        return LeaseToken(agent_id, job_id, attempt, pool, lease_seconds, claimed_at, task_token)
