"""Why a job does not get its secrets. No message holds a value, nor what a program said that might hold one."""

from typing import Final


class SecretError(Exception):
    """The attempt cannot run without them. ``cause`` is the result's; ``retryable`` False: it would be so again."""

    cause = "secret_unavailable"

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable: Final = retryable


class SecretUnavailable(SecretError):
    """This agent has no such secret for this job, or it cannot be fetched now."""


class SecretTooWeak(SecretError):
    """A value that cannot be masked in a log without harm, and its provider does not say that it need not be."""

    cause = "secret_too_weak"


class SealedUnreadable(SecretError):
    """A sealed value that this agent cannot open, or that was sealed for something else."""

    cause = "sealed_value_unreadable"


class FetchFailed(Exception):
    """A provider has no value; the message goes on from the secret's name. ``retryable``: it may have one later."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable: Final = retryable
