"""`hybridci api | worker | agent | gateway`: one process alone, with settings from the environment.

``python -m api.cli.processes NAME`` is the same without the command line's weight, for `up`, which starts many.
Each is found by its name at run time, so that the command line (and `hybridci up`, which only starts these by their
command lines) loads nothing of what it does not run.
"""

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.cli.bound import watch_starter
from api.http.interpreter import leave, load_less, loaded

FAILED: Final = 1
NOT_CONFIGURED: Final = 2


@dataclass(frozen=True, slots=True)
class Process:
    """Where a process's settings class and its ``run(settings) -> int`` are."""

    settings_module: str
    settings_class: str
    run_module: str


PROCESSES: Final[Mapping[str, Process]] = {
    "api": Process("api.settings", "ApiSettings", "api.server"),
    "worker": Process("activities.settings", "WorkerSettings", "activities.worker"),
    "agent": Process("agent.settings", "AgentSettings", "agent.worker"),
    "gateway": Process("api.gateway.settings", "GatewaySettings", "api.gateway.process"),
    "stores": Process("activities.stores.settings", "StoreSettings", "activities.stores.prepare"),
}


_ASK_TEMPORAL: Final = frozenset({"api", "worker"})
"""Agents may be told of a gateway, whose settings name Temporal in their own way."""


def run_process(name: str, overrides: Mapping[str, object] | None = None) -> int:
    """Run it to its end and return its exit code: 1 when it failed, 2 when its settings are wrong. Then ``leave``.

    ``overrides`` (variable → value, None leaves it) are options of the command line: they win over the environment.
    """
    stop_cleanly_while_loading()
    watch_starter()
    for variable, value in (overrides or {}).items():
        if value is not None:
            os.environ[variable] = str(value)
    load_less(grpc=name == "gateway")
    process = PROCESSES[name]
    settings = settings_or_none(process)
    if settings is None or not _codec_is_usable() or not (name not in _ASK_TEMPORAL or _temporal_is_named()):
        return NOT_CONFIGURED
    run: Callable[[Any], int] = importlib.import_module(process.run_module).run
    loaded()
    try:
        return run(settings)
    except Exception:  # told as Python tells it, but then the process leaves as it always does
        traceback.print_exc()
        return FAILED


def settings_class(process: Process) -> Any:
    """The process's settings class (pydantic-settings)."""
    return getattr(importlib.import_module(process.settings_module), process.settings_class)


def settings_or_none(process: Process) -> Any | None:
    """The settings, or None after one sentence on stderr for each bad variable."""
    cls = settings_class(process)
    try:
        return cls.from_environment() if hasattr(cls, "from_environment") else cls()
    except ValueError as error:  # pydantic's ValidationError is one
        sys.stderr.writelines(f"hybridci: {sentence}\n" for sentence in _sentences(error))
        return None


def _sentences(error: ValueError) -> Iterator[str]:
    from pydantic import ValidationError  # not at the top: `up` and the gateway go without it

    if not isinstance(error, ValidationError):
        yield str(error)
        return
    from workflows.settings_words import sentences

    yield from sentences(error)


def _codec_is_usable() -> bool:
    """False after one sentence on stderr: better not to start than to write what others cannot read."""
    if not os.environ.get("HYBRIDCI_CODEC_KEYS_FILE"):
        return True
    from workflows.payloads.codec import CodecSettings, load_codec
    from workflows.payloads.errors import UnusableCodecKeys

    try:
        load_codec(CodecSettings())
    except UnusableCodecKeys as error:
        sys.stderr.write(f"hybridci: {error}\n")
        return False
    return True


def _temporal_is_named() -> bool:
    """False after one sentence on stderr."""
    from workflows.client.address import TemporalNotConfigured, temporal_config

    try:
        temporal_config()
    except TemporalNotConfigured as error:
        sys.stderr.write(f"hybridci: {error}\n")
        return False
    return True


def stop_cleanly_while_loading() -> None:
    """Until the process handles signals itself (its imports take a second), being told to stop is no failure.

    It ends on the spot, as after kill -9, which every process must stand anyway. An exception would not do: where one
    comes out of a ``__set_name__``, Python turns it into a RuntimeError, and other code takes a failed import for a
    package that is not there.
    """
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda _number, _frame: os._exit(0))


if __name__ == "__main__":
    leave(run_process(sys.argv[1]))
