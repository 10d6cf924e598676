"""What finding a record, or what stands for it as long as there is none, needs."""

from typing import Protocol

from api.ports import HasDeploymentClient, HasDeploymentReader, HasJobClient, HasJobReader


class RecordPorts(HasJobReader, HasDeploymentReader, HasJobClient, HasDeploymentClient, Protocol):
    """Records, and the workflows that may know more."""
