"""``docs/files.md``: every field of every file. ``python -m tests.unit.files.references`` writes it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.unit.files.schemas import build

PAGE: Final = Path(__file__).parents[3] / "docs" / "files.md"
HOW_TO_RENEW: Final = "Renew it: `python -m tests.unit.files.references`, and commit docs/files.md with it."
_INTRODUCTION: Final = """# Files

Every field of the files that people write. Written by `python -m tests.unit.files.references` from the code, and
compared with it by a test. `hybridci init` writes a first one from the repository you stand in;
`hybridci service check -f FILE` says what is wrong with a service. Unknown fields are refused, and the message says
which may have been meant.

The same as JSON Schemas, for editors and checks elsewhere: `hybridci schema` with a file's name, or without a key
`GET /api/schemas/{name}.json` of an installation. An editor with a YAML language server finds it by the first line:

```yaml
# yaml-language-server: $schema=http://127.0.0.1:8000/api/schemas/service.json
```

Durations are seconds. `—` as the default: it must be given; none: it may be left out.
"""


def page() -> str:
    """The whole page. What several files share stands with the first."""
    parts = [_INTRODUCTION]
    told: set[str] = set()
    for name, schema in build().items():
        parts.append(f"\n## {schema['title']}\n\n{schema['description']} Schema: `{name}`.\n\n")
        parts.append("\n".join(_table(schema)) + "\n")
        for inner, defined in schema.get("$defs", {}).items():
            if inner in told:
                continue
            told.add(inner)
            said = str(defined.get("description", ""))
            if "properties" in defined:
                parts.append(f"\n### {inner}\n\n{said}\n\n" + "\n".join(_table(defined)) + "\n")
            elif "enum" in defined:
                values = ", ".join(f"`{value}`" for value in defined["enum"])
                parts.append(f"\n### {inner}\n\n{said} {values}.\n")
    return "".join(parts)


def _table(schema: dict[str, Any]) -> Iterator[str]:
    yield "| field | type | default | meaning |"
    yield "|---|---|---|---|"
    required = schema.get("required", [])
    for name, field in schema["properties"].items():
        default = "—" if name in required else _default(field)
        meaning = " ".join(str(field["description"]).split())
        limits = ", ".join(_limits(field))
        kind = _kind(field) + (f"; {limits}" if limits else "")
        yield f"| `{name}` | {kind} | {default} | {_cell(meaning)} |"


def _kind(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = str(field["$ref"]).rpartition("/")[2]
        return "anything" if name == "JsonValue" else f"[{name}](#{name.lower()})"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    for choice in ("anyOf", "oneOf"):
        if choice in field:
            kinds = [_kind(each) for each in field[choice] if each.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if field.get("type") == "array":
        inner = _kind(field["items"]) if "items" in field else "anything"
        return f"list of {inner}"
    if field.get("type") == "object":
        inner = field.get("additionalProperties")
        return f"map to {_kind(inner)}" if isinstance(inner, dict) and inner else "map"  # pyright: ignore[reportUnknownArgumentType]
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
    return words.get(str(field.get("type")), "anything")


def _limits(field: dict[str, Any]) -> Iterator[str]:
    shapes = [field, *(each for each in field.get("anyOf", []) if each.get("type") != "null")]
    for shape in shapes:
        low, high = shape.get("minimum"), shape.get("maximum")
        if low is not None and high is not None:
            yield f"{low} to {high}"
        elif low is not None:
            yield f"{low} or more"
        elif shape.get("exclusiveMinimum") is not None:
            most = f", {high} at most" if high is not None else ""
            yield f"more than {shape['exclusiveMinimum']}{most}"
        if shape.get("maxLength") is not None:
            yield f"at most {shape['maxLength']} characters"
        if shape.get("maxItems") is not None or shape.get("maxProperties") is not None:
            yield f"at most {shape.get('maxItems', shape.get('maxProperties'))}"


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if value is None or value in ("", [], {}) or isinstance(value, dict):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
