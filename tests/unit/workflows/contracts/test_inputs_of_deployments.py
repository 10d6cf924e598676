"""Whose files a deployment's job can begin with: its build's and its test's, where these come before it."""

from typing import Any

import pytest
from pydantic import ValidationError

from workflows.contracts.deployments.services import ServiceDefinition
from workflows.contracts.errors import field_errors

STEPS = [{"name": "s", "run": "true"}]
BUILD, TEST = {"steps": STEPS}, {"steps": STEPS, "inputs": [{"job": "build"}]}


def a_definition(**fields: Any) -> dict[str, Any]:
    inputs = fields.pop("inputs", [])
    return {"environments": [{"name": "production", "steps": STEPS, "inputs": inputs}], **fields}


def test_files_of_what_comes_before_are_taken() -> None:
    wanted = [{"job": "build", "artifacts": ["dist/*", "!dist/x"], "path": "in"}, {"job": "test"}]
    definition = ServiceDefinition.model_validate(a_definition(build=BUILD, test=TEST, inputs=wanted))
    assert [each.job for each in definition.environments[0].inputs] == ["build", "test"]
    assert ServiceDefinition.model_validate_json(definition.model_dump_json()) == definition


def test_a_definition_that_uses_neither_is_stored_as_before() -> None:
    dumped = ServiceDefinition.model_validate(a_definition(build=BUILD)).model_dump()
    assert {"inputs", "resume"}.isdisjoint({*dumped["build"], *dumped["environments"][0]})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"inputs": [{"job": "build"}]}, "environments.0.inputs.0.job: there is no build in this definition"),
        (
            {"build": BUILD, "inputs": [{"job": "build"}, {"job": "test"}]},
            "environments.0.inputs.1.job: there is no",
        ),
        ({"build": TEST}, "build.inputs.0.job: build does not come before this job"),
        (
            {"build": BUILD, "test": BUILD | {"inputs": [{"job": "test"}]}},
            "test.inputs.0.job: test does not come",
        ),
        ({"test": TEST}, "test.inputs.0.job: there is no build"),
        ({"build": BUILD, "inputs": [{"job": "0" * 36}]}, "build"),
        ({"build": BUILD, "inputs": [{"branch": "main"}]}, "branch"),
        ({"build": BUILD, "inputs": [{"job": "build", "path": "../up"}]}, "inside the workspace"),
        ({"build": BUILD, "inputs": [{"job": "build", "artifacts": ["/etc/*"]}]}, "inside the workspace"),
        ({"build": BUILD | {"resume": "always"}}, "step"),
    ],
)
def test_what_can_be_nobodys_is_refused_by_its_place(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ServiceDefinition.model_validate(a_definition(**fields))
    assert any(words in f"{error.field} {error.message}" for error in field_errors(refused.value)), refused.value
