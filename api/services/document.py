"""A service's definition as the document that people write: read with the lines of its fields, written, compared.

The file of ``hybridci service apply``, the body of a check, and the text of the dashboard's editor are this. Pure.
Deliberately not here: what its fields may be (``contracts.deployments.services``).
"""

import difflib
import json
from dataclasses import dataclass
from typing import Any, Final, cast

from workflows.contracts.deployments.services import Service
from workflows.yaml_places import Places, places_of
from workflows.yaml_text import UnreadableYaml, reads_as_text, yaml_to_json

_ORDER: Final = (
    "description", "git_repo", "git_ref", "commit_on_ref", "allow_version_reuse", "labels", "definition", "policy",
    "build", "test", "environments",
)  # fmt: skip
_MOST_LINES: Final = 2000
"""Of each side of a comparison, which takes as long as their product."""
_AROUND: Final = 3


@dataclass(frozen=True, slots=True)
class Document:
    """What was written: the service's name, if it says one, its other fields as JSON, and where they stand."""

    name: str | None
    fields: dict[str, Any]
    places: Places


def read_document(raw: bytes) -> Document:
    """YAML or JSON. Takes up to half a second: call it in a thread. Raises UnreadableYaml.

    Not-a-number and infinity stay in the fields: where they are refused, their place is told.
    """
    found: Any = json.loads(yaml_to_json(raw))
    if not isinstance(found, dict):
        raise UnreadableYaml("it must be a map of fields such as git_repo and environments", 1)
    fields = cast("dict[str, Any]", found)
    name: object = fields.pop("name", None)
    if name is not None and not isinstance(name, str):
        raise UnreadableYaml("name must be a text", places_of(raw).line("name"))
    return Document(name, fields, places_of(raw))


def definition_yaml(service: Service) -> str:
    """The document that registers it: what differs from the defaults, and all of an approval and of what would else be
    ``{}``, which reads as if nothing were asked.
    """
    short = service.spec.model_dump(mode="json", exclude_defaults=True)
    spec: dict[str, Any] = _told(short, service.spec.model_dump(mode="json"))
    if "environments" in spec:
        spec["environments"] = [{"name": each["name"], **each} for each in spec["environments"]]
    ordered = {name: spec[name] for name in _ORDER if name in spec}
    return _written({"name": service.name, **ordered, **spec})


def difference(before: str, after: str, names: tuple[str, str]) -> list[str]:
    """The lines of a unified difference; none where they are the same. Takes up to a second: call it in a thread."""
    old, new = before.splitlines(), after.splitlines()
    if max(len(old), len(new)) > _MOST_LINES:
        return [] if old == new else [f"@@ more than {_MOST_LINES} lines: they differ, and are not compared @@"]
    return list(difflib.unified_diff(old, new, *names, lineterm="", n=_AROUND))


def _told(short: object, full: object) -> Any:
    """``short`` with more of what it means, from ``full``."""
    if isinstance(short, list) and isinstance(full, list):
        pairs = zip(cast(list[Any], short), cast(list[Any], full), strict=True)
        return [_told(one, whole) for one, whole in pairs]
    if not isinstance(short, dict) or not isinstance(full, dict):
        return cast(object, short)
    some, all_of_it = cast(dict[str, Any], short), cast(dict[str, Any], full)
    if not some:
        return _without_nothing(all_of_it)
    return {
        name: _without_nothing(all_of_it[name]) if name == "approval" else _told(value, all_of_it.get(name))
        for name, value in some.items()
    }


def _without_nothing(full: object) -> Any:
    """Without the fields that say nothing: null, and lists of nothing."""
    if isinstance(full, list):
        return [_without_nothing(each) for each in cast(list[Any], full)]
    if not isinstance(full, dict):
        return full
    fields = cast(dict[str, Any], full).items()
    return {name: _without_nothing(value) for name, value in fields if value is not None and value != []}


def _written(content: dict[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Commands of several lines as they were written, and no aliases."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None if reads_as_text(value) else "'"
        return dumper.represent_scalar(  # pyright: ignore[reportUnknownMemberType]
            "tag:yaml.org,2002:str", value, style=style
        )

    Dumper.add_representer(str, text)
    return str(yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110))
