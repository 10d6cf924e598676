"""POST …/environments/{environment}/rollback: what is live, or being rolled out, whatever workflows there are."""

import pytest

from tests.api.conftest import Bench
from workflows.contracts.deployments.commands import RollbackCommand
from workflows.contracts.deployments.deployment import (
    DeploymentStatus,
)
from workflows.contracts.deployments.environments import EnvironmentState, EnvironmentWrite, Holder, LiveVersion
from workflows.contracts.deployments.live_again import LiveAgain

PRODUCTION = "/api/dashboard/services/checkout/environments/production"


async def live(bench: Bench) -> str:
    await bench.register()
    deployment_id = await bench.deploy()
    await bench.releases.go_live(deployment_id)
    return deployment_id


async def put(bench: Bench, **changes: object) -> None:
    state = await bench.stores.environments.get("checkout", "production")
    state = state or EnvironmentState(service_name="checkout", environment="production")
    changed = state.model_copy(update={**changes, "sequence": state.sequence + 1})
    await bench.stores.environments.write(EnvironmentWrite(state=changed))


async def test_what_is_live_is_rolled_back_also_without_its_workflow(bench: Bench) -> None:
    deployment_id = await live(bench)
    bench.releases.lost.add(deployment_id)
    answer = await bench.admin.post(PRODUCTION + "/rollback", json={"reason": "bad", "to_commit": "b" * 40})
    assert (answer.status_code, answer.json()["deployment_id"]) == (200, deployment_id)
    command = bench.releases.commands[-1]
    assert isinstance(command, RollbackCommand)
    assert (command.by, command.to_commit, command.reason) == ("admin", "b" * 40, "bad")


async def test_what_is_being_rolled_out_is_stopped_instead(bench: Bench) -> None:
    await live(bench)
    identity = await bench.deploy(version="1.5.0")
    found = await bench.stores.deployments.get(identity)
    assert found is not None
    await bench.releases.put(found, status=DeploymentStatus.PRODUCTION, environment="production")
    holder = Holder(deployment_id=identity, workflow_id="w", version="1.5.0", fence=7, since=1)
    await put(bench, holder=holder, fence=7)
    answer = await bench.admin.post(PRODUCTION + "/rollback", json={"reason": "bad"})
    assert (answer.status_code, answer.json()["version"]) == (200, "1.5.0")
    bench.releases.lost.add(identity)
    gone = await bench.admin.post(PRODUCTION + "/rollback", json={"reason": "bad"})
    assert (gone.status_code, "Within a minute what was live before holds" in gone.json()["detail"]) == (409, True)


async def test_nothing_to_roll_back(bench: Bench) -> None:
    await bench.register()
    await bench.deploy()
    answer = await bench.admin.post(PRODUCTION + "/rollback", json={"reason": "bad"})
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")
    assert "Nothing is live in production of checkout" in answer.json()["detail"]
    unknown = await bench.admin.post(PRODUCTION.replace("production", "moon") + "/rollback", json={"reason": "bad"})
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reason"),
        ({"reason": "r", "to_version": "no version"}, "to_version"),
        ({"reason": "r", "to_commit": "abc"}, "to_commit"),
        ({"reason": "r", "wrong": 1}, "wrong"),
    ],
)
async def test_bad_input_is_named(bench: Bench, body: dict[str, object], field: str) -> None:
    await live(bench)
    answer = await bench.admin.post(PRODUCTION + "/rollback", json=body)
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])
    assert bench.releases.commands == []


async def test_one_target_only(bench: Bench) -> None:
    await live(bench)
    body = {"reason": "r", "to_version": "1.0", "to_commit": "a" * 40}
    answer = await bench.admin.post(PRODUCTION + "/rollback", json=body)
    assert answer.status_code == 422
    assert "give one of them" in answer.text


async def test_a_request_that_is_repeated_rolls_back_once(bench: Bench) -> None:
    """After it, another version is live: the same key means the rollback that was made."""
    deployment_id = await live(bench)
    key = {"Idempotency-Key": "night"}
    first = await bench.admin.post(PRODUCTION + "/rollback", json={"reason": "bad"}, headers=key)
    assert first.status_code == 200
    back = LiveVersion(version="1.0", deployment_id="d-0", workflow_id="w", git_commit_sha="a" * 40, since=1)
    again = LiveAgain(from_deployment_id=deployment_id, from_version="1.4.2", at=1)
    await put(bench, live=back.model_copy(update={"again": again}))
    answered: list[str | None] = []

    async def answers(deployment: object, command: object, update_id: str | None = None) -> object:
        answered.append(update_id)
        return await bench.stores.deployments.get(deployment_id)

    bench.releases.command = answers  # type: ignore[method-assign, assignment]
    second = await bench.admin.post(PRODUCTION + "/rollback", json={"reason": "bad"}, headers=key)
    assert (second.status_code, second.json()) == (200, first.json())
    assert answered == [bench.releases.update_ids[-1]]


async def test_a_superseded_deployment_names_the_command_that_works(bench: Bench) -> None:
    deployment_id = await live(bench)
    found = await bench.stores.deployments.get(deployment_id)
    assert found is not None
    await bench.releases.put(found, status=DeploymentStatus.SUPERSEDED, closed=True, superseded_by="next")
    late = await bench.admin.post(f"/api/dashboard/deployments/{deployment_id}/rollback", json={"reason": "x"})
    assert late.status_code == 409
    assert "`hybridci deploy rollback checkout --reason …`" in late.json()["detail"]
    assert "environments/production/rollback" in late.json()["detail"]
