"""Closed sets: the states of a job, its queue view, why an attempt ended, how urgent a job is.

Deliberately not here: which state follows which (``workflows.job.workflow``) and what is retried
(``workflows.job.retry``).
"""

from enum import StrEnum


class JobStatus(StrEnum):
    """Where a job stands. The last five, and only those, can be final; DEAD_LETTERED is parked and can be redriven."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    DEAD_LETTERED = "dead_lettered"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    ERROR = "error"

    @property
    def final(self) -> bool:
        """True when nothing can change the job any more."""
        return self in _FINAL

    @property
    def ended(self) -> bool:
        """True when no attempt runs or waits: final, or parked as a dead letter."""
        return self in _FINAL or self is JobStatus.DEAD_LETTERED


_FINAL = frozenset({JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.TIMEOUT, JobStatus.ERROR})


class QueueStatus(StrEnum):
    """The queue's view of the same job."""

    QUEUED = "QUEUED"
    CLAIMED = "CLAIMED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    DEAD_LETTERED = "DEAD_LETTERED"


class Priority(StrEnum):
    """Urgency inside one pool; FIFO among equals."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    NORMAL = "NORMAL"
    LOW = "LOW"

    @property
    def key(self) -> int:
        """Temporal's priority key: 1 is served first."""
        return list(Priority).index(self) + 1


class Outcome(StrEnum):
    """How one attempt ended. A failing command is an outcome, not an exception."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # a step's command exited non-zero
    TIMED_OUT = "timed_out"  # a step or the whole attempt ran longer than it may
    CANCELLED = "cancelled"  # somebody asked for it
    CHECKOUT_FAILED = "checkout_failed"  # the commit could not be checked out
    AGENT_LOST = "agent_lost"  # the lease lapsed: nobody renewed it
    AGENT_ERROR = "agent_error"  # the agent could not run the attempt (disk full, secret missing, …)
    DECLINED = "declined"  # the agent left it to another one; costs no budget


class OnPartition(StrEnum):
    """What an agent does with a running attempt when it cannot renew the lease."""

    STOP = "stop"
    CONTINUE = "continue"
