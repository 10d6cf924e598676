"""Why a version is live once more; said of it by its environment and its record alike."""

from workflows.contracts.base import Tolerant
from workflows.contracts.fields import Millis


class LiveAgain(Tolerant):
    """Why a version is live once more: a rollback of ``from_version`` brought it back; ``from_deployment_id`` None: its
    workflow had gone and was started again.
    """

    from_deployment_id: str | None = None
    from_version: str | None = None
    by: str = ""
    at: Millis = 0
    reason: str = ""
