"""The names that others know us by: they are in histories, in scripts and in people's fingers, so none may change.

``python -m tests.unit.names`` adds what is new to ``names_snapshot.json``, which began with the code of f5dbbcf. It
takes nothing out: a name that is really to go is taken out by hand, with its reason in the commit.
"""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

SNAPSHOT = Path(__file__).with_name("names_snapshot.json")
HOW_TO_ADD = "To add what is new: `python -m tests.unit.names`, and commit tests/unit/names_snapshot.json with it."


def present() -> dict[str, list[str]]:
    """Every name by its kind, as the code has it now."""
    workflows = _workflows()
    return {
        "workflows": sorted(workflows),
        "signals": _handlers(workflows, "signals"),
        "updates": _handlers(workflows, "updates"),
        "queries": _handlers(workflows, "queries"),
        "activities": sorted(activities("activities", "agent")),
        "failures": _failures(),
        "events": _events(),
        "operations": _operations(),
        "commands": sorted(_commands()),
    }


def kept() -> dict[str, list[str]]:
    """The snapshot."""
    return json.loads(SNAPSHOT.read_text())


def _modules(package: str) -> Iterator[ModuleType]:
    root = importlib.import_module(package)
    yield root
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def _members(*packages: str) -> Iterator[Any]:
    """Everything that is defined in these packages, methods of classes too."""
    for package in packages:
        for module in _modules(package):
            for member in vars(module).values():
                yield member
                if inspect.isclass(member):
                    yield from vars(member).values()


def activities(*packages: str) -> set[str]:
    """The names of the activities that are defined in these packages."""
    found = (getattr(each, "__temporal_activity_definition", None) for each in _members(*packages))
    return {definition.name for definition in found if definition is not None}


def _workflows() -> dict[str, Any]:
    """The SDK's own account of each workflow: what a worker will answer to."""
    found = (
        vars(each).get("__temporal_workflow_definition") for each in _members("workflows") if inspect.isclass(each)
    )
    return {definition.name: definition for definition in found if definition is not None}


def _handlers(workflows: dict[str, Any], kind: str) -> list[str]:
    return sorted(f"{name}.{handler}" for name, each in workflows.items() for handler in getattr(each, kind))


def _failures() -> list[str]:
    from workflows.contracts.errors import ErrorCode

    return sorted(code.value for code in ErrorCode)


def _events() -> list[str]:
    from workflows.contracts.audit.types import EventType

    return sorted(each.value for each in EventType)


def _operations() -> list[str]:
    from tests.api.conftest import memory_app

    paths: dict[str, dict[str, Any]] = memory_app()[0].openapi()["paths"]
    return sorted(
        f"{method.upper()} {path} {operation['operationId']}"
        for path, methods in paths.items()
        for method, operation in methods.items()
    )


def _commands() -> set[str]:
    from api.cli.main import app

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[str]:
        if not hasattr(command, "list_commands"):
            yield " ".join(words)
            return
        for name in command.list_commands(None):
            yield from walk(command.get_command(None, name), (*words, name))

    return set(walk(typer.main.get_command(app), ()))


def main() -> None:
    """Add what is new."""
    old = kept() if SNAPSHOT.exists() else {}
    union = {kind: sorted({*old.get(kind, []), *names}) for kind, names in present().items()}
    SNAPSHOT.write_text(json.dumps(union, indent=1) + "\n")


if __name__ == "__main__":
    main()
