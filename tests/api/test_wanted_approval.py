"""What an approval that is waited for asks of people, and whether the caller's would count."""

from typing import Any

from tests.api.conftest import Bench, client
from tests.clock import own_millis
from workflows.contracts.deployments.deployment import Approval, Decision, Stage, StageStatus


async def _waiting(bench: Bench, *, approval: dict[str, Any] | None = None, **changes: Any) -> str:
    """One that waits for the approval of production."""
    steps = [{"name": "deploy", "run": "true"}]
    last = {"name": "production", "steps": steps, "approval": approval or {}}
    await bench.register(environments=[{"name": "staging", "steps": steps}, last])
    deployment_id = await bench.deploy()
    found = await bench.stores.deployments.get(deployment_id)
    assert found is not None
    stage = Stage(environment="production", status=StageStatus.WAITING, approval_expires_at=own_millis() + 60_000)
    fields: dict[str, Any] = {"stages": [found.stages[0], stage], "environment": "production", **changes}
    await bench.releases.put(found, **fields)
    return deployment_id


async def _asked(bench: Bench, deployment_id: str, **key: Any) -> Any:
    """As the admin, or as whoever has a new key."""
    path = f"/api/dashboard/deployments/{deployment_id}/approval"
    if not key:
        answer = await bench.admin.get(path)
    else:
        made = await bench.admin.post("/api/access/keys", json=key)
        assert made.status_code == 201, made.text
        async with client(bench.app, made.json()["key"]) as other:
            answer = await other.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _key(owner: str, role: str = "approver") -> dict[str, Any]:
    return {"name": owner.partition("@")[0], "owner": owner, "grants": [{"role": role}]}


async def test_who_may_and_who_may_not_and_why(bench: Bench) -> None:
    deployment_id = await _waiting(bench, approval={"required": 2})
    bob = await _asked(bench, deployment_id, **_key("bob@example.com"))
    assert (bob["waits"], bob["environment"], bob["required"], bob["counting"]) == (True, "production", 2, 0)
    assert bob["missing"] == "0 of 2 approvals are given"
    assert (bob["you_may"], bob["why_not"]) == (True, None), bob
    ann = await _asked(bench, deployment_id, **_key("ann@example.com"))
    assert not ann["you_may"]
    assert "is the author of 1.4.2" in ann["why_not"]
    assert "Who may" not in ann["why_not"], "that is told once"
    assert "its author" in ann["who_may"]
    vera = await _asked(bench, deployment_id, **_key("vera@example.com", "viewer"))
    assert "needs the role" in vera["why_not"]


async def test_who_has_approved_already_is_told_so(bench: Bench) -> None:
    given = Approval(
        environment="production", decision=Decision.APPROVE, by="bob", at=7, git_commit_sha="b" * 40, comment="fine",
        person="bob@example.com",
    )  # fmt: skip
    deployment_id = await _waiting(bench, approval={"required": 2}, approvals=[given])
    found = await _asked(bench, deployment_id, **_key("cat@example.com"))
    assert [(each["by"], each["at"], each["counts"], each["comment"]) for each in found["given"]] == [
        ("bob", 7, True, "fine")
    ]
    assert found["missing"] == "1 of 2 approvals are given"
    again = await _asked(bench, deployment_id, **{**_key("bob@example.com"), "name": "bob"})
    assert not again["you_may"]
    assert "already" in again["why_not"]


async def test_only_the_group_may(bench: Bench) -> None:
    group = {"name": "sre", "members": ["cat@example.com"]}
    deployment_id = await _waiting(bench, approval={"groups": [group], "signed": True})
    bob = await _asked(bench, deployment_id, **_key("bob@example.com"))
    assert bob["signed"]
    assert bob["groups"] == [{"name": "sre", "required": 1, "members": ["cat@example.com"]}]
    assert "in none of the groups" in bob["why_not"]
    assert (await _asked(bench, deployment_id, **_key("cat@example.com")))["you_may"]


async def test_nothing_is_asked_of_anybody_else(bench: Bench) -> None:
    await bench.register()
    found = await _asked(bench, await bench.deploy())
    assert (found["waits"], found["given"], found["you_may"]) == (False, [], False)
    missing = await bench.admin.get("/api/dashboard/deployments/00000000-0000-4000-8000-000000000000/approval")
    assert missing.status_code == 404
