"""At which line of a YAML document a field stands, so that an error can be told where its writer looks.

For documents that ``yaml_text`` has taken: its bounds hold, and JSON is read the same way. Deliberately not here: what
is wrong with a field (its contract).
"""

from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml import events

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class _Place:
    """A value: where it (or its key) begins, and what it holds by key or number."""

    line: int
    inside: dict[str, "_Place"] = field(default_factory=dict[str, "_Place"])


@dataclass(slots=True)
class _Open:
    """A list or map that has not ended. ``key`` waits for its value."""

    place: _Place
    is_map: bool
    key: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """The lines of one document, from 1 on."""

    root: _Place

    def line(self, path: str) -> int | None:
        """Of ``environments.1.steps.0.run``; of a field that is not there, of what should hold it. None of the whole.

        What came through an alias stands where the alias does.
        """
        parts, place, at = path.split("."), self.root, 0
        while at < len(parts):
            end = next((end for end in range(at + 1, len(parts) + 1) if ".".join(parts[at:end]) in place.inside), None)
            if end is None:  # a word of the contract's own, or what is missing
                at += 1
                continue
            place, at = place.inside[".".join(parts[at:end])], end
        return None if place is self.root else place.line


def places_of(raw: bytes) -> Places:
    """The places of a document that ``yaml_to_json`` has taken. Of any other, as far as it can be read."""
    root = _Place(1)
    stack: list[_Open] = []
    try:
        for event in yaml.parse(raw.decode("utf-8-sig"), Loader=_LOADER):
            if isinstance(event, events.CollectionEndEvent):
                stack.pop()
            elif isinstance(event, events.CollectionStartEvent | events.ScalarEvent | events.AliasEvent):
                _read(event, stack, root)
    except (yaml.YAMLError, UnicodeDecodeError):
        pass
    return Places(root)


def _read(event: events.NodeEvent, stack: list[_Open], root: _Place) -> None:
    mark: Any = event.start_mark
    line = int(mark.line) + 1
    inside = stack[-1] if stack else None
    if inside is not None and inside.is_map and inside.key is None and isinstance(event, events.ScalarEvent):
        inside.key = (str(event.value), line)
        return
    if inside is None:
        place = root
    else:
        name, line = inside.key or (str(len(inside.place.inside)), line)
        place = inside.place.inside[name] = _Place(line)
        inside.key = None
    if isinstance(event, events.CollectionStartEvent):
        stack.append(_Open(place, isinstance(event, events.MappingStartEvent)))
