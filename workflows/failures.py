"""How a refusal crosses a Temporal boundary, and how it is taken out of what Temporal wraps around it.

``contracts.errors.error_from_code`` reads it back. Deliberately not here: what an attempt that nobody reported means
(``job.lost_attempt``), how clients translate Temporal's own refusals (``client.answers``).
"""

from temporalio.exceptions import ApplicationError, FailureError

from workflows.contracts.errors import HybridCIError


def crossing(error: HybridCIError) -> ApplicationError:
    """What crosses instead of the error: a code as ``type``, details, and whether trying again can help."""
    return ApplicationError(
        error.message, dict(error.details), type=error.code.value, non_retryable=not error.retryable
    )


def refused_for_good(error: FailureError) -> ApplicationError | None:
    """An activity's refusal that trying again cannot change. A local activity's failure can come unwrapped."""
    cause = error if isinstance(error, ApplicationError) else error.cause
    if isinstance(cause, ApplicationError) and cause.non_retryable:
        return ApplicationError(cause.message, *cause.details, type=cause.type, non_retryable=True)
    return None
