"""How a scaler tells the world how many agents there should be: a command or a webhook.

Deliberately not here: when it does so (``scaler``).
"""

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from workflows.contracts.agents import AgentStatus, PoolView

TOKEN_VARIABLE: Final = "HYBRIDCI_SCALER_WEBHOOK_TOKEN"  # noqa: S105 - a variable's name
_SECRET_VARIABLES: Final = ("HYBRIDCI_API_KEY", "HYBRIDCI_API_KEY_FILE", TOKEN_VARIABLE)


class HookFailed(Exception):
    """The hook did not do its work; the message says why. It is called again."""


@dataclass(frozen=True, slots=True)
class ScaleChange:
    """What a hook is told. Names in the environment are ``HYBRIDCI_`` and the field in capitals."""

    pool: str
    desired_agents: int
    current_agents: int
    desired_slots: int
    slots: int
    busy: int
    free: int
    waiting: int
    oldest_wait_seconds: float
    min_agents: int
    max_agents: int

    @classmethod
    def of(cls, view: PoolView, target: int) -> "ScaleChange":
        """From the pool as it is."""
        return cls(
            pool=view.name, desired_agents=target, current_agents=working(view), desired_slots=view.desired_slots,
            slots=view.slots, busy=view.busy, free=view.free, waiting=view.waiting,
            oldest_wait_seconds=view.oldest_wait_seconds, min_agents=view.bounds.min_agents,
            max_agents=view.bounds.max_agents,
        )  # fmt: skip

    def fields(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: getattr(self, name) for name in self.__slots__}


def working(view: PoolView) -> int:
    """The agents that are there to work: neither lost nor about to end."""
    return sum(view.agents.get(status, 0) for status in (AgentStatus.HEALTHY, AgentStatus.DEGRADED))


@dataclass(frozen=True, slots=True)
class CommandHook:
    """Runs a command line in a shell, so that it can use the variables (``… --replicas=$HYBRIDCI_DESIRED_AGENTS``)."""

    command: str
    timeout_seconds: float

    def __call__(self, change: ScaleChange) -> None:
        """Run it to its end. Raises HookFailed."""
        process = subprocess.Popen(
            ["/bin/sh", "-c", self.command], stdin=subprocess.DEVNULL, env=_environment(change), start_new_session=True
        )
        try:
            code = process.wait(self.timeout_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise HookFailed(f"the command had not ended after {self.timeout_seconds:.0f} s and was killed") from None
        if code != 0:
            raise HookFailed(f"the command ended with exit code {code}")


@dataclass(frozen=True, slots=True)
class WebhookHook:
    """POSTs the change as JSON; with a token, as ``Authorization: Bearer``."""

    url: str
    token: str | None
    timeout_seconds: float

    def __call__(self, change: ScaleChange) -> None:
        """Send it. Raises HookFailed unless it is taken with 2xx."""
        import httpx

        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        try:
            answer = httpx.post(self.url, json=change.fields(), headers=headers, timeout=self.timeout_seconds)
        except httpx.HTTPError as error:
            raise HookFailed(f"{type(error).__name__} at the webhook's address") from None
        if not answer.is_success:
            raise HookFailed(f"the webhook answered {answer.status_code}")


def _environment(change: ScaleChange) -> Mapping[str, str]:
    """The scaler's own, without its keys: a hook has its own business."""
    inherited = {name: value for name, value in os.environ.items() if name not in _SECRET_VARIABLES}
    return {**inherited, **{f"HYBRIDCI_{name.upper()}": str(value) for name, value in change.fields().items()}}
