"""`hybridci up`: everything on one machine, from nothing to ready and back.

Exit codes: 0 stopped by Ctrl-C or SIGTERM; 1 something did not start; 2 nothing was started, and why.
Deliberately not here: which children there are (``children``), how they are kept running (``supervisor``).
"""

import asyncio
import contextlib
import errno
import os
import shlex
import shutil
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TextIO

from api.cli.bound import watch_starter
from api.cli.client.contexts import context_counts
from api.cli.numbers import whole
from api.cli.processes import stop_cleanly_while_loading
from api.cli.stack.certificates import Certificates, ensure_certificates
from api.cli.stack.child import ChildSpec
from api.cli.stack.child_stack import free_ports
from api.cli.stack.children import LOOPBACK, Options, ports, process_specs, server_specs, stop_order
from api.cli.stack.data_dir import CannotStart, DataDir, opened, write_json
from api.cli.stack.embedded import EmbeddedServerMissing
from api.cli.stack.front import Behind, front
from api.cli.stack.leftovers import Register, end_leftovers
from api.cli.stack.local_scaler import LocalScaler, scaling
from api.cli.stack.probes import made
from api.cli.stack.supervisor import StartupFailed, Supervisor

STOPPED: Final = 0
FAILED: Final = 1
NOT_STARTED: Final = 2
_START_SECONDS: Final = 60.0
_TOOLS: Final = ("git", "bash")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ONLY_THIS_MACHINE: Final = (LOOPBACK, "localhost", "::1")
DEFAULT_DATA_DIR: Final = ".hybridci"


def run_up(data_dir: Path, options: Options) -> int:
    """Run the stack until it is told to stop. Returns the exit code."""
    began = time.monotonic()
    stop_cleanly_while_loading()
    watch_starter()
    try:
        _require_tools()
        with opened(data_dir) as data:
            end_leftovers(data.processes, say)
            options = _with_ports(options)
            _require_public_address(options)
            ensure_certificates(Certificates(data.root), options.gateway_names)
            behind = Behind.found()
            specs = (server_specs(options, data, behind), process_specs(options, data, behind.aws))
            return asyncio.run(_Up(options, data, behind, *specs, began=began).run())
    except (CannotStart, EmbeddedServerMissing) as error:
        complain(str(error))
        return NOT_STARTED


def say(line: str) -> None:
    """One line for the person at the terminal; a terminal that went away stops nothing."""
    _print(sys.stdout, f"{line}\n")


def complain(sentence: str) -> None:
    """Why it does not work."""
    _print(sys.stderr, f"hybridci up: {sentence}\n")


class _Up:
    """One run of the stack."""

    def __init__(
        self,
        options: Options,
        data: DataDir,
        behind: Behind,
        servers: list[ChildSpec],
        processes: list[ChildSpec],
        *,
        began: float,
    ) -> None:
        self._options, self._data, self._behind, self._began = options, data, behind, began
        self._servers, self._processes = servers, processes
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for each in _SIGNALS:
            loop.add_signal_handler(each, self._asked_to_stop)
        supervisor = Supervisor(
            folder=self._data.root, logs=self._data.logs, register=Register(self._data.processes), say=say
        )
        write_json(self._data.endpoint, self._endpoint())
        code = STOPPED
        try:
            async with (
                front(LOOPBACK, self._options.ui_port, self._behind.ui),
                front(LOOPBACK, self._options.aws_port, self._behind.aws),
            ):
                if await self._start(supervisor):
                    took = time.monotonic() - self._began
                    _announce(self._options, self._data, took, await _dashboard(self._options, self._data))
                    async with scaling(LocalScaler(self._options, self._data, supervisor, say), say):
                        await supervisor.run(self._stop)
        except (StartupFailed, OSError) as error:
            complain(str(error))
            code = FAILED
        finally:
            await supervisor.stop(stop_order(supervisor.names()), self._hurry)
        # One more Ctrl-C while the interpreter exits changes neither what was done nor the exit code.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        say("Stopped.")
        return code

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():
            say("Stopping at once.")
            self._hurry.set()
        else:
            say("Stopping: agents first, then the gateway, the API, the worker and the servers.")
            self._stop.set()

    async def _start(self, supervisor: Supervisor) -> bool:
        """False when it was told to stop before it was ready."""
        say(f"Starting in {self._data.root} …")
        coming = asyncio.create_task(self._come_up(supervisor))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                coming.result()
            return coming.done() and not self._stop.is_set()
        finally:
            coming.cancel()
            stopping.cancel()
            await asyncio.gather(coming, stopping, return_exceptions=True)

    async def _come_up(self, supervisor: Supervisor) -> None:
        supervisor.start(self._servers)
        await supervisor.wait_ready([spec.name for spec in self._servers], _START_SECONDS)
        supervisor.start(self._processes)
        await supervisor.wait_ready([spec.name for spec in self._processes], _START_SECONDS)

    def _endpoint(self) -> dict[str, object]:
        return {
            "url": self._options.url,
            "temporal_ui": self._options.temporal_ui,
            "temporal_address": self._options.temporal_address,
            "pid": os.getpid(),
        }


def _require_tools() -> None:
    for tool in _TOOLS:
        if shutil.which(tool) is None:
            raise CannotStart(
                f"{tool} is not on the PATH, and agents cannot work without it: install {tool} and retry."
            )


def _with_ports(options: Options) -> Options:
    """All are tried before anything is started; those that are taken are replaced by free ones if that was asked for.

    Raises CannotStart, which names all that nothing can listen on.
    """
    named: dict[int, str] = {}
    bad: dict[str, str] = {}
    for host, port, option in ports(options):
        if port in named:
            bad[option] = f"{named[port]} and {option} are both {port}: give each part a port of its own."
            continue
        named[port] = option
        try:
            _try_port(host, port)
        except OSError as error:
            bad[option] = _port_sentence(host, port, option, error)
    if not bad:
        return options
    if options.ports == "fixed":
        raise CannotStart("\n".join(bad.values()) + " Or let `--ports auto` take free ones.")
    numbers = dict(zip(bad, free_ports(len(bad)), strict=True))
    return replace(options, **{option.strip("-").replace("-", "_"): number for option, number in numbers.items()})


def _require_public_address(options: Options) -> None:
    """Its host goes into the gateway's certificate, the whole to agents."""
    host, colon, port = options.gateway_address.rpartition(":")
    if not (colon and host.isascii() and host.isprintable() and " " not in host and host and whole(port)):
        raise CannotStart(
            "HYBRIDCI_GATEWAY_PUBLIC_ADDRESS must be the host and port at which agents elsewhere reach the gateway, "
            "such as ci.example.com:7243: correct it, or leave it out."
        )


def _try_port(host: str, port: int) -> None:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        probe.bind(address)
        probe.listen(1)


def _port_sentence(host: str, port: int, option: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken by another program: stop it, or choose another port with {option}."
    if error.errno == errno.EACCES:
        return f"This user may not listen on port {port}: choose one above 1023 with {option}."
    return f"Nothing can listen on {host}, port {port} ({error.strerror}): correct --host or {option}."


async def _dashboard(options: Options, data: DataDir) -> str:
    """Its address; for who looks at a terminal of this machine a link that signs in once: logs have other readers."""
    address = f"{options.url}/"
    if options.host not in _ONLY_THIS_MACHINE or not sys.stdout.isatty():
        return f"{address}   (`hybridci open` signs you in)"
    key = data.admin_key.read_text(encoding="utf-8").strip()
    answer: Any = await made(options.reachable_host, options.api_port, "/auth/ticket", key)
    if answer is None:
        return f"{address}   (`hybridci open` signs you in)"
    again = "signs you in once, within ten minutes; later: hybridci open"
    return f"{address}sign-in#ticket={answer['ticket']}\n{'':21}{again}"


def _announce(options: Options, data: DataDir, seconds: float, dashboard: str) -> None:
    default = not context_counts() and data.root == Path.cwd() / DEFAULT_DATA_DIR
    default = default or os.environ.get("HYBRIDCI_DATA_DIR")
    folder = "" if default else f" --data-dir {shlex.quote(str(data.root))}"
    say(
        f"\nhybridci is ready after {seconds:.1f} s.\n\n"
        f"  Dashboard          {dashboard}\n"
        f"  API and its docs   {options.url}/api/docs\n"
        f"  Temporal UI        {options.temporal_ui}\n"
        f"{'':21}dead letters, waiting approvals, failed today: {options.url}/temporal\n"
        f"  Agents' gateway    {options.gateway_address}\n"
        f"  State and logs     {data.root}\n\n"
        "Your first job, from a folder with a git repository:\n\n"
        f"  hybridci job submit --repo . --run ls --wait{folder}\n\n"
        f"Ctrl-C stops everything; running jobs get up to {options.drain_seconds:.0f} s to finish."
    )
    if options.host not in _ONLY_THIS_MACHINE:
        say(f"The API listens on {options.host}: whoever reaches it and has a key can run commands on this machine.")


def _print(stream: TextIO, text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal was closed; SIGHUP says so too
        stream.write(text)
        stream.flush()
