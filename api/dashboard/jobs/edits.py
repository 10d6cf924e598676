"""A dead letter's form as an edit, and what the edit changes, before and after. Pure.

Deliberately not here: whether an edit is allowed, which the API says.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from workflows.contracts.jobs import Job

PLAIN: Final = ("pool", "priority", "timeout_seconds", "max_attempts", "git_commit_sha", "git_ref")
RETRY: Final = (
    "lost_agent_attempts",
    "checkout_attempts",
    "timeout_attempts",
    "initial_interval_seconds",
    "backoff",
    "max_interval_seconds",
    "retryable_exit_codes",
    "final_exit_codes",
)
"""Of the retry policy; ``max_attempts`` has a field of its own."""
FIELDS: Final = (*PLAIN, "env", *RETRY)
"""What a form holds of an edit."""
_LISTS: Final = frozenset({"retryable_exit_codes", "final_exit_codes"})
_FRACTIONS: Final = frozenset({"initial_interval_seconds", "backoff", "max_interval_seconds"})
_WHOLE: Final = frozenset({"timeout_seconds", "max_attempts", *RETRY}) - _LISTS - _FRACTIONS
_MOST_DIGITS: Final = 9
_FRACTION: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value that becomes another; None: there is none."""

    name: str
    before: str | None
    after: str | None


def edit_of(form: Mapping[str, str], job: Job | None = None) -> dict[str, Any]:
    """What the form changes: of ``job``, what differs from it; of many jobs, what is filled in.

    A line ``NAME=VALUE`` of ``env`` sets a variable, ``NAME`` takes it away. What is no number stays a text, which the
    API refuses by the field's name.
    """
    now = {} if job is None else plain_values(job)
    given = {name: form.get(name, "").strip() for name in (*PLAIN, *RETRY)}
    edit: dict[str, Any] = {name: _value(name, given[name]) for name in PLAIN if given[name] not in {"", now.get(name)}}
    if lines := [line.strip() for line in form.get("env", "").splitlines() if line.strip()]:
        parts = (line.partition("=") for line in lines)
        edit["env"] = {name.strip(): value if equals else None for name, equals, value in parts}
    retry = {name: _value(name, given[name]) for name in RETRY if name in form and given[name] != now.get(name)}
    if job is not None and retry:
        edit["retry"] = {**job.retry.model_dump(mode="json"), **retry}
    if job is not None and (steps := _steps_of(form, job)) is not None:
        edit["steps"] = steps
    return edit


def fields_of(job: Job) -> list[str]:
    """The names of all that the form holds of an edit: each step's command has one of its own."""
    return [*FIELDS, *(step_field(index) for index in range(len(job.steps)))]


def step_field(index: int) -> str:
    """Its name for the command of a step, counted from 0."""
    return f"run_{index}"


def _steps_of(form: Mapping[str, str], job: Job) -> list[dict[str, Any]] | None:
    """All steps, when the command of one is another; browsers send line ends of their own."""
    steps = [step.model_dump(mode="json", exclude_defaults=True) for step in job.steps]
    changed = False
    for index, step in enumerate(job.steps):
        given = form.get(step_field(index))
        if given is not None and _lines(given) != _lines(step.run):
            steps[index]["run"], changed = _lines(given), True
    return steps if changed else None


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").strip("\n")


def plain_values(job: Job) -> dict[str, str]:
    """What the form's fields hold of the job now; ``max_attempts`` counts further tries, of which it says nothing."""
    retry = job.retry.model_dump(mode="json")
    return {
        "pool": job.pool,
        "priority": job.priority.value,
        "timeout_seconds": str(job.timeout_seconds),
        "git_commit_sha": job.git_commit_sha,
        "git_ref": job.git_ref or "",
        **{name: _words(retry[name]) for name in RETRY},
    }


def amend_of(form: Mapping[str, str], job: Job | None = None) -> dict[str, Any]:
    """What the form of a job that has not ended changes: its place in line, its labels and tags, as lines."""
    place = {"pool": job.pool, "priority": job.priority.value} if job is not None else {}
    amend: dict[str, Any] = {
        name: form[name] for name in ("pool", "priority") if form.get(name) and form[name] != place.get(name)
    }
    if "labels" in form:
        pairs = (line.partition("=") for line in form["labels"].splitlines() if line.strip())
        amend["labels"] = {name.strip(): value.strip() for name, _, value in pairs}
    if "tags" in form:
        amend["tags"] = [line.strip() for line in form["tags"].splitlines() if line.strip()]
    return amend


def changes_of(job: Job, edit: Mapping[str, Any]) -> list[FieldChange]:
    """What becomes what."""
    now = plain_values(job)
    found = [FieldChange(name, now.get(name), _words(edit[name])) for name in PLAIN if name in edit]
    env: Mapping[str, str | None] = edit.get("env") or {}
    found += [
        FieldChange(f"env {name}", job.env.get(name), value)
        for name, value in env.items()
        if job.env.get(name) != value
    ]
    retry: Mapping[str, Any] = edit.get("retry") or {}
    steps: Sequence[Mapping[str, Any]] = edit.get("steps") or ()
    found += [
        FieldChange(f"step {step.name}", step.run, str(new["run"]))
        for step, new in zip(job.steps, steps, strict=False)
        if step.run != new["run"]
    ]
    return found + [
        FieldChange(f"retry {name}", now[name], _words(retry[name]))
        for name in RETRY
        if name in retry and _words(retry[name]) != now[name]
    ]


def seen_of(job: Job) -> str:
    """A mark of what a page has shown of the job; another one means that somebody has changed it, or run it, since."""
    steps = [step.model_dump(mode="json") for step in job.steps]
    shown = (job.status, len(job.attempts), job.queued_at, plain_values(job), sorted(job.env.items()), steps)
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:16]


def _value(name: str, text: str) -> Any:
    if name in _LISTS:
        return [_number(part) for part in text.replace(",", " ").split()]
    if name in _FRACTIONS:
        return float(text) if _FRACTION.fullmatch(text) else text
    return _number(text) if name in _WHOLE else text


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else text


def _words(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(str(each) for each in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return f"{value:g}" if isinstance(value, float) else str(value)
