"""What submitting jobs and steering them needs."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.agents.ports import HasFleet
from api.ports import HasAudit, HasClock, HasJobCreator, HasLogs, HasPoolRules, HasTemporalUi, provided
from api.temporal.ports import RecordPorts


class JobPorts(
    HasClock, RecordPorts, HasJobCreator, HasLogs, HasAudit, HasFleet, HasPoolRules, HasTemporalUi, Protocol
):
    """Jobs: their records, their workflows, their trail."""


JobPortsDep = Annotated[JobPorts, Depends(provided)]
