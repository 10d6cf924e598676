"""What finding a record, or what stands for it as long as there is none, needs."""

from typing import Protocol

from api.ports import HasDeploymentClient, HasDeploymentReader, HasJobClient, HasJobReader
from api.temporal.versions import RunningVersions


class RecordPorts(HasJobReader, HasDeploymentReader, HasJobClient, HasDeploymentClient, Protocol):
    """Records, and the workflows that may know more."""


class HasRunningVersions(Protocol):
    """Which versions of the other processes are at work."""

    @property
    def running(self) -> RunningVersions: ...
