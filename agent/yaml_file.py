"""The agent's own YAML files as models. What is wrong with one is said without its content, which may be secret."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from agent.settings import SettingsError
from workflows.contracts.errors import fields_text
from workflows.yaml_text import UnreadableYaml, yaml_file_to_json

T = TypeVar("T")


def read_yaml(path: Path, setting: str, shape: TypeAdapter[T]) -> T:
    """The file's content as ``shape``. Raises SettingsError that names ``setting``, the file and every bad field."""
    try:
        content = yaml_file_to_json(path)
    except OSError as error:
        raise SettingsError(
            f"{setting} names {path}, which cannot be read ({error.strerror}): name another file."
        ) from None
    except UnreadableYaml as error:
        where = "" if error.line is None else f" in line {error.line}"
        raise SettingsError(f"{path} ({setting}) is no YAML{where} ({error.without_content}): correct it.") from None
    try:
        return shape.validate_python(json.loads(content))
    except ValidationError as error:
        problems = fields_text(error, nameless="the whole file")
        raise SettingsError(f"{path} ({setting}) cannot be used: {problems}.") from None
