"""What the deployment's steps run: install a version, switch servers to it, look at its health, verify it.

A server runs what its ``current`` link points to. Everything is found in the environment: SHOP_HOME (the folder of this
environment), SHOP_PORTS (one server each), and the HYBRIDCI_… variables that every stage has.
"""

import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

HOME = Path(os.environ["SHOP_HOME"])
PORTS = [int(port) for port in os.environ["SHOP_PORTS"].split()]
VERSION = os.environ["HYBRIDCI_VERSION"]
RELEASE = HOME / "releases" / VERSION
CANNOT_TELL = 75
SWITCH_SECONDS = 15
VERIFYING_REQUESTS = 40
MOST_ERRORS = 0.02


def main() -> None:
    """Run one of them."""
    commands = {"install": install, "switch": switch, "health": health, "verify": verify}
    commands[sys.argv[1]]()


def install() -> None:
    """Copy this commit to the machine, whole or not at all. Installing a version again changes nothing."""
    built = Path("VERSION").read_text(encoding="utf-8").strip()
    if built != VERSION:
        sys.exit(f"This commit is version {built}, but {VERSION} is to be deployed: deploy the commit of {VERSION}.")
    coming = RELEASE.with_name(f".{VERSION}.{os.getpid()}")
    coming.mkdir(parents=True)
    for name in ("VERSION", "app.py", "pricing.py"):
        shutil.copy(name, coming)
    try:
        coming.rename(RELEASE)
    except OSError:  # it is there already
        shutil.rmtree(coming)
    say(f"{VERSION} is installed in {RELEASE}")


def switch() -> None:
    """Point as many servers to this version as the percentage says; return when they answer with it."""
    take_turn()
    percent = int(os.environ["HYBRIDCI_ROLLOUT_PERCENT"])
    count = -(-len(PORTS) * percent // 100)
    for number in range(1, count + 1):
        link = HOME / f"server-{number}" / "current"
        coming = link.with_name(f".current.{os.getpid()}")
        coming.symlink_to(RELEASE)
        coming.replace(link)
    for port in PORTS[:count]:
        deadline = time.monotonic() + SWITCH_SECONDS
        while (seen := ask(port, "/version")) != (200, {"version": VERSION}):
            if time.monotonic() > deadline:
                sys.exit(f"The server on port {port} does not answer with {VERSION}: {seen}.")
            time.sleep(0.02)
        say(f"the server on port {port} answers with {VERSION}")


def take_turn() -> None:
    """The target's own fence: a job that was thought dead must not switch back what its successor has switched."""
    number, file = int(os.environ["HYBRIDCI_FENCE"]), HOME / "fence"
    newest = int(file.read_text(encoding="utf-8")) if file.exists() else 0
    if number < newest:
        sys.exit(f"Turn {number} is over: this environment has seen turn {newest}.")
    coming = file.with_name(f".fence.{os.getpid()}")
    coming.write_text(str(number), encoding="utf-8")
    coming.replace(file)


def health() -> None:
    """Every server that runs something must say that it is well; some may still run the version before."""
    for number, port in enumerate(PORTS, 1):
        if not (HOME / f"server-{number}" / "current").exists():
            continue
        seen = ask(port, "/health")
        say(f"GET http://127.0.0.1:{port}/health: {seen}")
        if seen[0] != 200:
            sys.exit(f"The server on port {port} is not well: look at {HOME / f'server-{number}' / 'log'}.")


def verify() -> None:
    """Do what visitors do, on every server, and count the errors."""
    errors: list[object] = []
    for number in range(VERIFYING_REQUESTS):
        status, body = ask(PORTS[number % len(PORTS)], f"/price?orders={number // len(PORTS) % 5}")
        if status is None:
            say(f"cannot tell: {body}")
            sys.exit(CANNOT_TELL)
        if status != 200:
            errors.append(body)
    rate = len(errors) / VERIFYING_REQUESTS
    say(f"{len(errors)} of {VERIFYING_REQUESTS} requests failed; at most {MOST_ERRORS:.0%} may")
    if rate > MOST_ERRORS:
        sys.exit(f"The error rate is {rate:.0%}. The first error: {errors[0]}")


def ask(port: int, path: str) -> tuple[int | None, Any]:
    """Status and JSON of a real request; None and why when there was no answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError as error:
        return None, str(error)


def say(line: str) -> None:
    """A line for the job's log."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
