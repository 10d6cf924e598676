"""One place turns pydantic's findings into fields and what is wrong with them."""

from typing import Any, cast

import pytest
from pydantic import BaseModel, StrictBool, TypeAdapter, ValidationError, field_validator
from pydantic_core import PydanticKnownError
from pydantic_core._pydantic_core import list_all_errors

from api.webhooks.manifest import Manifest
from workflows.contracts.errors import MAX_FIELD_ERRORS, FieldError, field_errors, fields_text
from workflows.contracts.fields import EnvName
from workflows.contracts.jobs import JobSpec, Step
from workflows.contracts.refusals.sentences import SENTENCES, sentence


class Inner(BaseModel):
    run: str

    @field_validator("run")
    @classmethod
    def _not_rm(cls, run: str) -> str:
        if run == "rm":
            raise ValueError("must not be rm")
        return run


class Outer(BaseModel):
    steps: list[Inner] = []
    env: dict[EnvName, str] = {}
    flag: StrictBool = False
    lax: bool = False


def broken(values: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(values)
    return caught.value


def test_a_field_is_named_by_its_path_and_its_value_is_not_told() -> None:
    error = broken({"steps": [{"run": "make"}, {"run": "rm"}, {"run": 7}], "env": {"1A": "s3cret"}})
    assert field_errors(error) == [
        FieldError(field="steps.1.run", message="must not be rm"),
        FieldError(field="steps.2.run", message="must be text: put it in quotes"),
        FieldError(
            field="env.1A",
            message="must be letters, digits and _, not beginning with a digit; such as API_TOKEN",
        ),
    ]
    assert field_errors(error, inside="build")[0].field == "build.steps.1.run"


def test_the_whole_has_a_name_too() -> None:
    error = broken([])
    assert [found.field for found in field_errors(error)] == [""]
    assert [found.field for found in field_errors(error, nameless="body")] == ["body"]
    assert [found.field for found in field_errors(error, nameless="body", inside="marks")] == ["marks"]


def test_one_line_in_the_same_words() -> None:
    text = fields_text(broken({"steps": [{"run": "rm"}], "env": {"1A": "x"}}))
    assert text == (
        "steps.0.run: must not be rm; "
        "env.1A: must be letters, digits and _, not beginning with a digit; such as API_TOKEN"
    )
    assert fields_text(broken(7), nameless="input") == "input: must be a map of fields, not a number"


@pytest.mark.parametrize(
    ("word", "right"), [("yes", "true"), ("On", "true"), ("y", "true"), ("no", "false"), ("OFF", "false")]
)
def test_a_boolean_of_yaml_1_1_is_refused_by_name_with_the_right_spelling(word: str, right: str) -> None:
    message = f"must be true or false: write {right} without quotes, not {word!r}"
    assert field_errors(broken({"flag": word})) == [FieldError(field="flag", message=message)]
    assert fields_text(broken({"flag": word})) == f"flag: {message}"


def test_other_texts_are_not_repeated() -> None:
    (found,) = field_errors(broken({"flag": "s3cret"}))
    assert found.message == "must be true or false, not text"
    (found,) = field_errors(broken({"env": {"A": True}}))
    assert found.message == "must be text: put it in quotes"


def test_a_thousand_faults_are_not_all_told() -> None:
    assert len(field_errors(broken({"steps": [{}] * 1000}))) == MAX_FIELD_ERRORS


KINDS = {str(each["type"]): each for each in list_all_errors()}
THEIR_WORDS = ("input", "validat", "pydantic", "field required", "parse", "string", "dict", "boolean", "integer")


def test_every_kind_of_finding_has_a_sentence_of_ours() -> None:
    assert set(SENTENCES) == set(KINDS)
    for name, kind in KINDS.items():
        context: Any = kind["example_context"]
        theirs = PydanticKnownError(cast(Any, name), context).message()
        said = sentence({"type": name, "ctx": context or {}, "msg": theirs})
        assert said, name
        assert theirs.rstrip() not in said or name in {"value_error", "assertion_error"}, name
        assert [word for word in THEIR_WORDS if word in said.lower()] == [], (name, said)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "it ends too early"),
        (b"{", "it ends too early"),
        (b'{"a": }', "a value is missing"),
        (b'{"a": 1,}', "a comma stands before the end"),
        (b"{'a': 1}", "must be in double quotes"),
        (b'{"a" 1}', "a colon is missing"),
        (b'{"a": 1 "b": 2}', "a comma or } is missing"),
        (b"[1 2]", "a comma or ] is missing"),
        (b'{"a": "x\ny"}'.replace(b"\\n", b"\n"), "a text holds a line's end"),
        (b'{"a": "\\q"}', "a backslash is followed"),
        (b'{"a": "\\ud800"}', "half a character"),
        (b"{} x", "behind its end"),
        (b"nope", "a word"),
        (b"[" * 300, "nested too deep"),
        (b"\xff", "a value is missing"),
    ],
)
def test_json_that_cannot_be_read_says_where_and_why(body: bytes, why: str) -> None:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate_json(body)
    (finding,) = caught.value.errors()
    said = sentence(finding)
    assert said.startswith("is no JSON: line ")
    assert why in said


JOB = {"job_type": "x", "git_repo": "https://git.example/a.git", "git_commit_sha": "0" * 40, "git_author": "Ann"}


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"step": []}, "step", "is unknown here; did you mean `steps`?"),
        ({"jobType": "x"}, "jobType", "is unknown here; did you mean `job_type`?"),
        ({"timeout": 3}, "timeout", "is unknown here; did you mean `timeout_seconds`?"),
        ({"secret": []}, "secret", "is unknown here; did you mean `secrets`?"),
        ({"repository": ""}, "repository", "is unknown here; did you mean `git_repo`?"),
        ({"max_attempts": 1}, "max_attempts", "is unknown here; did you mean `max_attempts` in `retry`?"),
        ({"qqqqqqqq": 1}, "qqqqqqqq", "is unknown here"),
        ({"steps": [{"name": "a", "run": "b", "runs": "x"}]}, "steps.0.runs", "is unknown here; did you mean `run`?"),
        ({"steps": [{"name": "a", "run": "b", "script": 1}]}, "steps.0.script", "is unknown here; did you mean `run`?"),
        (
            {"checkout": {"zzzzzz": 1}},
            "checkout.zzzzzz",
            "is unknown here; known are submodules, tags, lfs, depth, filter, path, none",
        ),
        ({"steps": [{"name": "a", "run": ["b"]}]}, "steps.0.run", "must be text, not a list"),
        ({"steps": [{"name": "a", "run": None}]}, "steps.0.run", "must be text, and is empty"),
        ({"timeout_seconds": "60"}, "timeout_seconds", "must be a whole number: write it without quotes"),
        ({"tags": ["x"] * 65}, "tags", "must have at most 64 entries"),
        ({"tags": ["x" * 257]}, "tags.0", "must have at most 256 characters"),
        ({"git_author": ""}, "git_author", "must have at least 1 character"),
        ({"env": {"A": "x" * 32769}}, "env.A", "must have at most 32768 characters"),
    ],
)
def test_what_may_have_been_meant(fields: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate({**JOB, **fields}, strict=field == "timeout_seconds")
    assert field_errors(caught.value) == [FieldError(field=field, message=message)]


def test_of_a_choice_the_shape_that_fits_by_kind_is_told_and_none_is_named_in_the_path() -> None:
    rule = {"name": "x", "action": "ignore", "reason": "y"}
    fields: dict[str, Any] = {
        "name": "tool", "title": "x", "docs": "y", "event": "'x'",
        "verify": {"scheme": "token", "haeder": "X-Token"},
        "rules": [{**rule, "service": {"repositories": ["x"]}}, {**rule, "service": []}],
    }  # fmt: skip
    with pytest.raises(ValidationError) as caught:
        Manifest.model_validate(fields)
    assert field_errors(caught.value) == [
        FieldError(field="verify.0.haeder", message="is unknown here; did you mean `header`?"),
        FieldError(field="rules.0.service.repository", message="is needed"),
        FieldError(field="rules.0.service.repositories", message="is unknown here; did you mean `repository`?"),
        FieldError(field="rules.1.service", message="must be text, not a list; or must be a map of fields, not a list"),
    ]


def test_a_list_or_map_of_models_is_looked_up_too() -> None:
    for shape, value in ((TypeAdapter(list[Step]), [{"nmae": 1}]), (TypeAdapter(dict[str, Step]), {"a": {"nmae": 1}})):
        with pytest.raises(ValidationError) as caught:
            shape.validate_python(value)
        assert "is unknown here; did you mean `name`?" in [found.message for found in field_errors(caught.value)]
