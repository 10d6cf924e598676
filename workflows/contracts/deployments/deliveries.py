"""What other tools sent here, as it is kept for some weeks: what came, what it did, or why nothing.

What a payload says (repository, ref, sender) is its sender's word. Times are epoch milliseconds, sizes bytes.
Deliberately not here: how a delivery is judged (``api.webhooks``), for how long it is kept (``stores.settings``).
"""

from enum import StrEnum
from typing import Final

from pydantic import Field

from workflows.contracts.base import Tolerant
from workflows.contracts.fields import Millis

MAX_BODY_BYTES: Final = 256 * 1024
"""A larger body is not kept."""
CATCH_UP: Final = "catch-up"
"""The provider of what no webhook told: an agent found it at the head of a branch."""


class DeliveryOutcome(StrEnum):
    """What came of a delivery."""

    ACCEPTED = "accepted"
    IGNORED = "ignored"
    REFUSED = "refused"


class DeliveredAction(Tolerant):
    """One thing that a delivery did, or that was refused. ``status``: `done` or `refused`, then."""

    action: str
    status: str
    message: str = ""
    service_name: str | None = None
    environment: str | None = None
    version: str | None = None
    deployment_id: str | None = None
    job_id: str | None = None


class NotStarted(Tolerant):
    """A service of the repository that was not started, and why."""

    service_name: str
    why: str


class KeptDelivery(Tolerant):
    """One delivery. ``delivery_id`` is ours, ``delivery`` the sending tool's.

    ``at``: when it came first, ``last_at`` last; ``received``: how often. ``body_kept`` False: ``body_note`` says why.
    ``headers``: those that the provider's manifest reads, never a signature. ``started_again``: so often a person had
    it start what it had started before.
    """

    delivery_id: str
    provider: str
    delivery: str
    event: str | None = None
    at: Millis
    last_at: Millis
    received: int = 1
    repository: str | None = None
    ref: str | None = None
    commit: str | None = None
    sender: str | None = None
    rule: str | None = None
    outcome: DeliveryOutcome
    message: str = ""
    actions: list[DeliveredAction] = Field(default_factory=list[DeliveredAction])
    passed_over: list[NotStarted] = Field(default_factory=list[NotStarted])
    size: int = 0
    body_kept: bool = False
    body_note: str = ""
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    started_again: int = 0

    @property
    def services(self) -> list[str]:
        """All that it is about, as far as services are known here."""
        acted = [action.service_name for action in self.actions if action.service_name is not None]
        return list(dict.fromkeys([*acted, *(each.service_name for each in self.passed_over)]))


class DeliveryQuery(Tolerant):
    """Which deliveries a list shows, newest first. ``since`` and ``until``: by when they came first, both included."""

    provider: str | None = None
    service_name: str | None = None
    outcome: DeliveryOutcome | None = None
    since: Millis | None = None
    until: Millis | None = None
    limit: int = Field(default=50, ge=1, le=100)
    cursor: str | None = None


class DeliveryPage(Tolerant):
    """One page, newest first. ``stopped_early``, ``looked_at``: as of every page (``records.Page``)."""

    items: list[KeptDelivery]
    next_cursor: str | None = None
    stopped_early: bool = False
    looked_at: int | None = None


class CheckSeen(Tolerant):
    """How a check or workflow of a commit ended, as its tool told last. ``branch`` None: not told."""

    name: str
    conclusion: str
    branch: str | None = None
    at: Millis
