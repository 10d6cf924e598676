"""Who may approve is what the service says now, wherever it says it."""

from typing import Any

import pytest

from activities.deployments.approvals import Approvals
from workflows.contracts.deployments.approvals import ApprovalQuestion
from workflows.contracts.deployments.services import Service, ServiceSpec

_STEPS = [{"name": "deploy", "run": "true"}]
_APPROVAL = {"required": 2}
_HERE: dict[str, Any] = {
    "environments": [{"name": "production", "steps": _STEPS, "approval": _APPROVAL}],
}
_IN_THE_REPOSITORY: dict[str, Any] = {
    "definition": {"path": ".hybridci.yml"},
    "policy": {"environments": [{"name": "production", "approval": _APPROVAL}]},
}


@pytest.mark.parametrize("definition", [_HERE, _IN_THE_REPOSITORY])
async def test_the_policy_is_the_registered_one(definition: dict[str, Any]) -> None:
    spec = ServiceSpec.model_validate({"git_repo": "https://example.com/shop.git", **definition})

    async def read(name: str) -> Service:
        return Service(name=name, version=1, spec=spec, created_at=1, updated_at=1)

    question = ApprovalQuestion(
        service_name="shop", environment="production", deployment_id="d", version="1", git_commit_sha="a" * 40, given=[]
    )
    policy = (await Approvals(read).facts(question)).policy
    assert policy is not None
    assert policy.required == 2
