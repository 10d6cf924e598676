"""The first lines of the `hybridci` command: that this Python is new enough, and that the code it runs is its own.

Written for Python 3.7 and later, with the standard library only, under a name that nobody else has: a folder ``api`` on
PYTHONPATH would else be imported in our place. Deliberately not here: the commands (``api.cli.main``).
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys

PACKAGES = ("api", "workflows", "activities", "agent")
NEEDED = (3, 11)
WRONG = 2
"""The exit code."""
COMPLETE_VARIABLE = "_HYBRIDCI_COMPLETE"
"""Set by the shell's function that typer installs."""


def main() -> None:
    """Run the command line, or say in a sentence why not."""
    if COMPLETE_VARIABLE in os.environ:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a traceback would stand in the line that is being typed
    said = too_old(sys.version_info[:2]) or shadowed()
    if said is not None:
        sys.stderr.write("hybridci: " + said + "\n")
        sys.exit(WRONG)
    from api.cli.main import main as run

    run()


def too_old(version: tuple[int, ...]) -> str | None:
    """What to say to a Python before 3.11."""
    if version >= NEEDED:
        return None
    have = ".".join(str(part) for part in version)
    return "This needs Python 3.11 or newer, and this is Python " + have + ": make its environment with a newer one."


def shadowed() -> str | None:
    """What else would be imported in place of our packages, and where it is; None when all four are ours.

    They are when they lie beside each other, wherever that is: installed, or a checkout on PYTHONPATH.
    """
    places = {name: _place(name) for name in PACKAGES}
    own = [place for place in places.values() if place and os.path.isfile(os.path.join(place, "api", "cli", "main.py"))]
    foreign = [name for name in PACKAGES if not own or places[name] != own[0]]
    if not foreign:
        return None
    if not own or any(places[name] is None for name in foreign):
        own_place = os.path.dirname(os.path.abspath(__file__))
        foreign = [name for name in foreign if places[name] not in (None, own_place)]
    found = [os.path.join(places[name] or "", name) for name in foreign]
    if not found:
        return "Parts of hybridci are not installed: install it again."
    path = os.environ.get("PYTHONPATH")
    where = "It is on PYTHONPATH (" + path + "): take it out there" if path else "Run the command in another folder"
    return (
        "Python finds "
        + " and ".join(found)
        + ", which "
        + ("are" if len(found) > 1 else "is")
        + " not ours, in place of the part of hybridci of that name. "
        + where
        + ", or give that folder another name."
    )


def _place(name: str) -> str | None:
    """The folder in which Python finds the package, without importing it."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or [])
    inside = folders[0] if folders else os.path.join(os.path.splitext(spec.origin or "")[0])
    return os.path.dirname(os.path.realpath(inside))


if __name__ == "__main__":
    main()
