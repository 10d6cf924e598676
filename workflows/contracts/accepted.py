"""What Temporal has for good although its answer has not come: it will be done, but nobody can show it yet.

Apart from ``errors`` because it says of what, in the words of the records.
"""

from workflows.contracts.base import Frozen
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.errors import ErrorCode, Unavailable
from workflows.contracts.jobs import Job


class Taken(Frozen):
    """What was asked, and of what. ``asked`` is a verb. ``update_id``: a command's, under which it is done once.

    ``job`` and ``deployment`` are what their workflow has where that is known: nobody may have recorded it yet.
    ``replayed``: an earlier request asked for it.
    """

    asked: str
    job_id: str | None = None
    deployment_id: str | None = None
    service_name: str | None = None
    environment: str | None = None
    update_id: str | None = None
    job: Job | None = None
    deployment: Deployment | None = None
    replayed: bool = False

    @property
    def subject(self) -> str:
        """``job 3f2a…``, ``production of checkout``."""
        if self.job_id is not None:
            return f"job {self.job_id}"
        if self.deployment_id is not None:
            return f"deployment {self.deployment_id}"
        if self.environment is not None:
            return f"{self.environment} of {self.service_name}"
        return f"service {self.service_name}"


class Accepted(Unavailable):
    """It is durably taken, and done whatever becomes of whoever asked; only its answer did not come in time.

    For who knows no better it is an answer that did not come, and the same request again finds what was taken.
    """

    code = ErrorCode.ACCEPTED

    def __init__(self, taken: Taken) -> None:
        super().__init__(
            f"Accepted: {taken.asked.replace('_', ' ')} {taken.subject}. Temporal has it for good and it is done; its"
            " record follows, so do not ask for it anew."
        )
        self.taken = taken
