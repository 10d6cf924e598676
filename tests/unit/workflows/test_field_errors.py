"""One place turns pydantic's findings into fields and what is wrong with them."""

from typing import Any

import pytest
from pydantic import BaseModel, StrictBool, ValidationError, field_validator

from workflows.contracts.errors import MAX_FIELD_ERRORS, FieldError, field_errors, fields_text
from workflows.contracts.fields import EnvName


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
        FieldError(field="steps.2.run", message="Input should be a valid string"),
        FieldError(
            field="env.1A",
            message="must be letters, digits and _, not beginning with a digit; such as API_TOKEN. "
            "String should match pattern '^[A-Za-z_][A-Za-z0-9_]*$'",
        ),
    ]
    assert field_errors(error, inside="build")[0].field == "build.steps.1.run"


def test_the_whole_has_a_name_too() -> None:
    error = broken([])
    assert [found.field for found in field_errors(error)] == [""]
    assert [found.field for found in field_errors(error, nameless="body")] == ["body"]
    assert [found.field for found in field_errors(error, nameless="body", inside="marks")] == ["marks"]


def test_one_line_in_the_words_that_recorded_workflows_have() -> None:
    text = fields_text(broken({"steps": [{"run": "rm"}], "env": {"1A": "x"}}))
    assert text == (
        "steps.0.run: Value error, must not be rm; env.1A.[key]: String should match pattern '^[A-Za-z_][A-Za-z0-9_]*$'"
    )
    assert fields_text(broken(7), nameless="input").startswith("input: Input should be a valid dictionary")


@pytest.mark.parametrize(
    ("word", "right"), [("yes", "true"), ("On", "true"), ("y", "true"), ("no", "false"), ("OFF", "false")]
)
def test_a_boolean_of_yaml_1_1_is_refused_by_name_with_the_right_spelling(word: str, right: str) -> None:
    message = f"Input should be a valid boolean: write {right} without quotes, not {word!r}"
    assert field_errors(broken({"flag": word})) == [FieldError(field="flag", message=message)]
    assert fields_text(broken({"flag": word})) == f"flag: {message}"


def test_other_texts_are_not_repeated() -> None:
    (found,) = field_errors(broken({"flag": "s3cret"}))
    assert found.message == "Input should be a valid boolean"
    (found,) = field_errors(broken({"env": {"A": True}}))
    assert found.message == "Input should be a valid string"


def test_a_thousand_faults_are_not_all_told() -> None:
    assert len(field_errors(broken({"steps": [{}] * 1000}))) == MAX_FIELD_ERRORS
