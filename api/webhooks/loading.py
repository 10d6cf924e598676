"""Reading manifests: the shipped ones and those of a folder, each checked to the last expression before any is used.

A folder's manifest replaces the shipped one of the same name. Every fault of every file is told at once.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, cast

from pydantic import ValidationError

from api.webhooks.expressions import BadExpression, Expression, ExpressionFailed, compile_expression
from api.webhooks.manifest import Manifest, RepositoryLookup, Rule
from api.webhooks.triggering.facts import FACT_NAMES, TriggerFacts
from workflows.contracts.errors import field_errors
from workflows.contracts.fields import without_misleading
from workflows.yaml_text import UnreadableYaml, yaml_file_to_json, yaml_to_json

_MAX_DEPTH: Final = 10
_LONGEST_SENDER: Final = 256
_HEADER: Final = re.compile(r'headers\.(?:\\"([A-Za-z0-9-]+)\\"|([A-Za-z0-9_]+))')
_BASE: Final = frozenset({"payload", "headers", "query"})
EVENT_NAMES: Final = _BASE | {"event", "delivery", "people"}
ITEM_NAMES: Final = EVENT_NAMES | {"item"}
ANSWER_NAMES: Final = frozenset({"answer"})

Template = Expression | dict[str, "Template"] | list["Template"] | int | float | bool | None
"""A value of ``with``: strings are expressions, the rest stands for itself."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to correct: the file, where in it, and what."""

    file: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.path}: {self.message}" if self.path else f"{self.file}: {self.message}"


class BadManifests(ValueError):
    """No manifest is used as long as one is wrong."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("These webhook manifests must be corrected:\n" + "\n".join(f"  {fault}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule whose expressions are ready. ``service`` finds by name, ``repository`` and ``branch`` by repository.
    ``facts`` are those of its trigger.
    """

    rule: Rule
    index: int
    when: Expression | None
    each: Expression | None
    key: Expression | None
    service: Expression | None
    repository: tuple[Expression, ...]
    branch: Expression | None
    values: Mapping[str, Template]
    needs: tuple[Expression, ...] = ()
    facts: Mapping[str, Expression] | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """A manifest that is ready for use. ``source`` is its file, ``reads`` the headers that its expressions name."""

    manifest: Manifest
    source: str
    event: Expression
    delivery: Expression | None
    rules: tuple[CompiledRule, ...]
    answer: Mapping[str, Expression]
    sender: Expression | None = None
    reads: frozenset[str] = frozenset()

    def sender_of(self, payload: Any, headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
        """Who caused a delivery, as its payload says, for people to read."""
        if self.sender is None:
            return None
        try:
            value = self.sender.value({"payload": payload, "headers": headers, "query": query})
        except ExpressionFailed:
            return None
        return without_misleading(value, lines=False).strip()[:_LONGEST_SENDER] if isinstance(value, str) else None

    @property
    def name(self) -> str:
        """The last part of its address."""
        return self.manifest.name


def load_providers(folder: Path | None = None) -> dict[str, Provider]:
    """All providers by name. Raises BadManifests."""
    providers: dict[str, Provider] = {}
    faults: list[Fault] = []
    for file in [*_manifests(files("api.webhooks") / "manifests"), *_own(folder, faults)]:
        provider = _load(file, faults.append)
        if provider is not None:
            providers[provider.name] = provider
    if faults:
        raise BadManifests(faults)
    return dict(sorted(providers.items()))


def parse_manifest(text: str, source: str) -> Provider:
    """One manifest. Raises BadManifests."""
    faults: list[Fault] = []
    try:
        provider = _parse(yaml_to_json(text.encode()), source, faults.append)
    except UnreadableYaml as error:
        raise BadManifests([_no_yaml(source, error)]) from None
    if provider is None or faults:
        raise BadManifests(faults)
    return provider


def _own(folder: Path | None, faults: list[Fault]) -> list[Traversable]:
    if folder is None:
        return []
    if not folder.is_dir():
        faults.append(Fault(str(folder), "", "is no folder; correct HYBRIDCI_WEBHOOK_MANIFESTS"))
        return []
    return _manifests(folder)


def _manifests(folder: Traversable) -> list[Traversable]:
    found = [file for file in folder.iterdir() if file.name.endswith((".yml", ".yaml"))]
    return sorted(found, key=lambda file: file.name)


def _load(file: Traversable, complain: Callable[[Fault], None]) -> Provider | None:
    try:
        provider = _parse(yaml_file_to_json(file), str(file), complain)
    except OSError as error:
        complain(Fault(str(file), "", f"cannot be read: {error}"))
        return None
    except UnreadableYaml as error:
        complain(_no_yaml(str(file), error))
        return None
    if provider is not None and file.name.rpartition(".")[0] != provider.name:
        complain(Fault(str(file), "name", f"is {provider.name!r}, so the file must be named {provider.name}.yml"))
    return provider


def _no_yaml(source: str, error: UnreadableYaml) -> Fault:
    return Fault(source, "", f"is no YAML that can be read: {error}")


def _parse(document: bytes, source: str, complain: Callable[[Fault], None]) -> Provider | None:
    try:
        manifest = Manifest.model_validate_json(document)
    except ValidationError as error:
        for found in field_errors(error):
            complain(Fault(source, found.field, found.message))
        return None
    return _Compiler(source, complain).provider(manifest)


class _Compiler:
    """Compiles a manifest's expressions and tells of each that cannot work."""

    def __init__(self, source: str, complain: Callable[[Fault], None]) -> None:
        self._source, self._complain = source, complain
        self._failed = False

    def provider(self, manifest: Manifest) -> Provider | None:
        """None when anything was wrong."""
        event = self._expression(manifest.event, "event", _BASE)
        delivery = self._optional(manifest.delivery, "delivery", _BASE)
        sender = self._optional(manifest.sender, "sender", _BASE)
        rules = tuple(self._rule(rule, index) for index, rule in enumerate(manifest.rules))
        answer = {
            name: self._expression(text, f"answer.fields.{name}", ANSWER_NAMES)
            for name, text in manifest.answer.fields.items()
        }
        for repeated in _repeated(rule.name for rule in manifest.rules):
            self._fault("rules", f"two are named {repeated!r}; each needs a name of its own")
        if self._failed:
            return None
        return Provider(manifest, self._source, event, delivery, rules, answer, sender, _read_headers(manifest))

    def _rule(self, rule: Rule, index: int) -> CompiledRule:
        path = f"rules.{index}"
        lookup = rule.service if isinstance(rule.service, RepositoryLookup) else None
        by_name = rule.service if isinstance(rule.service, str) else None
        # Without `each` there is no item, and without `service` no service.
        items = ITEM_NAMES if rule.each is not None else EVENT_NAMES
        names = items | {"service"} if rule.service is not None else items
        return CompiledRule(
            rule=rule,
            index=index,
            when=self._optional(rule.when, f"{path}.when", EVENT_NAMES),
            each=self._optional(rule.each, f"{path}.each", EVENT_NAMES),
            key=self._optional(rule.key, f"{path}.key", names),
            service=self._optional(by_name, f"{path}.service", items),
            repository=tuple(
                self._expression(text, f"{path}.service.repository.{number}", items)
                for number, text in enumerate(lookup.repository if lookup else ())
            ),
            branch=self._optional(lookup.branch if lookup else None, f"{path}.service.branch", items),
            values={name: self._template(value, f"{path}.with.{name}", names) for name, value in rule.values.items()},
            needs=tuple(
                self._expression(text, f"{path}.needs.{number}", EVENT_NAMES) for number, text in enumerate(rule.needs)
            ),
            facts=None if rule.trigger is None else self._facts(rule.trigger, f"{path}.trigger", items),
        )

    def _facts(self, trigger: TriggerFacts, path: str, names: frozenset[str]) -> dict[str, Expression]:
        texts: list[tuple[str, str | None]] = [(name, getattr(trigger, name)) for name in FACT_NAMES]
        return {name: self._expression(text, f"{path}.{name}", names) for name, text in texts if text is not None}

    def _template(self, value: Any, path: str, names: frozenset[str], depth: int = 0) -> Template:
        if depth > _MAX_DEPTH:
            self._fault(path, f"is nested deeper than {_MAX_DEPTH} levels")
            return None
        if isinstance(value, str):
            return self._expression(value, path, names)
        if isinstance(value, dict):
            fields = cast(dict[object, Any], value)
            return {str(key): self._template(part, f"{path}.{key}", names, depth + 1) for key, part in fields.items()}
        if isinstance(value, list):
            parts = enumerate(cast(list[Any], value))
            return [self._template(part, f"{path}.{number}", names, depth + 1) for number, part in parts]
        return value  # a number, a boolean or nothing stands for itself

    def _optional(self, text: str | None, path: str, names: frozenset[str]) -> Expression | None:
        return None if text is None else self._expression(text, path, names)

    def _expression(self, text: str, path: str, names: frozenset[str]) -> Expression:
        try:
            return compile_expression(text, names)
        except BadExpression as error:
            for fault in error.faults:
                self._fault(path, f"{text!r} {fault}")
            return _NOTHING

    def _fault(self, path: str, message: str) -> None:
        self._failed = True
        self._complain(Fault(self._source, path, message))


def _read_headers(manifest: Manifest) -> frozenset[str]:
    """What of a request's headers a delivery is decided by, and so kept: never one that holds a signature or secret."""
    text = manifest.model_dump_json(exclude={"docs", "verify"})
    named = {(quoted or bare).lower() for quoted, bare in _HEADER.findall(text)} | {"content-type"}
    signed = {
        name.lower()
        for scheme in manifest.verify
        for name in (getattr(scheme, "header", None), "authorization", "webhook-signature")
        if name is not None
    }
    return frozenset(named - signed)


_NOTHING: Final = compile_expression("`null`", frozenset())


def _repeated(names: Iterator[str]) -> list[str]:
    seen: set[str] = set()
    repeated: list[str] = []
    for name in names:
        if name in seen:
            repeated.append(name)
        seen.add(name)
    return repeated
