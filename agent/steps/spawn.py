"""Starting a process quickly and learning of its death without a thread. The rules of a job's life: ``process``."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from agent.steps.job_user import JobUser, spawned_as


class SpawnError(Exception):
    """The command could not be started. ``exit_code`` is what a shell would say: 127 not found, 126 otherwise."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def spawn(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: dict[str, str],
    output: int,
    pass_fds: Sequence[int],
    user: JobUser | None = None,
) -> subprocess.Popen[bytes]:
    """Start it in a session of its own, as ``user`` where one is given. Raises SpawnError.

    No preexec_fn, so that Python uses vfork: 1 ms instead of a copied heap.
    """
    # An agent started in the background ignores SIGINT, and so would its jobs: a handler is reset by exec, SIG_IGN not.
    main = threading.current_thread() is threading.main_thread()
    ignored = main and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, pass_fds=pass_fds, **spawned_as(user),
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise _refusal(argv[0], cwd, error) from error
    finally:
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _refusal(program: str, cwd: Path, error: OSError | ValueError) -> SpawnError:
    if isinstance(error, FileNotFoundError) and str(error.filename) == str(cwd):
        return SpawnError(
            f"{program} was not started: its folder {cwd} does not exist. A step may have removed it.", 126
        )
    if isinstance(error, FileNotFoundError):
        return SpawnError(f"{program}: command not found. Install it on the agent's host, or correct its name.", 127)
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return SpawnError(f"{program} could not be started: {reason}. Look at the agent's host and the step's env.", 126)


def when_dead(popen: subprocess.Popen[bytes]) -> asyncio.Future[None]:
    """Resolved when the process is dead; on Linux before it is reaped, so that its group's number is still its own."""
    loop = asyncio.get_running_loop()
    dead: asyncio.Future[None] = loop.create_future()

    def resolve() -> None:
        if not dead.done():
            dead.set_result(None)

    if sys.platform == "linux":
        pidfd = os.pidfd_open(popen.pid)
        loop.add_reader(pidfd, resolve)
        dead.add_done_callback(lambda _: (loop.remove_reader(pidfd), os.close(pidfd)))
    else:

        def wait() -> None:
            popen.wait()
            loop.call_soon_threadsafe(resolve)

        threading.Thread(target=wait, daemon=True).start()
    return dead
