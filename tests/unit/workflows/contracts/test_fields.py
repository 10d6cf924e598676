"""Texts that are not what they look like: what is refused when it comes in, and stays readable once it was taken."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from workflows.contracts.commands import Cancel, Complete
from workflows.contracts.deployments.commands import Approve
from workflows.contracts.fields import (
    INCOMING,
    Line,
    NotBlank,
    Person,
    Prose,
    ReportedLine,
    Text,
    misleading_in,
    without_misleading,
)
from workflows.contracts.jobs import Job, JobSpec

MISLEADING = [
    "\x80", "\x9b", "\x9f",  # C1: some terminals take them for escapes
    "\u202a", "\u202e", "\u2066", "\u2069", "\u200e", "\u200f", "\u061c",  # the order of what is shown
    "\u200b", "\u2060", "\ufeff", "\xad", "\u180e", "\ufff9", "\U000e0041",  # not seen
    "\u3164", "\uffa0", "\u115f", "\u1160", "\u17b4", "\u17b5", "\ufff0", "\U0001bca0", "\U0001d173", "\U000e0080",
    "\u2028", "\u2029",  # line ends that are none
]  # fmt: skip
STEERING = ["\0", "\x1b", "\x07", "\x08", "\x7f", "\x0b"]
JOINERS = ["\u200c", "\u200d"]
WRITING = ["\u034f", "\u180b", "\u180f", "\ufe0f", "\ufe00", "\U000e0100"]
SPEC: dict[str, Any] = {
    "job_type": "test",
    "git_repo": "https://example.com/shop.git",
    "git_commit_sha": "a" * 40,
    "git_author": "ann",
}


def taken(kind: Any, text: str, context: dict[str, bool] | None = INCOMING) -> bool:
    try:
        TypeAdapter[str](kind).validate_python(text, strict=True, context=context)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("sign", MISLEADING)
def test_what_misleads_is_refused_in_lines_and_in_prose_when_it_comes_in(sign: str) -> None:
    text = f"ann{sign}bob"
    assert not taken(Line, text)
    assert not taken(Prose, text)
    assert f"U+{ord(sign):04X}" in str(misleading_in(text, lines=True))
    assert taken(Line, text, None)
    assert taken(Prose, text, None)
    assert without_misleading(text, lines=True) == without_misleading(text, lines=False) == "ann bob"


@pytest.mark.parametrize("sign", STEERING)
def test_what_steers_a_terminal_is_refused_too(sign: str) -> None:
    assert not taken(Line, f"a{sign}b")
    assert not taken(Prose, f"a{sign}b")


@pytest.mark.parametrize("text", ["one\n\ttwo\r\nthree", *(f"a{sign}b" for sign in (*JOINERS, *WRITING))])
def test_sentences_have_lines_and_joined_letters_and_names_have_not(text: str) -> None:
    assert taken(Prose, text)
    assert not taken(Line, text)


@pytest.mark.parametrize(
    "text", ["\u2764\ufe0f deploy", "1\ufe0f\u20e3 build", "\u845b\U000e0100\u57ce", "\u2122\ufe0f"]
)
def test_symbols_and_ideographs_have_variants_in_names_too(text: str) -> None:
    assert taken(Line, text)


@pytest.mark.parametrize(
    "blank", ["\u3164", "\u2800", "\ufe0f", "\u034f ", "\uffa0", "\U000e0100", "\u200d", "\u180b\n"]
)
@pytest.mark.parametrize("kind", [Line, Prose, Person, Annotated[Text, NotBlank]])
def test_what_looks_blank_is_refused_when_it_comes_in_and_stays_readable(kind: Any, blank: str) -> None:
    assert not taken(kind, blank)
    assert taken(kind, blank.strip(), None)


@pytest.mark.parametrize("blank", [" ", "\t", "\n", "\u3000", "\xa0 "])
def test_blanks_alone_are_no_text(blank: str) -> None:
    assert not taken(Prose, blank)
    assert not taken(Line, blank)
    assert taken(Prose, "")
    assert taken(Line, "")


@pytest.mark.parametrize("text", ["Jürgen Groß", "李雷", "أحمد", "Ann \N{ROCKET}", "e\u0301", "a b", "👍🏽", "❤\ufe0f"])
def test_what_people_are_called_is_taken(text: str) -> None:
    assert taken(Line, text)
    assert taken(Prose, text)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (JobSpec, {**SPEC, "git_author": "ann\u202e"}),
        (JobSpec, {**SPEC, "labels": {"team\u200b": "a"}}),
        (JobSpec, {**SPEC, "labels": {"team": "a\x9b"}}),
        (JobSpec, {**SPEC, "tags": [" "]}),
        (JobSpec, {**SPEC, "git_commit_message": "fix\u2066"}),
        (Cancel, {"reason": "why\u2028"}),
        (Approve, {"by": "a\u200bnn"}),
        (Approve, {"by": "ann", "comment": "yes\u202e"}),
    ],
)
def test_a_contract_is_stricter_for_what_comes_in_only(model: type[BaseModel], fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(fields, strict=True, context=INCOMING)
    kept = model.model_validate(fields)
    assert model.model_validate_json(kept.model_dump_json()) == kept


def test_a_record_of_before_is_read() -> None:
    job = Job.model_validate(
        {**SPEC, "git_author": "\u202eann", "job_id": "1", "created_at": 1, "tags": [" ", "\u200b"]}
    )
    assert Job.model_validate_json(job.model_dump_json()) == job


def test_what_programs_report_counts_whatever_it_says() -> None:
    said = "\x1b[31mboom\u202e"
    assert Complete.model_validate({"exit_code": 1, "error_message": said}, context=INCOMING).error_message == said
    assert taken(ReportedLine, "3 jobs failed\u202e")
    assert not taken(ReportedLine, "\x1b[2J")
    assert JobSpec.model_validate(
        {**SPEC, "steps": [{"name": "a", "run": "printf '\u202e\x1b[0m'"}], "env": {"A": "\u200b"}}, context=INCOMING
    )
