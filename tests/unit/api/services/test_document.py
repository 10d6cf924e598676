"""A definition as YAML says what it means, and is taken back as the same."""

from typing import Any

import pytest
import yaml

from api.services.document import definition_yaml, read_document
from workflows.contracts.deployments.services import Service, ServiceSpec

PLAIN: dict[str, Any] = {
    "required": 1,
    "allow_author": False,
    "allow_machines": False,
    "one_person_many_groups": False,
    "signed": False,
    "expires_seconds": 259_200,
}
OWNERS: dict[str, Any] = {"name": "owners", "members": ["ann@example.com"]}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({}, PLAIN),
        ({"required": 1}, PLAIN),
        ({"groups": [OWNERS]}, {**PLAIN, "groups": [{**OWNERS, "required": 1}]}),
        ({"required": 2, "signed": True}, {**PLAIN, "required": 2, "signed": True}),
    ],
)
def test_an_approval_is_shown_with_its_defaults(said: dict[str, Any], shown: dict[str, Any]) -> None:
    """`approval: {}` and groups without a number read as if nobody had to agree."""
    steps = [{"name": "go", "run": "./deploy.sh", "env": {"approval": "yes"}}]
    fields: dict[str, Any] = {
        "git_repo": "https://example.com/shop.git",
        "labels": {"approval": "none"},
        "environments": [{"name": "production", "steps": steps, "approval": said}],
    }
    spec = ServiceSpec.model_validate(fields)
    text = definition_yaml(Service(name="shop", version=1, spec=spec, created_at=0, updated_at=0))
    (environment,) = yaml.safe_load(text)["environments"]
    assert environment == {"name": "production", "steps": steps, "approval": shown}
    assert ServiceSpec.model_validate(read_document(text.encode()).fields) == spec
