"""``POST /api/webhooks/{provider}``: genuine deliveries act, once; everything else is refused, ignored or put off."""

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.cli.stack.children import Options, process_specs
from api.cli.stack.data_dir import DataDir
from api.http.middleware import MAX_WEBHOOK_BYTES
from api.webhooks.actions import mark_of
from api.webhooks.deliveries import Deliveries
from api.webhooks.receive import Webhooks
from api.webhooks.secrets import WebhookSecrets, secret_variable
from tests.webhooks.bench import (
    NOW,
    SECRET,
    WebhookBench,
    deployments,
    github_signature,
    same_but_repeated,
    together,
    webhook_bench,
)
from tests.webhooks.captured import DEPLOYMENT, PROVIDERS, SHA, captured, provider_of
from workflows.contracts.deployments.commands import RecordStage
from workflows.contracts.deployments.deployment import (
    DeploymentStatus,
)
from workflows.contracts.deployments.environments import EnvironmentWrite
from workflows.contracts.errors import Unavailable
from workflows.contracts.ids import new_job_id


@pytest.fixture
async def hooks() -> AsyncIterator[WebhookBench]:
    async with webhook_bench() as bench:
        await bench.register()
        yield bench


async def test_texts_that_mislead_are_cleared_since_nobody_can_correct_them(hooks: WebhookBench) -> None:
    request = captured("github-push")
    body = request.body.replace(b"ann@example.com", b"\\u202eann@example.com\\u200b").replace(
        b"Round totals", b"Round\\u001b[2J\\u2066 totals"
    )
    answer = await hooks.post("github", body, request.headers)
    assert answer.status_code == 202, answer.text
    (start,) = hooks.releases.started
    assert start.request.git_author == "ann@example.com"
    assert (start.request.git_commit_message or "").startswith("Round [2J  totals half to even\n\nBanker's")


async def test_a_push_starts_a_deployment(hooks: WebhookBench) -> None:
    answer = await hooks.send("github-push")
    assert answer.status_code == 202, answer.text
    body = answer.json()
    (action,) = body["actions"]
    assert (body["status"], body["event"], body["rule"]) == ("accepted", "push", "push")
    assert body["delivery"] == "72d3162e-cc78-11e3-81ab-4c9367dc0901"
    (found,) = await deployments(hooks)
    assert action == {
        "action": "start_deployment",
        "status": "done",
        "service_name": "shop",
        "version": SHA[:12],
        "deployment_id": found.deployment_id,
        "url": f"/api/dashboard/deployments/{found.deployment_id}",
        "message": f"Deployment of shop {SHA[:12]} is started.",
    }
    (start,) = hooks.releases.started
    assert (start.via, start.created_by, start.request.git_author) == (
        "webhook:github",
        "webhook:github",
        "ann@example.com",
    )
    assert "Banker's rounding" in (start.request.git_commit_message or "")


async def test_a_repeated_delivery_says_that_it_is_one_and_how_what_it_started_stands(hooks: WebhookBench) -> None:
    first = await hooks.send("github-push")
    again = await hooks.send("github-push")
    hooks.restart()
    after_a_restart = await hooks.send("github-push")
    assert "idempotent-replay" not in first.headers
    assert first.json()["repeated"] is False
    (action,) = first.json()["actions"]
    for answer in (again, after_a_restart):
        said = (
            f"Deployment {action['deployment_id']} of shop {SHA[:12]} was started by this event before; it is pending."
        )
        expected = {**first.json(), "repeated": True, "message": said, "actions": [{**action, "message": said}]}
        assert (answer.status_code, answer.json()) == (202, expected)
        assert answer.headers["idempotent-replay"] == "true"
    assert len(await deployments(hooks)) == 1
    assert len(hooks.releases.started) == 1


async def test_deliveries_that_come_at_once_start_one_deployment(hooks: WebhookBench) -> None:
    answers = await together([hooks.send("github-push") for _ in range(8)])
    assert {answer.status_code for answer in answers} == {202}
    assert sorted(answer.json()["repeated"] for answer in answers) == [False] + [True] * 7
    assert len({answer.json()["actions"][0]["deployment_id"] for answer in answers}) == 1
    assert len(hooks.releases.started) == 1


async def test_of_push_and_workflow_one_starts_what_the_service_names(hooks: WebhookBench) -> None:
    await hooks.send("github-push")
    run = await hooks.send("github-workflow-run")
    assert "workflow 'Build' is not for it" in run.json()["reason"]
    assert run.json()["passed_over"][0]["service_name"] == "shop"
    assert len(await deployments(hooks)) == 1
    async with webhook_bench() as other:
        await other.register(triggers={"workflows": ["Build"]})
        push = await other.send("github-push")
        assert (push.json()["status"], len(await deployments(other))) == ("ignored", 0)
        await other.send("github-workflow-run")
        assert len(await deployments(other)) == 1


async def test_a_tag_and_its_release_start_one_deployment() -> None:
    async with webhook_bench() as hooks:
        await hooks.register(triggers={"tags": [{"pattern": "v*", "version": "{1}"}]})
        tag = await hooks.send("github-push-tag")
        release = await hooks.send("github-release")
        assert release.json()["actions"][0]["deployment_id"] == tag.json()["actions"][0]["deployment_id"]
        assert [found.version for found in await deployments(hooks)] == ["1.4.2"]


@pytest.mark.parametrize("signature", [None, "", "sha256=", "sha256=00", f"sha256={'0' * 64}", "sha1=x", "ä" * 9])
async def test_a_wrong_or_missing_signature_is_401(hooks: WebhookBench, signature: str | None) -> None:
    request = captured("github-push")
    raw = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    if signature is not None:
        raw.append((b"x-hub-signature-256", signature.encode("latin-1")))
    answer = await hooks.client.post("/api/webhooks/github", content=request.body, headers=raw)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert "www-authenticate" in answer.headers
    assert "secret" in answer.json()["detail"]
    assert await deployments(hooks) == []


async def test_a_changed_byte_or_another_secret_is_401(hooks: WebhookBench) -> None:
    request = captured("github-push")
    for body, signature in (
        (request.body + b" ", github_signature(request.body)),
        (request.body, github_signature(request.body, "another secret")),
    ):
        headers = {**request.headers, "x-hub-signature-256": signature}
        answer = await hooks.client.post("/api/webhooks/github", content=body, headers=headers)
        assert answer.status_code == 401


async def test_nothing_is_parsed_before_the_signature_holds(hooks: WebhookBench) -> None:
    answer = await hooks.client.post("/api/webhooks/github", content=b"\xff{not json")
    assert answer.status_code == 401
    signed = await hooks.post("github", b"\xff{not json", {"content-type": "application/json"})
    assert (signed.status_code, signed.json()["code"]) == (400, "malformed_body")


async def test_an_old_timestamp_is_401(hooks: WebhookBench) -> None:
    request = captured("slack-approve")
    headers = {**request.headers, "x-slack-request-timestamp": str(NOW - 3600), "x-slack-signature": "v0=00"}
    answer = await hooks.client.post("/api/webhooks/slack", content=request.body, headers=headers)
    assert answer.status_code == 401
    assert "an old request, or a wrong clock" in answer.json()["detail"]


async def test_providers_without_a_secret_or_a_manifest_are_404(hooks: WebhookBench) -> None:
    unknown = await hooks.client.post("/api/webhooks/nobody", content=b"{}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    unset = await hooks.client.post("/api/webhooks/sentry", content=b"{}")
    assert unset.status_code == 404
    assert "HYBRIDCI_WEBHOOK_SECRET_SENTRY" in unset.json()["detail"]
    assert SECRET not in unset.text


async def test_a_body_above_25_mb_is_413_and_one_below_is_read(hooks: WebhookBench) -> None:
    large = await hooks.client.post("/api/webhooks/github", content=b"x" * (MAX_WEBHOOK_BYTES + 1))
    assert large.status_code == 413
    chunks = iter([b"x" * MAX_WEBHOOK_BYTES, b"x"])

    async def streamed() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    headers = {"x-hub-signature-256": "sha256=00"}
    unannounced = await hooks.client.post("/api/webhooks/github", content=streamed(), headers=headers)
    assert unannounced.status_code == 413
    body = b'{"zen": "' + b"x" * (3 << 20) + b'"}'
    answer = await hooks.post("github", body, {"content-type": "application/json", "x-github-event": "ping"})
    assert (answer.status_code, answer.json()["status"]) == (202, "ignored")


async def test_an_unknown_event_is_ignored_with_the_reason(hooks: WebhookBench) -> None:
    answer = await hooks.send("github-issues")
    assert answer.status_code == 202
    assert answer.json()["status"] == "ignored"
    assert "no rule is for the event 'issues'" in answer.json()["reason"]
    assert answer.json()["actions"] == []


async def test_a_service_that_was_registered_a_moment_ago_is_found() -> None:
    async with webhook_bench() as hooks:
        ignored = await hooks.send("github-push")
        assert "no registered service" in ignored.json()["reason"]
        await hooks.register()
        hooks.restart()  # half a second passes
        answer = await hooks.send("github-push")
        assert answer.json()["status"] == "accepted"


async def test_an_unavailable_temporal_is_503_so_that_the_tool_sends_it_again(hooks: WebhookBench) -> None:
    hooks.releases.failure = Unavailable("Temporal does not answer.")
    answer = await hooks.send("github-push")
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    hooks.releases.failure = None
    again = await hooks.send("github-push")
    assert (again.status_code, again.json()["status"]) == (202, "accepted")
    assert "idempotent-replay" not in again.headers


async def test_what_cannot_be_deployed_is_refused_and_not_sent_again(hooks: WebhookBench) -> None:
    body = captured("github-push").body.replace(SHA.encode(), b"not-a-commit")
    headers = {**captured("github-push").headers, "x-github-delivery": "another"}
    answer = await hooks.post("github", body, headers)
    assert (answer.status_code, answer.json()["status"]) == (202, "refused")
    assert "git_commit_sha" in answer.json()["message"]


async def test_a_job_is_started(hooks: WebhookBench) -> None:
    first = await hooks.send("generic-job")
    hooks.restart()
    again = await hooks.send("generic-job")
    (action,) = first.json()["actions"]
    job = await hooks.stores.jobs.get(action["job_id"])
    assert job is not None
    assert (job.created_by, job.steps[0].run) == ("webhook:generic", "pytest -q")
    assert same_but_repeated(again, first)


async def test_a_push_names_author_committer_and_who_started_it(hooks: WebhookBench) -> None:
    await hooks.send("github-push")
    (start,) = hooks.releases.started
    assert start.parties is not None
    assert (start.parties.starter.person, start.parties.starter.machine) == ("machine:webhook:github", True)
    assert start.parties.author.person == start.request.git_author.casefold()
    assert start.parties.committer is not None


async def alert(hooks: WebhookBench, name: str, replacing: dict[str, str]) -> dict[str, Any]:
    """A captured alert with other values at its keys."""
    secrets = WebhookSecrets({secret_variable(provider): SECRET for provider in PROVIDERS})
    hooks.app.state.webhooks = Webhooks(PROVIDERS, secrets, now=lambda: NOW)
    request = captured(name)
    body = request.body.decode()
    for key, value in replacing.items():
        body, found = re.subn(rf'("{key}"\s*:\s*)"[^"]*"', lambda at, value=value: f"{at[1]}{value}", body)
        assert found, f"{name} has no {key}"
    answer = await hooks.post(provider_of(name).name, body.encode(), {**request.headers, "request-id": new_job_id()})
    return answer.json()


async def test_an_external_stage_is_recorded_by_its_deployment(hooks: WebhookBench) -> None:
    deployment = await hooks.deploy()
    body = captured("github-deployment-status").body.replace(DEPLOYMENT.encode(), deployment.deployment_id.encode())
    answer = await hooks.post("github", body, captured("github-deployment-status").headers)
    assert answer.json()["status"] == "accepted", answer.text
    (command,) = hooks.releases.commands
    assert isinstance(command, RecordStage)
    assert (command.environment, command.succeeded) == ("staging", True)


@pytest.mark.parametrize("environment", ["{by}{0}", "{by}{by.x}", "{by:>9", "{by}{by:>400000000}"])
async def test_an_environment_named_like_a_format_is_no_format(hooks: WebhookBench, environment: str) -> None:
    """Read by ``str.format`` it was a 500, or as much memory as its sender liked."""
    deployment = await hooks.deploy()
    status = captured("github-deployment-status")
    body = status.body.replace(DEPLOYMENT.encode(), deployment.deployment_id.encode())
    answer = await hooks.post("github", body.replace(b'"staging"', json.dumps(environment).encode()), status.headers)
    assert answer.status_code < 500, answer.text
    assert len(answer.text) < 10_000, answer.text[:1_000]


async def test_one_push_deploys_every_service_of_the_repository(hooks: WebhookBench) -> None:
    await hooks.register("cart")
    answer = await hooks.send("github-push")
    assert [action["service_name"] for action in answer.json()["actions"]] == ["cart", "shop"]
    found = await deployments(hooks)
    assert {item.service_name for item in found} == {"cart", "shop"}
    assert {item.status for item in found} == {DeploymentStatus.PENDING}


async def test_a_webhook_needs_no_key_and_a_key_is_no_signature(hooks: WebhookBench) -> None:
    answer = await hooks.client.post(
        "/api/webhooks/github", content=b"{}", headers={"Authorization": "Bearer admin-key-for-tests"}
    )
    assert answer.status_code == 401
    assert (await hooks.client.get("/api/webhooks/github")).status_code == 405


async def test_a_signed_body_under_another_delivery_id_starts_nothing_more(hooks: WebhookBench) -> None:
    """GitHub does not sign the id: who has caught a request could send it again under a new one."""
    await hooks.register("cart", triggers={"tags": [{"pattern": "v*"}], "deployments": ["production"]})
    for name in ("github-push", "github-push-tag", "github-deployment"):
        first = await hooks.send(name)
        again = await hooks.send(name, **{"x-github-delivery": "11111111-cc78-11e3-81ab-4c9367dc0958"})
        hooks.restart()
        ids = [[action["deployment_id"] for action in each.json()["actions"]] for each in (first, again)]
        assert (ids[0], again.json()["repeated"]) == (ids[1], True), name
        assert again.headers["idempotent-replay"] == "true"


async def test_only_the_newest_answers_are_remembered() -> None:
    remembered: Deliveries[int] = Deliveries(capacity=2)

    async def answer(number: int, remember: bool = True) -> tuple[int, bool]:
        return number, remember

    for number in range(3):
        assert await remembered.once(str(number), lambda number=number: answer(number)) == (number, False)
    assert await remembered.once("2", lambda: answer(7)) == (2, True)
    assert await remembered.once("0", lambda: answer(8, False)) == (8, False)
    assert await remembered.once("0", lambda: answer(9)) == (9, False)


def test_the_api_does_not_start_with_a_wrong_manifest(tmp_path: Path) -> None:
    (tmp_path / "tool.yml").write_text("name: tool\nverify: {scheme: none}\n")
    environment = {
        **os.environ, "HYBRIDCI_ADMIN_KEY": "k" * 32, "HYBRIDCI_WEBHOOK_MANIFESTS": str(tmp_path),
        "TEMPORAL_ADDRESS": "127.0.0.1:9", "DYNAMODB_ENDPOINT_URL": "http://127.0.0.1:9",
    }  # fmt: skip
    command = [sys.executable, "-m", "api.cli.main", "api", "--port", "0"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "hybridci api cannot start: These webhook manifests must be corrected:" in ended.stderr
    assert "tool.yml: rules: is needed" in ended.stderr


def test_only_the_embedded_api_is_given_the_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDCI_WEBHOOK_SECRET_GITHUB", "secret")
    specs = {spec.name: spec for spec in process_specs(Options(agents=1), DataDir(tmp_path))}
    assert specs.pop("api").env["HYBRIDCI_WEBHOOK_SECRET_GITHUB"] == "secret"
    assert set(specs) == {"worker", "gateway", "agent-1"}
    assert not any("HYBRIDCI_WEBHOOK_SECRET_GITHUB" in spec.env for spec in specs.values())


def test_marks_are_told_apart() -> None:
    assert mark_of("github:1:0:shop") != mark_of("github:1:0:cart")
    assert len(mark_of("\ud800")) == 20


async def live(hooks: WebhookBench, deployment_id: str, *, since: int) -> None:
    """What runs in production now, since a moment of our choice."""
    await hooks.releases.go_live(deployment_id)
    state = await hooks.stores.environments.get("shop", "production")
    assert state is not None
    assert state.live is not None
    changed = state.model_copy(
        update={"live": state.live.model_copy(update={"since": since}), "sequence": state.sequence + 1}
    )
    await hooks.stores.environments.write(EnvironmentWrite(state=changed))
