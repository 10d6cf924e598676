"""What is said to a run that goes on where its version is live waits until it knows how it stands.

Deliberately not here: how it learns that (``workflow``, the activity ``reopen_deployment``).
"""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.errors import ErrorCode


class Opening:
    """``over`` from the beginning, but in a run that has to ask."""

    def __init__(self) -> None:
        self.over = True
        self._refusal: ApplicationError | None = None

    def begin(self) -> None:
        """Nothing is known yet."""
        self.over = False

    def end(self) -> None:
        """It is live, and knows all about it."""
        self.over = True

    def refuse(self, error: ApplicationError) -> None:
        """It is not: this run is nobody's."""
        self._refusal, self.over = error, True

    async def waited(self) -> bool:
        """True when it had to be waited for. Raises ApplicationError: there is nothing to be told to."""
        waits = not self.over
        if waits:
            await workflow.wait_condition(lambda: self.over)
        if self._refusal is not None:
            raise ApplicationError(self._refusal.message, type=ErrorCode.INVALID_STATE, non_retryable=True)
        return waits

    async def refused(self) -> bool:
        """Whether there is nothing to be told to, once that is known."""
        try:
            await self.waited()
        except ApplicationError:
            return True
        return False
