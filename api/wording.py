"""A number and what it counts, and how a deployment ended, in words: for the command line and the pages alike. Pure."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # `hybridci up` counts too, and starts without pydantic
    from workflows.contracts.deployments.deployment import Deployment, DeploymentSummary

CANCELLED: Final = "cancelled"


def counted(number: float, what: str, many: str = "") -> str:
    """``what``: of one; ``many``: of any other number, where that is not ``what`` with an s. Thousands are parted."""
    said = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{said} {plural(number, what, many)}"


def plural(number: float, what: str, many: str = "") -> str:
    """The word alone, as ``counted`` has it."""
    return what if number == 1 else many or f"{what}s"


def status_word(deployment: "Deployment | DeploymentSummary") -> str:
    """Its status; ``cancelled`` for one that is stored as failed because somebody cancelled it."""
    status = deployment.status.value
    return CANCELLED if status == "failed" and deployment.cause == CANCELLED else status
