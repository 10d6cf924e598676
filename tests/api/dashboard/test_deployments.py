"""Deployments' pages: who may approve, what is refused and how it is told, lanes and the matrix."""

import re
from typing import Any

import pytest

from tests.api.conftest import Bench
from tests.api.dashboard.browser import HOSTILE, Browser, filled, key_of, signed_in
from tests.api.dashboard.deployment_bench import on_its_way
from tests.clock import own_millis
from workflows.contracts.access import Role
from workflows.contracts.deployments.commands import Approve, Promote, RollbackCommand
from workflows.contracts.deployments.deployment import DeploymentStatus, Stage, StageStatus
from workflows.contracts.deployments.rules import Rollout

PRODUCTION: dict[str, Any] = {"name": "production", "steps": [{"name": "deploy", "run": "true"}], "approval": {}}
PLAIN: dict[str, Any] = {
    "approvals": [], "metric_rows": [], "relations": [], "start_doubt": None, "needs_decision": None,
    "error_message": None, "live_again": None, "rollbacks": [], "git_people": [], "waits_for": None,
}  # fmt: skip


async def _waits(bench: Bench, **changes: Any) -> str:
    await bench.register()
    deployment_id = await bench.deploy()
    await on_its_way(bench, deployment_id, **{**PLAIN, **changes})
    return deployment_id


async def _live(bench: Bench, **changes: Any) -> str:
    """1.4.2 of checkout, live in production, where 1.0 was before."""
    now = own_millis()
    stages = [Stage(environment="staging", status=StageStatus.DEPLOYED)]
    stages.append(
        Stage(
            environment="production", status=StageStatus.DEPLOYED, started_at=now - 60_000, deployed_at=now,
            previous_version="1.0", percent=100,
        )
    )  # fmt: skip
    fields: dict[str, Any] = {**PLAIN, "status": DeploymentStatus.LIVE, "live_at": now, "stages": stages}
    return await _waits(bench, **{**fields, **changes})


async def _person(bench: Bench, name: str, role: str = "approver") -> Browser:
    key = {"name": name, "owner": f"{name}@example.com", "grants": [{"role": role}]}
    made = await bench.admin.post("/api/access/keys", json=key)
    assert made.status_code == 201, made.text
    return await signed_in(bench, made.json()["key"])


async def test_an_approval_says_what_of_and_goes_with_it(bench: Bench) -> None:
    deployment_id = await _waits(bench)
    bob = await _person(bench, "bob")
    page = await bob.see(f"/deployments/{deployment_id}")
    assert "for production?" in page
    form = page[page.index(f'action="/deployments/{deployment_id}/approve"') :].partition("</form>")[0]
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
    assert {name: hidden[name] for name in ("version", "git_commit_sha", "environment")} == {
        "version": "1.4.2", "git_commit_sha": "b" * 40, "environment": "production"
    }  # fmt: skip
    answer = await bob.submit(f"/deployments/{deployment_id}/approve", **hidden, comment="fine")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/deployments/{deployment_id}")
    command = bench.releases.commands[-1]
    assert isinstance(command, Approve)
    assert (command.version, command.git_commit_sha, command.comment) == ("1.4.2", "b" * 40, "fine")
    assert "seen" not in command.model_dump()


async def test_what_somebody_cancelled_is_called_cancelled(bench: Bench) -> None:
    ended = {"status": DeploymentStatus.FAILED, "completed_at": own_millis(), "error_message": "ann cancelled it."}
    deployment_id = await _waits(bench, **ended, cause="cancelled")
    bob = await _person(bench, "bob")
    listed, shown = await bob.see("/deployments"), await bob.see(f"/deployments/{deployment_id}")
    for page in (listed, shown):
        assert re.search(r'<span class="badge idle"><span aria-hidden="true">\W</span> cancelled</span>', page)
        assert 'class="badge bad"' not in page
    first = await bob.see("/")
    assert "Nothing broke." in first


async def test_who_may_not_approve_is_told_why_and_is_offered_no_button(bench: Bench) -> None:
    deployment_id = await _waits(bench)
    author = await (await _person(bench, "ann")).see(f"/deployments/{deployment_id}")
    assert "You cannot approve it:" in author
    assert "is the author of 1.4.2" in author
    assert ">Approve</button>" not in author
    assert ">Reject</button>" in author, "anybody may say no"
    viewer = await (await _person(bench, "vera", "viewer")).see(f"/deployments/{deployment_id}")
    assert "needs the role" in viewer
    assert "<button" not in viewer[viewer.index("<main") : viewer.index("</main>")]


async def test_who_comes_second_is_told_what_has_happened(bench: Bench) -> None:
    deployment_id = await _waits(bench)
    bob, cat = await _person(bench, "bob"), await _person(bench, "cat")
    page = await cat.see(f"/deployments/{deployment_id}")
    seen = re.findall(r'name="seen" value="(\d+)"', page)[0]
    assert (await bob.submit(f"/deployments/{deployment_id}/reject", reason="not on a Friday")).status_code == 303
    asked = len(bench.releases.commands)
    answer = await cat.submit(f"/deployments/{deployment_id}/approve", seen=seen, comment="all good")
    assert answer.status_code == 409
    assert "What has happened since your page was shown" in answer.text
    assert len(bench.releases.commands) == asked, "nothing is done twice"
    assert 'value="all good"' not in answer.text, "there is no form to keep it in: nothing is asked any more"


async def test_another_version_than_the_page_showed_is_refused(bench: Bench) -> None:
    deployment_id = await _waits(bench)
    bob = await _person(bench, "bob")
    answer = await bob.submit(f"/deployments/{deployment_id}/approve", version="9.9", comment="mine & yours")
    assert answer.status_code == 409
    assert "1.4.2, not 9.9" in answer.text
    assert 'value="mine &amp; yours"' in answer.text, "what was filled in stays"


async def test_a_rollback_has_the_services_name_typed(bench: Bench) -> None:
    deployment_id = await _live(bench)
    browser = await signed_in(bench)
    page = await browser.see(f"/deployments/{deployment_id}")
    assert "Roll back production" in page
    assert "type <strong>checkout</strong> to confirm" in page
    path = f"/deployments/{deployment_id}/rollback"
    for typed in ("", "chekout", "CHECKOUT"):
        answer = await browser.submit(path, reason="errors & more", typed=typed)
        assert answer.status_code == 422
        assert "type the service&#39;s name: checkout" in answer.text
        assert 'value="errors &amp; more"' in answer.text
    assert not [each for each in bench.releases.commands if isinstance(each, RollbackCommand)]
    done = await browser.submit(
        path, reason="errors", typed=" checkout ", to_version="1.0", ban="false", at="", seen="1"
    )
    assert done.status_code == 303
    command = bench.releases.commands[-1]
    assert isinstance(command, RollbackCommand)
    assert (command.to_version, command.ban, command.reason) == ("1.0", False, "errors")
    viewer = await signed_in(bench, await key_of(bench, Role.VIEWER))
    assert (await viewer.submit(path, reason="errors")).status_code == 403, "who may not hears that first"


async def test_a_rollback_says_where_to_and_what_it_runs(bench: Bench) -> None:
    steps = [{"name": "go", "run": "./deploy.sh"}]
    last = {"name": "production", "steps": steps, "rollback": {"steps": [{"name": "back", "run": "./back.sh <1>"}]}}
    await bench.register(environments=[{"name": "staging", "steps": steps}, last])
    deployment_id = await bench.deploy()
    now = own_millis()
    stage = Stage(environment="production", status=StageStatus.DEPLOYED, started_at=now, previous_version="1.0")
    fields: dict[str, Any] = {"status": DeploymentStatus.LIVE, "stages": [stage]}
    await on_its_way(bench, deployment_id, **{**PLAIN, **fields})
    page = await (await signed_in(bench)).see(f"/deployments/{deployment_id}")
    assert "to <bdi>1.0</bdi>" in page
    assert "./back.sh &lt;1&gt;" in page


async def test_a_word_about_a_step_counts_for_that_step_only(bench: Bench) -> None:
    rollout = {"steps": [{"percent": 10}, {"pause": "until_resumed"}, {"percent": 50}, {"percent": 100}]}
    environments = [{**PRODUCTION, "rollout": rollout}]
    await bench.register(environments=environments)
    deployment_id = await bench.deploy()
    now = own_millis()
    stage = Stage(environment="production", status=StageStatus.PAUSED, started_at=now, percent=10, waits_for="you")
    fields: dict[str, Any] = {**PLAIN, "status": DeploymentStatus.PRODUCTION, "stages": [stage]}
    record = await on_its_way(bench, deployment_id, **fields)
    assert Rollout.model_validate(rollout).percentages == [10, 50, 100]
    browser = await signed_in(bench)
    page = await browser.see(f"/deployments/{deployment_id}")
    assert "until somebody lets it go on" in page
    at = re.findall(r'name="at" value="([^"]*)"', page)[0]
    path = f"/deployments/{deployment_id}/promote"
    await bench.releases.put(record, stages=[stage.model_copy(update={"percent": 50})])
    old = await browser.submit(path, reason="all is well", at=at)
    assert old.status_code == 409
    assert "has moved on since this page was shown" in old.text
    assert 'value="all is well"' in old.text
    assert not [each for each in bench.releases.commands if isinstance(each, Promote)]
    fresh = re.findall(r'name="at" value="([^"]*)"', old.text)[0]
    assert (await browser.submit(path, reason="all is well", at=fresh, full="true")).status_code == 303
    assert isinstance(command := bench.releases.commands[-1], Promote)
    assert command.full


async def test_a_signature_is_pasted_and_one_that_is_none_is_refused(bench: Bench) -> None:
    environments = [{**PRODUCTION, "approval": {"signed": True}}]
    await bench.register(environments=environments)
    deployment_id = await bench.deploy()
    await on_its_way(bench, deployment_id, **PLAIN)
    bob = await _person(bench, "bob")
    page = await bob.see(f"/deployments/{deployment_id}")
    command = (
        f"hybridci approver sign --key ann.key --service checkout --version 1.4.2 --commit {'b' * 40} -e production"
    )
    assert command in page
    for bad in ("{", "[" * 100_000, "not json"):
        answer = await bob.submit(f"/deployments/{deployment_id}/approve", signed=bad)
        assert answer.status_code == 422, bad[:10]
        assert "hybridci approver sign" in answer.text
    assert (await bob.submit(f"/deployments/{deployment_id}/approve", signed='{"a": 1}')).status_code == 422


async def test_bans_holds_and_retiring_go_to_where_they_belong(bench: Bench) -> None:
    deployment_id = await _live(bench)
    browser = await signed_in(bench)
    page = await browser.see(f"/deployments/{deployment_id}")
    assert "is banned by" in page
    assert "is on hold" in page
    for command, reason in (("unban", "it was another"), ("ban", "loses orders"), ("release", ""), ("hold", "fair")):
        answer = await browser.submit(f"/deployments/{deployment_id}/{command}", reason=reason, seen="1", at="x")
        assert answer.status_code == 303, (command, answer.text[:500])
    bans = (await bench.admin.get("/api/dashboard/services/checkout/bans")).json()["items"]
    assert [(each["version"], each["git_commit_sha"], each["reason"]) for each in bans] == [
        ("1.4.2", "b" * 40, "loses orders")
    ]
    state = (await bench.admin.get("/api/dashboard/services/checkout/environments/production")).json()
    assert state["hold"]["reason"] == "fair"
    assert (
        await browser.submit(f"/deployments/{deployment_id}/retire", reason="its hosts are gone")
    ).status_code == 303
    state = (await bench.admin.get("/api/dashboard/services/checkout/environments/production")).json()
    assert state["live"] is None


async def test_a_job_of_another_ci_is_a_name_and_no_address(bench: Bench) -> None:
    ids = await filled(bench)
    page = await (await signed_in(bench)).see(f"/deployments/{ids['deployment_id']}")
    assert "/jobs/.." not in page


@pytest.mark.parametrize("words", ["plain", HOSTILE])
async def test_lanes_and_the_matrix_say_the_same(bench: Bench, words: str) -> None:
    await filled(bench, words)
    browser = await signed_in(bench)
    for path in ("/deployments", "/deployments/lanes", "/deployments/matrix"):
        page = await browser.see(path)
        assert 'href="/services/checkout"' in page
        assert "on hold" in page
        assert "<script>" not in page
    assert "Recent deployments" in await browser.see("/deployments")
    filtered = await browser.see("/deployments?status=live")
    assert "Recent deployments" not in filtered
    assert 'class="lane"' not in filtered


async def test_without_a_service_it_is_said_what_to_do_first(bench: Bench) -> None:
    browser = await signed_in(bench)
    for path in ("/deployments", "/deployments/lanes", "/deployments/matrix"):
        assert "hybridci service apply -f service.yml" in await browser.see(path)
