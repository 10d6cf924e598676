"""The one YAML reader: of the API, repositories' definitions, webhook manifests, the agent's files and the CLI's.

YAML is read as the JSON that it stands for, within bounds: bytes, depth, and values and characters with all aliases
written out. YAML 1.2's core schema, so that a YAML and a JSON document of the same look mean the same: ``yes``,
``2026-11-21`` and ``12:30`` are texts, a key is the text it is written as. Stricter in one thing: a number does not
begin with 0, so ``0777`` is a text (1.2 says 777, 1.1 said 511). Anchors, aliases and ``<<`` work; a key twice, an
alias of itself, a tag and a second document are refused. Built on the parser's events, which need no recursion:
PyYAML's own composer can be made to crash the process. Deliberately not here: what the document means, and that ``yes``
is no boolean (``contracts.errors.field_errors`` says so where one is expected).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import Any, Final

import yaml
from yaml import events

from workflows.yaml_words import tripped_over

MAX_YAML_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 50
_VALUE_WEIGHT: Final = 8
_WEIGHT_OF_A_BYTE: Final = 4
"""A document may weigh this times its allowed bytes: characters, and 8 for each value, with all aliases written out."""
_MAX_DIGITS: Final = 300
_MAX_QUOTED: Final = 100
_STRING_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:str"})
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONSTANTS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{sign + text: float(sign + "inf") for sign in ("", "+", "-") for text in (".inf", ".Inf", ".INF")},
}
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_OTHER_BASE: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class UnreadableYaml(ValueError):
    """The bytes are no YAML that is taken here; the message says where and why.

    ``{}`` in ``why`` stands for ``quoted``, a piece of the document; ``without_content`` is ``why`` without it.
    """

    def __init__(self, why: str, line: int | None = None, quoted: str = "") -> None:
        place = "" if line is None else f"line {line}: "
        super().__init__(place + why.replace("{}", repr(quoted[:_MAX_QUOTED])))
        self.line, self.without_content = line, why.replace("{}", "…")


@dataclass(frozen=True, slots=True)
class _Node:
    value: Any
    weight: int
    depth: int


@dataclass(slots=True)
class _Collection:
    """A list or map whose end has not come. ``pairs`` of a list have no key; ``key`` waits for its value."""

    anchor: str | None
    is_map: bool
    line: int
    pairs: list[tuple[str | None, _Node]] = field(default_factory=list[tuple[str | None, _Node]])
    key: str | None = None
    seen: set[str] = field(default_factory=set[str])


def yaml_to_json(raw: bytes, *, max_bytes: int = MAX_YAML_BYTES) -> bytes:
    """The JSON of one YAML document; not-a-number and infinity stay as Python writes them. Raises UnreadableYaml.

    Takes up to half a second for the worst bytes of the usual size: call it in a thread.
    """
    if len(raw) > max_bytes:
        raise UnreadableYaml(f"it is more than {max_bytes} bytes long, and no more are taken")
    try:
        text = raw.decode("utf-8-sig")
        value = _Reader(max_bytes * _WEIGHT_OF_A_BYTE).read(yaml.parse(text, Loader=_LOADER))
    except UnicodeDecodeError as error:
        raise UnreadableYaml(f"it is not UTF-8: the byte at {error.start} begins no character") from None
    except yaml.YAMLError as error:
        raise _unparsed(error) from None
    return json.dumps(value).encode("ascii")


def yaml_file_to_json(file: Traversable, *, max_bytes: int = MAX_YAML_BYTES) -> bytes:
    """The same of a file. Raises OSError too; of a file that is too long, no more is read than tells so."""
    with file.open("rb") as opened:
        return yaml_to_json(opened.read(max_bytes + 1), max_bytes=max_bytes)


def reads_as_text(text: str) -> bool:
    """Whether this text, written plain, is a text and not a number, a constant or nothing: else it needs quotes."""
    return text not in _CONSTANTS and not _is_number(text)


class _Reader:
    """Builds one document's value from its events."""

    def __init__(self, max_weight: int) -> None:
        self._max_weight = max_weight
        self._stack: list[_Collection] = []
        self._anchors: dict[str, _Node] = {}
        self._open_anchors: set[str] = set()
        self._weight = 0
        self._root: _Node | None = None

    def read(self, parsed: Iterator[events.Event]) -> Any:
        for event in parsed:
            if isinstance(event, events.DocumentStartEvent) and self._root is not None:
                raise UnreadableYaml("a second document begins; send one", _line(event))
            if isinstance(event, events.AliasEvent):
                self._put(self._aliased(event))
            elif isinstance(event, events.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, events.CollectionStartEvent):
                self._open(event)
            elif isinstance(event, events.CollectionEndEvent):
                self._close()
        if self._root is None:
            raise UnreadableYaml("it holds no document")
        return self._root.value

    def _scalar(self, event: events.ScalarEvent) -> None:
        if event.tag is not None and event.tag not in _STRING_TAGS:
            raise UnreadableYaml("the tag {} is not taken; leave it out", _line(event), event.tag)
        text: str = event.value
        if self._key_is_next():
            self._key(event, text)
            return
        plain = event.tag is None and event.implicit[0]
        node = _Node(_plain(text, _line(event)) if plain else text, len(text) + _VALUE_WEIGHT, 0)
        self._weigh(event, node.weight)
        self._anchor(event.anchor, node)
        self._put(node)

    def _key_is_next(self) -> bool:
        return bool(self._stack) and self._stack[-1].is_map and self._stack[-1].key is None

    def _key(self, event: events.ScalarEvent, text: str) -> None:
        inside = self._stack[-1]
        if text in inside.seen:
            raise UnreadableYaml("the key {} is there twice in one map", _line(event), text)
        if event.anchor is not None:
            raise UnreadableYaml("a key cannot have an anchor", _line(event))
        inside.seen.add(text)
        inside.key = text

    def _open(self, event: events.CollectionStartEvent) -> None:
        if self._key_is_next():
            raise UnreadableYaml("a key must be a text, not a list or map", _line(event))
        if event.tag is not None and event.tag != "!":
            raise UnreadableYaml("the tag {} is not taken; leave it out", _line(event), event.tag)
        if len(self._stack) >= MAX_DEPTH:
            raise UnreadableYaml(f"it is nested deeper than {MAX_DEPTH} levels", _line(event))
        if event.anchor is not None:
            self._open_anchors.add(event.anchor)
            self._anchors.pop(event.anchor, None)
        self._weigh(event, _VALUE_WEIGHT)
        self._stack.append(_Collection(event.anchor, isinstance(event, events.MappingStartEvent), _line(event)))

    def _close(self) -> None:
        done = self._stack.pop()
        value = _merged(done) if done.is_map else [node.value for _, node in done.pairs]
        weight = _VALUE_WEIGHT + sum(node.weight + len(key or "") for key, node in done.pairs)
        node = _Node(value, weight, 1 + max((node.depth for _, node in done.pairs), default=0))
        self._open_anchors.discard(done.anchor or "")
        self._anchor(done.anchor, node)
        self._put(node)

    def _aliased(self, event: events.AliasEvent) -> _Node:
        name = str(event.anchor)
        if self._key_is_next():
            raise UnreadableYaml("a key must be a text, not an alias", _line(event))
        if name in self._open_anchors:
            raise UnreadableYaml("the alias {} stands inside what it stands for", _line(event), name)
        node = self._anchors.get(name)
        if node is None:
            raise UnreadableYaml("there is no anchor {} before its alias", _line(event), name)
        if len(self._stack) + node.depth > MAX_DEPTH:
            raise UnreadableYaml(f"with its aliases it is nested deeper than {MAX_DEPTH} levels", _line(event))
        self._weigh(event, node.weight)
        return node

    def _anchor(self, anchor: str | None, node: _Node) -> None:
        if anchor is not None:
            self._anchors[anchor] = node

    def _put(self, node: _Node) -> None:
        if not self._stack:
            self._root = node
            return
        inside = self._stack[-1]
        inside.pairs.append((inside.key, node))
        inside.key = None

    def _weigh(self, event: events.Event, weight: int) -> None:
        self._weight += weight
        if self._weight > self._max_weight:
            raise UnreadableYaml("with its aliases written out it is too large", _line(event))


def _merged(collection: _Collection) -> dict[str, Any]:
    """The map, with what ``<<`` brings below its own keys. Of several maps the first has the last word."""
    own: dict[str, Any] = {}
    brought: dict[str, Any] = {}
    for key, node in collection.pairs:
        if key == "<<":
            for source in _as_list(node.value):
                if not isinstance(source, dict):
                    raise UnreadableYaml("'<<' must be given a map, or a list of maps", collection.line)
                brought = {**source, **brought}
        else:
            own[str(key)] = node.value
    return {**brought, **own}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownVariableType]


def _plain(text: str, line: int) -> Any:
    """A plain scalar by the core schema."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if not _is_number(text):
        return text
    if len(text) > _MAX_DIGITS:
        raise UnreadableYaml(f"a number of {len(text)} characters is too long; quote it if it is a text", line)
    if _INTEGER.fullmatch(text):
        return int(text)
    return int(text, 0) if _OTHER_BASE.fullmatch(text) else float(text)


def _is_number(text: str) -> bool:
    return any(kind.fullmatch(text) for kind in (_INTEGER, _OTHER_BASE, _FLOAT))


def _line(event: events.Event) -> int:
    mark: Any = event.start_mark  # the stubs do not know that an event of the parser always has one
    return int(mark.line) + 1


def _unparsed(error: yaml.YAMLError) -> UnreadableYaml:
    """One line of PyYAML's several, which may quote the document."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line, column = error.problem_mark.line + 1, error.problem_mark.column + 1
        found = UnreadableYaml(f"line {line}, column {column}: {tripped_over(error.problem)}")
        found.line, found.without_content = line, f"column {column} cannot be read"
        return found
    found = UnreadableYaml("it holds a character that no YAML may hold")
    found.without_content = "a character in it is not allowed"
    return found
