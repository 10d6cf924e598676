"""Workflows that cannot go on, and what callers may ask for them."""

from pydantic import Field

from workflows.contracts.base import Frozen
from workflows.contracts.deployments.environments import Why
from workflows.contracts.fields import Millis
from workflows.contracts.repairs import Kind, RepairOutcome


class RepairRequest(Frozen):
    """Why it is repaired. ``end``: do not try to let it go on."""

    reason: Why
    end: bool = False


class RepairOut(Frozen):
    """What became of it: ``reset`` (it goes on), ``ended``, ``recovered`` (it went on by itself), ``silent`` (no worker
    has taken it yet) or ``under_way`` (202: the trail tells the end, as ``workflow.repaired``).
    """

    workflow_id: str
    outcome: RepairOutcome
    message: str
    resets: int = 0


class StuckOut(Frozen):
    """One workflow that cannot go on. ``cause`` is Temporal's word, ``repair`` the command that cures it."""

    kind: Kind
    workflow_id: str
    run_id: str
    workflow_type: str
    cause: str
    message: str
    repair: str
    job_id: str | None = None
    deployment_id: str | None = None
    service_name: str | None = None
    environment: str | None = None
    version: str | None = None
    pool: str | None = None


class ProcessOut(Frozen):
    """A control worker (``worker``) or a ``gateway`` at work: its id and host, or its address, and which version."""

    kind: str
    identity: str
    version: str
    seen_at: Millis


class SystemHealth(Frozen):
    """``healthy``, or ``stuck`` when a workflow cannot go on; a part that is not well is a problem (503, ``degraded``)
    with these members besides. ``items`` are the first 50 that the caller may see; ``stuck`` counts all of those, by
    type too. ``last_seal`` and ``sealed_at``: when the audit trail was last sealed; null: never, or nobody can tell.
    ``processes``: the control workers and gateways that were heard of in the last 90 s, with their versions.
    """

    status: str
    version: str
    stuck: int
    by_type: dict[str, int]
    items: list[StuckOut]
    last_seal: int | None = None
    sealed_at: Millis | None = None
    processes: list[ProcessOut] = Field(default_factory=list[ProcessOut])
