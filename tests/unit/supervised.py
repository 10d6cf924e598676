"""A program that supervises what its arguments say, for ``test_supervisor``: like `hybridci up`, on small children.

It is a process of its own because a supervisor ends every descendant it has, and pytest has some that must live.
Argument: a JSON list of {"name", "run" (bash), "grace", "phase", "ready" (text in the log)}. The folder is the cwd.
SIGUSR1 retires the last child.
"""

import asyncio
import json
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from api.cli.stack.child import Child, ChildSpec
from api.cli.stack.leftovers import Register
from api.cli.stack.supervisor import StartupFailed, Supervisor


async def supervise(children: list[dict[str, Any]]) -> int:
    stop, hurry = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: hurry.set() if stop.is_set() else stop.set())
    folder = Path.cwd()
    (folder / "logs").mkdir(exist_ok=True)
    register = Register(folder / "processes.json")
    supervisor = Supervisor(folder=folder, logs=folder / "logs", register=register, say=partial(print, flush=True))
    code = 0
    last = children[-1]["name"]
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: supervisor.retire(last))
    try:
        supervisor.start([_spec(child) for child in children])
        await supervisor.wait_ready([child["name"] for child in children], seconds=3)
        print("ready", flush=True)
        await supervisor.run(stop)
    except StartupFailed as error:
        print(f"failed: {error}", flush=True)
        code = 1
    finally:
        phases = sorted({child.get("phase", 0) for child in children})
        await supervisor.stop(
            [[child["name"] for child in children if child.get("phase", 0) == phase] for phase in phases], hurry
        )
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    print("stopped", flush=True)
    return code


def _spec(child: dict[str, Any]) -> ChildSpec:
    command = ["bash", "-c", child["run"]]
    return ChildSpec(child["name"], command, {"PATH": "/usr/bin:/bin"}, partial(_ready, text=child.get("ready", "")),
                     child.get("grace", 5))  # fmt: skip


async def _ready(child: Child, *, text: str) -> bool:
    return child.printed(text)


if __name__ == "__main__":
    sys.exit(asyncio.run(supervise(json.loads(sys.argv[1]))))
