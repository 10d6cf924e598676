"""Reading the agent's own YAML files. What is wrong with one is said without its content, which may be secret."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from agent.settings import SettingsError

T = TypeVar("T")


def read_yaml(path: Path, setting: str, shape: TypeAdapter[T]) -> T:
    """The file's content as ``shape``. Raises SettingsError that names ``setting``, the file and every bad field."""
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise SettingsError(f"{setting} names {path}, which cannot be read ({why}): name another file.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if isinstance(mark, yaml.Mark) else ""
        raise SettingsError(f"{path} ({setting}) is no YAML{where}: correct it.") from None
    try:
        return shape.validate_python(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'the whole file'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        )
        raise SettingsError(f"{path} ({setting}) cannot be used: {problems}.") from None
