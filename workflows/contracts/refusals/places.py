"""Which field a finding is of, as its writer calls it, and which field may have been meant by one that is unknown.

A model's own annotations say both: of a choice between several shapes pydantic names the shape within the path, which
nobody has written. Deliberately not here: what is wrong (``sentences``).
"""

import difflib
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from workflows.contracts.base import Frozen, Tolerant

RULES_OF_ARTIFACTS: Final = ("if_none", "expires")
"""As a map, beside its paths."""
_APART: Final = frozenset(("artifact_rules", name) for name in RULES_OF_ARTIFACTS)
_MOST_NAMED: Final = 12
_CLOSE: Final = 0.6
_ELSEWHERE: Final[Mapping[str, Sequence[str]]] = {
    "script": ("run",), "command": ("run",), "commands": ("run",), "cmd": ("run",), "jobs": ("steps",),
    "tasks": ("steps",), "stages": ("environments",), "branch": ("git_ref", "branches"), "ref": ("git_ref",),
    "commit": ("git_commit_sha",), "sha": ("git_commit_sha",), "author": ("git_author",), "repo": ("git_repo",),
    "repository": ("git_repo",), "url": ("git_repo",), "environment": ("env", "environments"), "variables": ("env",),
    "vars": ("env",), "needs": ("requires",), "runs_on": ("requires", "pool"), "agents": ("requires", "pool"),
    "queue": ("pool",), "type": ("job_type",), "if": ("when",), "allow_failure": ("continue_on_error",),
    "soft_fail": ("continue_on_error",), "retries": ("retry",), "after_script": ("when",),
}  # fmt: skip
"""What other tools call it."""
_AROUND: Final = re.compile(r"(list|dict)\[(?:.*[,\[\s])?(\w+)\]+")
_LABELLED: Final = re.compile(r"(function-(before|after|wrap|plain)|constrained-|[a-z-]+\[).*")


def shape_named(title: str) -> Any:
    """The shape that pydantic calls so: a model of ours, whose name no two have, or a list or map of one. None when
    there is none, or a private one shares its name.
    """
    around = _AROUND.fullmatch(title)
    name = title if around is None else around[2]
    found = {model for base in (Frozen, Tolerant) for model in _below(base) if model.__name__ == name}
    if len(found) != 1:
        return None
    (model,) = found
    return model if around is None else list[model] if around[1] == "list" else dict[str, model]


def written_path(shape: Any, loc: Sequence[int | str]) -> list[str]:
    """The path as its writer knows it. Without a ``shape`` what is no name is left out as far as it can be told."""
    path = _walk(shape, loc)[0]
    rules = {
        index for index, part in enumerate(path[1:]) if path[index] == "artifact_rules" and part in RULES_OF_ARTIFACTS
    }
    return ["artifacts" if index in rules else part for index, part in enumerate(path)]  # its map is taken apart


def of_a_choice(shape: Any, loc: Sequence[int | str]) -> bool:
    """Whether the finding is of one of several shapes that were tried."""
    return shape is not None and len(written_path(shape, loc)) < sum(part != "[key]" for part in loc)


def another_was_meant(shape: Any, finding: Mapping[str, Any], findings: Iterable[Mapping[str, Any]]) -> bool:
    """Whether it only says that the value is of another kind than one of several shapes, and for another shape there is
    a finding within the value: that one fits it by kind.
    """
    if not str(finding["type"]).endswith("_type") or not of_a_choice(shape, finding["loc"]):
        return False
    path = written_path(shape, finding["loc"])
    return any(
        len(found) > len(path) and found[: len(path)] == path
        for found in (written_path(shape, each["loc"]) for each in findings)
    )


def meant_instead(shape: Any, loc: Sequence[int | str]) -> str:
    """What goes on behind "is unknown here": what may have been meant, or what is known. Nothing without a shape."""
    if shape is None or not loc:
        return ""
    models = [each for each in _walk(shape, loc[:-1])[1] if _is_model(each)]
    known = {name: field for model in models for name, field in _fields(model)}
    unknown = str(loc[-1])
    close = close_names(unknown, known)
    if close:
        return f"; did you mean {' or '.join(f'`{name}`' for name in close)}?"
    inside = [f"`{unknown}` in `{name}`" for name, field in known.items() if unknown in _names_in(field)]
    if inside:
        return f"; did you mean {' or '.join(inside[:2])}?"
    if 0 < len(known) <= _MOST_NAMED:
        return f"; known are {', '.join(known)}"
    return ""


def close_names(unknown: str, known: Iterable[str]) -> list[str]:
    """The known names, at most two, that someone may have meant: typing errors, camelCase, singular and plural."""
    names = list(known)
    plain = _snake(unknown)
    one_or_many = {plain, f"{plain}s", f"{plain}es", plain.removesuffix("s"), plain.removesuffix("es")}
    same = [name for name in names if _snake(name) in one_or_many]
    elsewhere = [name for name in _ELSEWHERE.get(plain, ()) if name in names]
    begun = [name for name in names if len(plain) > 2 and name.startswith(f"{plain}_")]
    close = difflib.get_close_matches(plain, names, n=1, cutoff=_CLOSE)
    for found in (same, elsewhere, begun, close):
        if found:
            return found[:2]
    return []


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").replace(" ", "_").lower()


def _walk(shape: Any, loc: Sequence[int | str]) -> tuple[list[str], list[Any]]:
    """The parts that were written, and the shapes that can be at their end."""
    path: list[str] = []
    shapes = _members(shape) if shape is not None else []
    chosen = False
    for part in loc:
        if part == "[key]":
            continue
        if len(shapes) > 1 and not chosen:
            shapes, chosen = [each for each in shapes if _is_called(each, str(part))], True
            continue
        if not shapes and isinstance(part, str) and _LABELLED.fullmatch(part):
            continue
        path.append(str(part))
        shapes, chosen = [found for each in shapes for found in _step(each, part)], False
    return path, shapes


def _step(shape: Any, part: int | str) -> list[Any]:
    if _is_model(shape):
        return [found for name, field in _fields(shape) if name == part for found in _members(field.annotation)]
    arguments = get_args(shape)
    if isinstance(part, int) and get_origin(shape) in (list, tuple, set, frozenset, Sequence) and arguments:
        return _members(arguments[0])
    return _members(arguments[1]) if len(arguments) == 2 and get_origin(shape) in (dict, Mapping) else []


def _members(shape: Any) -> list[Any]:
    """What a choice chooses from, without nothing; anything else is one."""
    while get_origin(shape) is Annotated:
        shape = get_args(shape)[0]
    if get_origin(shape) in (Union, types.UnionType):
        return [found for each in get_args(shape) for found in _members(each)]
    return [] if shape is type(None) else [shape]


def _is_called(shape: Any, label: str) -> bool:
    """Whether pydantic names this member of a choice so: by its class, its kind, or the value that tells it apart."""
    if not _is_model(shape):
        name = getattr(get_origin(shape) or shape, "__name__", "")
        return label == name or label.startswith(f"{name}[")
    told = [get_args(field.annotation) for _, field in _fields(shape) if get_origin(field.annotation) is Literal]
    return shape.__name__ in re.split(r"\W+", label) or any(label in values for values in told)


def _is_model(shape: Any) -> bool:
    return isinstance(shape, type) and issubclass(shape, BaseModel)


def _fields(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    return [(field.alias or name, field) for name, field in model.model_fields.items()]


def _names_in(field: FieldInfo) -> list[str]:
    return [name for each in _members(field.annotation) if _is_model(each) for name, _ in _fields(each)]


def _below(base: type[BaseModel]) -> list[type[BaseModel]]:
    return [found for each in base.__subclasses__() for found in (each, *_below(each))]
