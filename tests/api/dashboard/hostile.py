"""Hostile words in everything that somebody outside may write: what the API takes, and what its stores may hold.

Deliberately not here: what pages must make of them (``test_hostile``).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

import httpx
from pydantic import BaseModel, ValidationError

from tests.api.conftest import Bench
from tests.api.dashboard.browser import HOSTILE
from workflows.contracts.deployments.deployment import DeploymentStatus, DeploymentWrite
from workflows.contracts.deployments.environments import EnvironmentState, EnvironmentWrite, Hold, RollbackReadiness
from workflows.contracts.deployments.line import LineState, LineStop, StopKind, StopScope
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus

WORDS: Final = f"{HOSTILE}\u202e\u200b\x1b[31m\x00\x9b"
"""Script, markup, what turns the order of what is shown, what nobody sees, codes for terminals."""
_KEPT: Final = re.compile(
    r"^(.*_id|\w*name|environment|pool|status|queue_status|version|(queue_|from_|to_)?version|kind|provider|job_ids|"
    r"git_commit_sha|priority|outcome|phase|action|scope|services|environments|requires|sealed|via|cause)$"
)
"""By these a page finds other things, or they are words of ours."""
M = TypeVar("M", bound=BaseModel)
Leaf = tuple[tuple[str | int, ...], str | None]


def twisted(record: M, words: str = WORDS) -> M:
    """The record with these words in every text that its model lets have them."""
    document: Any = record.model_dump(mode="json")
    for path, value in list(_leaves(document)):
        if _KEPT.match(str(next(part for part in reversed(path) if isinstance(part, str)))):
            continue
        holder = document
        for part in path[:-1]:
            holder = holder[part]
        holder[path[-1]] = f"{value or ''}{words}"
        try:
            type(record).model_validate(document)
        except ValidationError:
            holder[path[-1]] = value
    return type(record).model_validate(document)


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[Leaf]:
    if isinstance(value, str) or (value is None and path):
        yield path, value
    elif isinstance(value, dict):
        for name, inner in cast("dict[str, Any]", value).items():
            yield from _leaves(inner, (*path, name))
    elif isinstance(value, list):
        for place, inner in enumerate(cast("list[Any]", value)):
            yield from _leaves(inner, (*path, place))


async def twist_stores(bench: Bench, ids: Mapping[str, str]) -> None:
    """What the stores hold of these, as somebody may have left it who was not held to what is refused today."""
    stores = bench.stores
    job = await stores.jobs.get(ids["job_id"])
    deployment = await stores.deployments.get(ids["deployment_id"])
    service = await stores.services.get(ids["name"])
    assert job is not None
    assert deployment is not None
    assert service is not None
    parked = twisted(job).model_copy(
        update={"status": JobStatus.DEAD_LETTERED, "queue_status": QueueStatus.DEAD_LETTERED, "sequence": 900}
    )
    await stores.jobs.write(JobWrite(job=parked, previous=job.queue_status))
    staged = {"status": DeploymentStatus.STAGED, "sequence": 900, "waits_for": WORDS}
    changed = twisted(deployment).model_copy(update=staged)
    await stores.deployments.write(DeploymentWrite(deployment=changed, previous=deployment.status))
    for environment in service.spec.environment_names:
        state = EnvironmentState(
            service_name=service.name, environment=environment, sequence=900, hold=Hold(by="x", reason="x", at=1),
            rollback=RollbackReadiness(live=deployment.deployment_id, target_version="x", why="x"),
            frozen_until=4_000_000_000_000, frozen_by="x",
        )  # fmt: skip
        await stores.environments.write(EnvironmentWrite(state=twisted(state)))
    stop = LineStop(
        stop_id="all", kind=StopKind.HOLD, name="x", scope=StopScope(all_services=True), starts_at=1, by="x",
        reason="x", created_at=1,
    )  # fmt: skip
    freeze = stop.model_copy(update={"stop_id": "more", "kind": StopKind.FREEZE, "ends_at": 4_000_000_000_000})
    line = await stores.line.get()
    stops = [twisted(stop), twisted(freeze)]
    await stores.line.put(LineState(stops=stops, revision=line.revision + 1), [])
    put = service.model_copy(update={"version": service.version + 1, "spec": twisted(service.spec)})
    assert await stores.services.put(put, expected_version=service.version, events=[])


class Recorder:
    """Which fields of the API's bodies have had hostile words in a request that was taken."""

    def __init__(self, words: str) -> None:
        self._words = words[:20]
        self.fields: set[str] = set()

    async def see(self, answer: httpx.Response) -> None:
        """An event hook for answers."""
        request = answer.request
        if not answer.is_success or "json" not in request.headers.get("content-type", ""):
            return
        for path, value in _leaves(json.loads(request.content)):
            if value is not None and self._words in value:
                self.fields.add(field_name(path))
            for place, part in enumerate(path):
                if isinstance(part, str) and self._words in part:
                    self.fields.add(field_name([*path[:place], "<key>"]))


def field_name(path: Sequence[str | int]) -> str:
    """``steps.[].name``, wherever such steps stand."""
    words = [part if isinstance(part, str) else "[]" for part in path]
    for more in ("metadata", "labels", "params"):
        if more in words[:-1] and words[-1] != "<key>":
            words = [*words[: words.index(more) + 1], "*"]
    name = ".".join(words)
    while (shorter := _HOLDERS.sub("", name)) != name:
        name = shorter
    return name


_HOLDERS: Final = re.compile(r"^(items\.\[\]|policy|edit|build|test|environments\.\[\]|rollback)\.(?=.)")
"""The same models stand in these."""


def text_fields(document: Mapping[str, Any], words: str) -> dict[str, list[str]]:
    """Every text of the bodies that the API takes, by its name, with the operations: unless its pattern, format or
    values leave no room for these words.
    """
    found: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for media, content in operation.get("requestBody", {}).get("content", {}).items():
                if "json" not in media:
                    continue
                reader = _Reader(document["components"]["schemas"], words)
                reader.read(content.get("schema", {}), (), frozenset())
                for field in reader.found:
                    found.setdefault(field_name(field), []).append(f"{method.upper()} {path}")
    return found


class _Reader:
    def __init__(self, schemas: Mapping[str, Any], words: str) -> None:
        self._schemas, self._words = schemas, words
        self.found: set[tuple[str | int, ...]] = set()

    def read(self, schema: Mapping[str, Any], path: tuple[str | int, ...], seen: frozenset[str]) -> None:
        if "$ref" in schema:
            name = str(schema["$ref"]).rsplit("/", 1)[1]
            if name not in seen:
                self.read(self._schemas[name], path, seen | {name})
            return
        for kind in ("anyOf", "oneOf", "allOf"):
            for each in schema.get(kind, ()):
                self.read(each, path, seen)
        for name, each in schema.get("properties", {}).items():
            self.read(each, (*path, name), seen)
        more = schema.get("additionalProperties")
        if more is True or isinstance(more, dict):
            self.read(
                cast("dict[str, Any]", more) if isinstance(more, dict) else {"type": "string"}, (*path, "*"), seen
            )
            names: Mapping[str, Any] = schema.get("propertyNames", {})
            if self._free(names):
                self.found.add((*path, "<key>"))
        if schema.get("type") == "array":
            self.read(schema.get("items", {}), (*path, 0), seen)
        if schema.get("type") == "string" and self._free(schema):
            self.found.add(path)

    def _free(self, schema: Mapping[str, Any]) -> bool:
        if "enum" in schema or "const" in schema or schema.get("format") in {"password", "binary"}:
            return False
        pattern = schema.get("pattern")
        return pattern is None or re.search(str(pattern), self._words) is not None
