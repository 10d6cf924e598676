"""`hybridci scaler`: asks how many agents pools should have and tells a hook when that changes.

Exit codes: 0 told to stop; 1 with ``--once`` something failed; 2 it cannot work as it is set up.
Deliberately not here: `hybridci up`, which starts and stops local agents itself (``stack.local_scaler``).
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from api.cli.client.connection import USAGE, CliError, find_connection
from api.cli.client.http import ApiClient, ApiRefused, Transient
from api.cli.output import note
from api.cli.scaling.decision import Steady
from api.cli.scaling.hooks import TOKEN_VARIABLE, CommandHook, HookFailed, ScaleChange, WebhookHook, working
from api.cli.scaling.monitored import SETTING, Look, MonitoredScaler
from api.wording import counted
from workflows.contracts.agents import PoolView
from workflows.monitoring.address import read_address

OK: Final = 0
FAILED: Final = 1
POOLS: Final = "/api/agents/pools"
_HOOK_SECONDS: Final = 60.0
Hook = Callable[[ScaleChange], None]


@dataclass(frozen=True, slots=True)
class ScalerOptions:
    """Seconds. ``repeat``: so long the pool may take to have what was asked for; then the hook is told again."""

    pools: Sequence[str]
    command: str | None
    webhook: str | None
    interval: float = 15
    cooldown: float = 120
    repeat: float = 300
    once: bool = False
    metrics_address: str | None = None


class PoolScaler:
    """One pool: what was told to the hook, and when to tell it again."""

    def __init__(self, hook: Hook, *, cooldown: float, repeat: float) -> None:
        self._hook, self._repeat = hook, repeat
        self._steady = Steady(cooldown)
        self._told: int | None = None
        self._told_at = 0.0

    @property
    def told(self) -> int | None:
        """How many agents there should be, as the hook knows it."""
        return self._told

    def step(self, view: PoolView, now: float) -> ScaleChange | None:
        """Tell the hook, if there is something to tell; returns what. Raises HookFailed: it is told the next time."""
        bounds = view.bounds
        target = self._steady.settle(view.desired_agents, now, least=bounds.min_agents, most=bounds.max_agents)
        there = working(view)
        if self._told is None and there == target:
            self._told = target
        overdue = there != target and now - self._told_at >= self._repeat
        if self._told == target and not overdue:
            return None
        change = ScaleChange.of(view, target)
        self._hook(change)
        self._told, self._told_at = target, now
        return change


def run_scaler(options: ScalerOptions, data_dir: Path | None) -> int:
    """Poll and tell until SIGTERM or Ctrl-C. Returns the exit code."""
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda _number, _frame: stop.set())
    try:
        hook = _hook(options)
        with ApiClient(find_connection(data_dir)) as api:
            return _run(api, options, hook, stop)
    except CliError as error:
        note(f"hybridci scaler: {error.message}")
        return error.exit_code


def _run(api: ApiClient, options: ScalerOptions, hook: Hook, stop: threading.Event) -> int:
    scalers = {pool: PoolScaler(hook, cooldown=options.cooldown, repeat=options.repeat) for pool in options.pools}
    monitored = MonitoredScaler(list(scalers), options.interval, lambda pool: scalers[pool].told)
    if options.metrics_address:
        _listen(monitored, options.metrics_address)
    try:
        return _follow(api, options, scalers, monitored, stop)
    finally:
        monitored.close()


def _listen(monitored: MonitoredScaler, address: str) -> None:
    try:
        monitored.listen(read_address(address))
    except ValueError as error:  # ListenerError is one, and names the variable
        said = str(error)
        raise CliError(said if said.startswith(SETTING) else f"--metrics-address ({SETTING}) {said}.", USAGE) from None


def _follow(
    api: ApiClient,
    options: ScalerOptions,
    scalers: Mapping[str, PoolScaler],
    monitored: MonitoredScaler,
    stop: threading.Event,
) -> int:
    note(f"Scaling {', '.join(scalers)} every {options.interval:g} s; Ctrl-C ends it, and leaves the agents.")
    while True:
        done: list[Look] = []
        for pool, scaler in scalers.items():
            if not stop.is_set():
                done.append(_step(api, pool, scaler))
                monitored.looked(pool, done[-1])
        if options.once:
            return OK if all(how is Look.WELL for how in done) else FAILED
        if stop.wait(options.interval):
            return OK


def _step(api: ApiClient, pool: str, scaler: PoolScaler) -> Look:
    """How it went; what failed, did for now. Raises CliError when it would fail for ever (a wrong key)."""
    try:
        view = PoolView.model_validate(api.get(f"{POOLS}/{quote(pool, safe='')}"))
        change = scaler.step(view, time.monotonic())
    except (Transient, ApiRefused) as error:
        note(f"{pool}: {error.message}")
        return Look.API
    except HookFailed as error:
        note(f"{pool}: {error}; it is told again.")
        return Look.HOOK
    if change is not None:
        note(
            f"{pool}: {counted(change.desired_agents, 'agent')} wanted, {change.current_agents} there"
            f" ({counted(change.waiting, 'job waits', 'jobs wait')}, {change.busy} run)."
        )
    return Look.WELL


def _hook(options: ScalerOptions) -> Hook:
    """Raises CliError."""
    if (options.command is None) == (options.webhook is None):
        raise CliError("Say how agents are started and stopped: either --command or --webhook.", USAGE)
    if options.command is not None:
        return CommandHook(options.command, _HOOK_SECONDS)
    url = str(options.webhook)
    if urlsplit(url).scheme not in {"http", "https"}:
        raise CliError("--webhook takes an http:// or https:// address.", USAGE)
    return WebhookHook(url, os.environ.get(TOKEN_VARIABLE) or None, _HOOK_SECONDS)
