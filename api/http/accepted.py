"""The answer to what Temporal has for good although its record is not here yet: one shape for every route."""

from typing import Any, Final, Literal

from pydantic import Field

from workflows.contracts.accepted import Accepted
from workflows.contracts.base import Frozen


class AcceptedAnswer(Frozen):
    """It is done whatever becomes of this process. Do not ask for it anew; look at ``url``."""

    status: Literal["accepted"] = "accepted"
    asked: str = Field(description="What was asked: submit, start, register, or the name of a command.")
    message: str
    url: str = Field(description="Where to look, as Location says.")
    job_id: str | None = None
    deployment_id: str | None = None
    service_name: str | None = None
    environment: str | None = None
    update_id: str | None = Field(default=None, description="A command's, in the Temporal UI.")
    job: dict[str, Any] | None = Field(default=None, description="The job as its workflow has it, where known.")
    deployment: dict[str, Any] | None = Field(default=None, description="The deployment likewise.")


ACCEPTED: Final[dict[int | str, dict[str, Any]]] = {
    202: {
        "model": AcceptedAnswer,
        "description": "Temporal has it for good and it is done, but its record or result did not come in time: the"
        " store, or the control worker, does not answer. Location says where to look.",
    }
}
"""For ``responses`` of every route that starts or commands a workflow."""


def accepted_answer(
    accepted: Accepted, *, job: dict[str, Any] | None = None, deployment: dict[str, Any] | None = None
) -> AcceptedAnswer:
    """What the client is told; ``job`` and ``deployment`` as they are shown, where they are known."""
    taken = accepted.taken
    return AcceptedAnswer(
        asked=taken.asked,
        message=accepted.message,
        url=_url(accepted),
        job_id=taken.job_id,
        deployment_id=taken.deployment_id,
        service_name=taken.service_name,
        environment=taken.environment,
        update_id=taken.update_id,
        job=job,
        deployment=deployment,
    )


def _url(accepted: Accepted) -> str:
    taken = accepted.taken
    if taken.job_id is not None:
        return f"/api/dashboard/jobs/{taken.job_id}"
    if taken.deployment_id is not None:
        return f"/api/dashboard/deployments/{taken.deployment_id}"
    service = f"/api/dashboard/services/{taken.service_name}"
    return service if taken.environment is None else f"{service}/environments/{taken.environment}"
