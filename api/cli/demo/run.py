"""`hybridci demo`: a stack, the machines and the story on them, and everything stopped at the end.

Exit codes: 0 every check held; 1 one did not; 2 the stack did not start; 130 interrupted.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Final

from api.cli.client.connection import INTERRUPTED, CliError, find_connection
from api.cli.client.http import SERVICES, ApiClient, ApiRefused
from api.cli.demo.agents import Agents, running_agents
from api.cli.demo.checks import DemoFailed
from api.cli.demo.control import Control
from api.cli.demo.demo_service import PRODUCTION, STAGING, make_repository
from api.cli.demo.machine import running_servers
from api.cli.demo.narrate import Narrator
from api.cli.demo.story import DemoParts, DemoStory
from api.cli.output import clean
from api.cli.stack.child_stack import free_ports, running_stack
from api.cli.stack.children import Options
from api.cli.stack.data_dir import DataDir
from api.cli.stack.embedded import EmbeddedServerMissing
from api.cli.stack.launching import StartFailed

PLAYED: Final = 0
FAILED: Final = 1
NOT_STARTED: Final = 2
_DRAIN_SECONDS: Final = 5.0
_SERVERS: Final = {STAGING: 1, PRODUCTION: 2}
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def demo_options(*given: int | None) -> Options:
    """The stack's options. ``given``: the ports of the API, Temporal, its UI and the AWS APIs; None: a free one."""
    *free, gateway = free_ports(len(given) + 1)
    api, temporal, ui, aws = (port or other for port, other in zip(given, free, strict=True))
    return Options(
        api_port=api, temporal_port=temporal, ui_port=ui, aws_port=aws, gateway_port=gateway,
        agents=0, drain_seconds=_DRAIN_SECONDS,
    )  # fmt: skip


def run_demo(data_dir: Path | None, options: Options, *, keep: bool) -> int:
    """Play the story and return the exit code. ``keep``: then wait for Ctrl-C before anything is stopped."""
    for each in _SIGNALS:
        signal.signal(each, _interrupt)
    try:
        with _folder(data_dir) as folder:
            _play(DataDir(folder), options, keep=keep)
    except KeyboardInterrupt:
        _complain("Interrupted; everything is stopped.")
        return INTERRUPTED
    except (StartFailed, EmbeddedServerMissing) as error:
        _complain(f"The stack did not start. {error}")
        return NOT_STARTED
    except _Failed as failure:
        _complain(str(failure))
        return FAILED
    return PLAYED


class _Failed(Exception):
    """A check did not hold, or something could not be done; the message has all of it."""


@contextlib.contextmanager
def _folder(given: Path | None) -> Generator[Path]:
    """The data directory: the given one, or one that is removed at the end unless its logs are needed."""
    if given is not None:
        yield given.expanduser().resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="hybridci-demo-")).resolve()
    try:
        yield folder
    except _Failed:
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _play(data: DataDir, options: Options, *, keep: bool) -> None:
    tell = Narrator()
    tell.say(f"Starting Temporal, the AWS APIs, the API, the control worker and two agents in {data.root} …")
    with contextlib.ExitStack() as stack:
        stack.enter_context(running_stack(options, data.root))
        agents = stack.enter_context(running_agents(options, data))
        control = Control(stack.enter_context(ApiClient(find_connection(data.root))), data, options)
        tell.say("The stack is up.")
        tell.link("API and its docs", f"{options.url}/api/docs")
        tell.link("Temporal UI", options.temporal_ui)
        try:
            with _machines(control, agents) as parts:
                DemoStory(parts, tell).play()
                tell.summary()
                if keep:
                    _wait_for_interrupt(tell, data)
                else:
                    _say_what_next(tell)
        except (DemoFailed, CliError, subprocess.CalledProcessError, OSError) as error:
            raise _Failed(f"{_text(error)}\nEverything is stopped. The logs are in {data.logs}.") from error


@contextlib.contextmanager
def _machines(control: Control, agents: Agents) -> Generator[DemoParts]:
    """The repository and the servers, in a folder of the data directory."""
    service = _free_name(control)
    folder = control.data.root / "demo" / service
    homes = {environment: folder / environment for environment in _SERVERS}
    shop = make_repository(folder / "repository")
    with contextlib.ExitStack() as stack:
        ports = {
            environment: stack.enter_context(running_servers(homes[environment], count))
            for environment, count in _SERVERS.items()
        }
        yield DemoParts(control, agents, shop, service, folder, homes, ports)


def _free_name(control: Control) -> str:
    """A service's history is its own: the second demo in a data directory has another shop."""
    number = 1
    while True:
        name = "shop" if number == 1 else f"shop-{number}"
        try:
            control.api.get(f"{SERVICES}/{name}")
        except ApiRefused as refusal:
            if refusal.status == 404 and not (control.data.root / "demo" / name).exists():
                return name
            if refusal.status != 404:
                raise
        number += 1


def _say_what_next(tell: Narrator) -> None:
    tell.say("All of it is stopped now, and nothing is left. The same once more, which goes on running:")
    tell.command("hybridci demo --keep")
    tell.say("A stack of your own, and in a second terminal, in a folder with a git repository, its first job:")
    tell.command("hybridci up")
    tell.command("hybridci job submit --repo . --run ls --wait")


def _wait_for_interrupt(tell: Narrator, data: DataDir) -> None:
    tell.say("Everything goes on running. Look around; Ctrl-C stops it all.")
    tell.command(f"hybridci deploy list --data-dir {data.root}")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            signal.pause()


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _text(error: BaseException) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"{error} {error.stderr}".strip()
    return str(error)


def _complain(sentence: str) -> None:
    sys.stderr.write(f"hybridci demo: {clean(sentence)}\n")
