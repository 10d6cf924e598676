"""The JSON Schemas of the files that people write, as they are shipped beside this module.

Written from the models by ``python -m tests.unit.files.schemas``. Deliberately not here: serving them (``routes``) and
printing them (the command line).
"""

from importlib.resources import files
from typing import Final

NAMES: Final = ("job", "service", "definition", "access-policy", "webhook-manifest", "metrics-manifest")


def schema_text(name: str) -> str:
    """The schema of this name, which is one of ``NAMES``. Raises KeyError for another."""
    if name not in NAMES:
        raise KeyError(name)
    return (files("api.file_schemas") / f"{name}.json").read_text("utf-8")
