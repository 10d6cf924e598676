"""Which change of a service lets it out from under a freeze or a hold of many."""

from typing import Any

import pytest

from api.services.stopped import frees
from workflows.contracts.deployments.line import StopScope
from workflows.contracts.deployments.services import ServiceSpec


def spec(*names: str, **labels: str) -> ServiceSpec:
    environments = [{"name": each, "steps": [{"name": "go", "run": "true"}]} for each in names]
    fields: dict[str, Any] = {"git_repo": "https://example.com/a.git", "environments": environments, "labels": labels}
    return ServiceSpec.model_validate(fields)


EVERYTHING = StopScope(all_services=True)
PRODUCTION = StopScope(all_services=True, environments=["production"])
PAY = StopScope(labels={"team": "pay"})
BEFORE = spec("staging", "production", team="pay")


@pytest.mark.parametrize(
    ("scope", "after", "free"),
    [
        (EVERYTHING, spec("live"), False),
        (EVERYTHING, None, False),
        (PRODUCTION, spec("staging", "live", team="pay"), True),
        (PRODUCTION, spec("staging", team="pay"), False),  # there is nothing to go to past it
        (PRODUCTION, spec("canary", "production"), False),
        (PRODUCTION, None, True),
        (PAY, spec("staging", "production"), True),
        (PAY, spec("staging", "production", team="pay", more="x"), False),
        (PAY, spec("live", team="pay"), False),
        (StopScope(services=["cart"], environments=["production"]), spec("live"), False),
        (StopScope(all_services=True, exceptions=["checkout"]), spec("live"), False),
    ],
)
def test_what_goes_on_past_it(scope: StopScope, after: ServiceSpec | None, free: bool) -> None:
    assert frees(scope, "checkout", BEFORE, after) is free
