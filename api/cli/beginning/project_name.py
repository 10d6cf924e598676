"""How a project calls itself, in the files of its languages at the repository's top.

Only a name that can be a service's as it stands: what would have to be made fit is no better than the folder's.
Deliberately not here: what a name falls back to (``repository``).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from api.cli.beginning.reading import json_of, map_of, text_of, toml_of
from workflows.contracts.deployments.services import ServiceName

_NAME: Final[TypeAdapter[str]] = TypeAdapter(ServiceName)
_MODULE: Final = re.compile(r"(?m)^module[ \t]+\"?([^\s\"]+)")
_MAJOR: Final = re.compile(r"/v[0-9]+$")


def project_name(top: Path) -> tuple[str, str] | None:
    """A service's name, and the file that says it; None where none does."""
    for file, name in _said(top).items():
        try:
            return _NAME.validate_python(name, strict=True), file
        except ValidationError:
            continue
    return None


def _said(top: Path) -> Mapping[str, object]:
    """By file, in the order in which they are believed."""
    python, rust = toml_of(top / "pyproject.toml"), toml_of(top / "Cargo.toml")
    poetry = map_of(map_of(python.get("tool")).get("poetry"))
    module = _MODULE.search(text_of(top / "go.mod"))
    return {
        "pyproject.toml": map_of(python.get("project")).get("name") or poetry.get("name"),
        "package.json": map_of(json_of(top / "package.json")).get("name"),
        "Cargo.toml": map_of(rust.get("package")).get("name"),
        "go.mod": None if module is None else _MAJOR.sub("", module[1]).rpartition("/")[2],
    }
