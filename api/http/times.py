"""Times in RFC 3339 beside those in milliseconds: `created_at` of an answer has a `created_time` next to it.

In answers only: what is stored, signed or sent to workflows has numbers. Which numbers are times, the answer's model
says (``contracts.fields.Millis``); a free-form value that only looks like one stays as it is.
What goes out as a stream, or inside another answer, gets its times where it is made into text: ``with_times``,
``add_times``. Deliberately not here: the documentation of these fields (``api.openapi``, by ``beside``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, cast

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workflows.contracts.fields import IS_MILLIS

_REF: Final = "#/$defs/"
_DEFINITIONS: Final = "$defs"
_LAST_MILLIS: Final = 253_402_300_799_999
_MANY: Final = 256
Schema = Mapping[str, Any]


def beside(name: str) -> str:
    """What the time of this field is called: `created_at` → `created_time`, `at` → `time`, `until` → `until_time`."""
    return "time" if name == "at" else f"{name.removesuffix('_at')}_time"


def times_of(schema: Schema) -> list[str]:
    """The fields of an object's schema that get a time beside them."""
    properties: dict[str, Schema] = schema.get("properties", {})
    return [name for name, each in properties.items() if is_time(each) and beside(name) not in properties]


def is_time(schema: Schema) -> bool:
    """True for a number of milliseconds since the epoch, also for one that may be null."""
    return IS_MILLIS in schema or any(IS_MILLIS in each for each in schema.get("anyOf", ()))


def rfc3339(millis: object) -> str | None:
    """`2026-11-30T09:12:03.123Z`; None for what is no time."""
    if not isinstance(millis, int) or isinstance(millis, bool) or not 0 <= millis <= _LAST_MILLIS:
        return None
    seconds, rest = divmod(millis, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@dataclass(slots=True)
class _Plan:
    """Where the times of a value are: in its fields, its items (``every``), or deeper."""

    names: dict[str, str] = field(default_factory=dict[str, str])
    within: dict[str, "_Plan"] = field(default_factory=dict[str, "_Plan"])
    every: list["_Plan"] = field(default_factory=list["_Plan"])

    def add(self, value: object) -> None:
        """Put the times in."""
        if isinstance(value, list):
            for each in cast("list[object]", value):
                for plan in self.every:
                    plan.add(each)
        elif isinstance(value, dict):
            fields = cast("dict[str, object]", value)
            for name, plan in self.within.items():
                if name in fields:
                    plan.add(fields[name])
            for plan in self.every:
                for each in fields.values():
                    plan.add(each)
            for name, time in self.names.items():
                if name in fields:
                    fields[time] = rfc3339(fields[name])


class _Plans:
    """Makes the plan of a schema; one definition has one plan, also when it contains itself."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions
        self._made: dict[str, _Plan] = {}

    def of(self, schema: Schema) -> _Plan:
        if set(schema) == {"$ref"}:
            return self._defined(str(schema["$ref"]).removeprefix(_REF))
        plan = _Plan()
        self._read(schema, plan)
        return plan

    def _read(self, schema: Schema, plan: _Plan) -> None:
        either: list[Schema] = [each for name in ("anyOf", "oneOf", "allOf") for each in schema.get(name, ())]
        for each in either:
            self._read(each, plan)
        if "$ref" in schema:
            target = self._defined(str(schema["$ref"]).removeprefix(_REF))
            plan.names.update(target.names)
            plan.within.update(target.within)
            plan.every.extend(target.every)
        plan.names.update({name: beside(name) for name in times_of(schema)})
        properties: dict[str, Schema] = schema.get("properties", {})
        for name, each in properties.items():
            if _holds(inner := self.of(each)):
                plan.within[name] = inner
        items: list[Any] = [schema.get("items"), schema.get("additionalProperties")]
        for each in items:
            if isinstance(each, dict) and _holds(inner := self.of(cast("Schema", each))):
                plan.every.append(inner)

    def _defined(self, name: str) -> _Plan:
        if name not in self._made:
            plan = self._made[name] = _Plan()
            self._read(self._definitions[name], plan)
        return self._made[name]


def _holds(plan: _Plan) -> bool:
    return bool(plan.names or plan.within or plan.every)


@lru_cache(maxsize=_MANY)
def _plan_of(model: Any) -> _Plan | None:
    schema = TypeAdapter[Any](model).json_schema(mode="serialization")
    plan = _Plans(schema.get(_DEFINITIONS, {})).of(schema)
    return plan if _holds(plan) else None


def with_times(model: Any, content: bytes) -> bytes:
    """An answer's JSON with its times. ``model``: what the answer is."""
    plan = _plan_of(model)
    if plan is None:
        return content
    value = from_json(content)
    plan.add(value)
    return to_json(value)


def add_times(model: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """The same fields, as JSON has them, with their times: of a record that is a part of another answer."""
    plan = _plan_of(model)
    if plan is not None:
        plan.add(fields)
    return fields


class TimesBeside:
    """Innermost: adds the times to the answers whose models have some. The dashboard's own questions go without."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or "inside" in scope:
            await self._app(scope, receive, send)
            return
        held: Message | None = None
        pieces: list[bytes] = []

        async def send_with_times(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_ours(scope, message):
                held = message
            elif held is None or message["type"] != "http.response.body":
                await send(message)
            else:
                pieces.append(message.get("body", b""))
                if message.get("more_body", False):
                    return
                content = with_times(scope["route"].response_model, b"".join(pieces))
                await send({**held, "headers": _with_length(held["headers"], len(content))})
                await send({"type": "http.response.body", "body": content, "more_body": False})

        await self._app(scope, receive, send_with_times)


def _is_ours(scope: Scope, start: Message) -> bool:
    model = getattr(scope.get("route"), "response_model", None)
    kinds = [value for name, value in start["headers"] if name == b"content-type"]
    good = 200 <= start["status"] < 300
    return good and kinds == [b"application/json"] and model is not None and _plan_of(model) is not None


def _with_length(headers: Any, length: int) -> list[tuple[bytes, bytes]]:
    return [(name, str(length).encode() if name == b"content-length" else value) for name, value in headers]
