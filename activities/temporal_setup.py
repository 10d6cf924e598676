"""What the control worker needs on the Temporal side: search attributes and the schedule of its maintenance.

Both are idempotent: every worker does them at its start, whoever comes first wins.
"""

import logging
from datetime import timedelta
from typing import Final

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)
from temporalio.service import RPCError, RPCStatusCode

from workflows.contracts import search_attributes
from workflows.contracts.ids import CONTROL_QUEUE
from workflows.contracts.storage.retention import SWEEP_WORKFLOW_ID, SweepInput

logger = logging.getLogger(__name__)

RECONCILE_SCHEDULE: Final = "reconcile-jobs"
RECONCILE_EVERY: Final = timedelta(minutes=5)
LIVE_SCHEDULE: Final = "live-versions"
LIVE_EVERY: Final = timedelta(minutes=1)
SWEEP_SCHEDULE: Final = "sweep-storage"
SWEEP_EVERY: Final = timedelta(hours=1)
_NOT_PERMITTED: Final = frozenset(
    {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.UNIMPLEMENTED}
)


async def register_search_attributes(client: Client) -> None:
    """Register those that the namespace lacks. A server that does not let us is told about in the log, not an error.

    Raises RPCError when Temporal does not answer.
    """
    service = client.operator_service
    try:
        known = await service.list_search_attributes(ListSearchAttributesRequest(namespace=client.namespace))
        missing = sorted(name for name in search_attributes.NAMES if name not in known.custom_attributes)
        if not missing:
            return
        kinds = {name: IndexedValueType.ValueType(search_attributes.KINDS[name]) for name in missing}
        await service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=kinds)
        )
        logger.info("search attributes registered", extra={"names": missing})
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:  # another worker was faster
            return
        if error.status not in _NOT_PERMITTED:
            raise
        logger.warning(
            "this server does not let the worker register search attributes; have an administrator create them "
            "with these types, or jobs cannot be started",
            extra={"names": dict(search_attributes.NAMES), "status": error.status.name},
        )


async def schedule_reconciliation(client: Client) -> None:
    """Have Temporal start ``ReconcileWorkflow`` every five minutes; one that still runs is not overlapped.

    Raises RPCError when Temporal does not answer.
    """
    action = ScheduleActionStartWorkflow(
        "ReconcileWorkflow",
        id="maintenance-reconcile-jobs-scheduled",
        task_queue=CONTROL_QUEUE,
        static_summary="Compare open records with their workflows",
    )
    await _schedule(client, RECONCILE_SCHEDULE, action, RECONCILE_EVERY)


async def schedule_live_versions(client: Client) -> None:
    """Have Temporal start ``LiveVersionsWorkflow`` every minute, in the same way.

    Raises RPCError when Temporal does not answer.
    """
    action = ScheduleActionStartWorkflow(
        "LiveVersionsWorkflow",
        id="maintenance-live-versions-scheduled",
        task_queue=CONTROL_QUEUE,
        static_summary="Compare what is live in environments, records and workflows",
    )
    await _schedule(client, LIVE_SCHEDULE, action, LIVE_EVERY)


async def schedule_sweeps(client: Client) -> None:
    """Have Temporal start ``SweepWorkflow`` every hour, in the same way.

    Raises RPCError when Temporal does not answer.
    """
    action = ScheduleActionStartWorkflow(
        "SweepWorkflow",
        SweepInput(),
        id=f"{SWEEP_WORKFLOW_ID}-scheduled",
        task_queue=CONTROL_QUEUE,
        static_summary="Remove what is older than the policy says",
    )
    await _schedule(client, SWEEP_SCHEDULE, action, SWEEP_EVERY)


async def _schedule(client: Client, name: str, action: ScheduleActionStartWorkflow, every: timedelta) -> None:
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)])
    policy = SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP)
    try:
        await client.create_schedule(name, Schedule(action=action, spec=spec, policy=policy))
    except ScheduleAlreadyRunningError:
        return
    logger.info("maintenance scheduled", extra={"schedule": name, "every": str(every)})
