"""Secrets by name. This version has no provider yet, so that every named secret is refused, clearly and early.

No value is read anywhere: a job that needs one must not run without it.
"""

from collections.abc import Sequence


class SecretUnavailable(Exception):
    """No provider of this agent knows a secret that the job names."""


def require_secrets(names: Sequence[str]) -> None:
    """Raise SecretUnavailable when the job names any secret."""
    if names:
        raise SecretUnavailable(
            f"The job names the secrets {', '.join(sorted(names))}, but this agent has no secret provider: "
            "remove them from `secrets`, or run the job in a pool whose agents have one."
        )
