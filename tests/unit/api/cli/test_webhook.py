"""``hybridci webhook``: what there is, and what a captured payload would do; offline, and sent to a real server."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.cli.commands.webhooks.webhook import app
from api.webhooks.rules import MAX_ACTIONS
from tests.api.conftest import ADMIN_KEY
from tests.api.live import serving
from tests.webhooks.bench import SECRET, webhook_bench
from tests.webhooks.captured import PAYLOADS, PROVIDERS, captured

runner = CliRunner()
PUSH = str(PAYLOADS / "github-push.json")


def run(*arguments: str) -> Result:
    return runner.invoke(app, list(arguments))


def answered(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_list_names_every_tool_and_its_secret() -> None:
    rows = {row["name"]: row for row in answered("list")}
    assert set(rows) == set(PROVIDERS)
    assert rows["github"]["secret"] == "HYBRIDCI_WEBHOOK_SECRET_GITHUB"
    assert rows["github"]["path"] == "/api/webhooks/github"
    shown = run("list")
    assert "alertmanager" in shown.stdout
    assert "HYBRIDCI_WEBHOOK_SECRET_BITBUCKET_SERVER" in shown.stdout


def test_a_captured_request_is_explained() -> None:
    result = run("test", "github", "--payload", PUSH)
    assert result.exit_code == 0, result.output
    for words in (
        "72d3162e-cc78-11e3-81ab-4c9367dc0901",
        "✗ ping (ignore): it is for ping, not for 'push'",
        "✗ tag (start_deployment): when does not hold: tag(payload.ref)",
        "✓ push (start_deployment): A commit was pushed to the service's branch.",
        "Action: start_deployment of service <every service of github.com/acme/shop>",
        "version: 9f1c2a7b3d4e",
    ):
        assert words in result.stdout


def test_one_tool_is_shown_with_its_rules() -> None:
    result = run("provider", "github")
    assert result.exit_code == 0, result.output
    for words in ("/api/webhooks/github", "HYBRIDCI_WEBHOOK_SECRET_GITHUB", "push (start_deployment), for push: "):
        assert words in result.stdout
    assert answered("provider", "github")["name"] == "github"
    assert run("provider", "nobody").exit_code == 2


def test_what_would_be_refused_ends_with_exit_code_1() -> None:
    services = [f"--service=shop-{number}=git@github.com:acme/shop.git" for number in range(MAX_ACTIONS + 1)]
    for more in ([], ["--json"]):
        result = run("test", "github", "--payload", PUSH, *services, *more)
        assert result.exit_code == 1, result.output
        assert f"It would be refused: it asks for {MAX_ACTIONS + 1} actions" in result.stderr
    assert run("test", "github", "--payload", PUSH, "--event", "star").exit_code == 0, "it is ignored, not refused"


def test_a_bare_body_and_its_headers_say_the_same(tmp_path: Path) -> None:
    request = captured("github-push")
    (tmp_path / "body").write_bytes(request.body)
    (tmp_path / "headers").write_text("\n".join(f"{name}: {value}" for name, value in request.headers.items()))
    whole = answered("test", "github", "--payload", PUSH)
    from_file = answered("test", "github", "--payload", str(tmp_path / "body"), "--headers", str(tmp_path / "headers"))
    by_event = answered("test", "github", "--payload", str(tmp_path / "body"), "--event", "push")
    assert from_file == whole
    assert (by_event["event"], by_event["rule"]) == ("push", "push")
    assert by_event["delivery"].startswith("sha256-")
    one = ["--header", "X-GitHub-Event=push", "--header", "X-GitHub-Delivery: 7"]
    assert answered("test", "github", "--payload", str(tmp_path / "body"), *one)["delivery"] == "7"


def test_given_services_are_looked_up() -> None:
    shop = ["--service", "shop=git@github.com:acme/shop.git#main"]
    assert answered("test", "github", "--payload", PUSH, *shop)["actions"][0]["service"] == "shop"
    other = answered("test", "github", "--payload", PUSH, "--service", "shop=git@github.com:acme/shop.git#release")
    assert other["actions"] == []
    assert "branch 'main' is not for it, but release" in other["reason"]


def test_a_given_service_of_another_repository_is_told(tmp_path: Path) -> None:
    """It said that no *registered* service had the repository, where none was asked for."""
    file = tmp_path / "shop.yml"
    file.write_text(
        "name: shop\ngit_repo: https://github.com/acme/other.git\ngit_ref: main\n"
        "environments: [{name: production, external: true}]\n"
    )
    wanted = "none of the given services has the repository github.com/acme/shop: "
    by_file = answered("test", "github", "--payload", PUSH, "--service", str(file))
    assert by_file["actions"] == []
    assert f"{wanted}shop ({file}) has github.com/acme/other" in by_file["reason"]
    by_option = answered("test", "github", "--payload", PUSH, "--service", "shop=git@github.com:acme/other.git")
    assert f"{wanted}shop (--service) has github.com/acme/other" in by_option["reason"]


def test_a_payload_without_its_event_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(captured("github-push").body)
    result = run("test", "github", "--payload", str(tmp_path / "body"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--event is missing, and no --header or --headers tells x-github-event. Events of github: " in result.stderr
    assert "push" in result.stderr


def test_a_way_to_verify_is_named_once() -> None:
    (line,) = [line for line in run("list").stdout.splitlines() if line.startswith("grafana")]
    assert "hmac-sha256, token" in line
    assert "hmac-sha256, hmac-sha256" not in line
    assert "hmac-sha256, hmac-sha256" not in run("provider", "grafana").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["test", "nobody", "--payload", PUSH], "There is no provider 'nobody'. There are: "),
        (["test", "gihtub", "--payload", PUSH], "There is no provider 'gihtub'. Did you mean github? There are: "),
        (["provider", "GitLab"], "Did you mean gitlab?"),
        (["test", "github", "--payload", "/nowhere"], "cannot be read"),
        (
            ["test", "github", "--payload", __file__, "--header", "Content-Type=application/json"],
            "--payload cannot be read as the API would",
        ),
        (["test", "github", "--payload", PUSH, "--header", "nonsense"], "neither NAME=VALUE"),
        (["test", "github", "--payload", PUSH, "--service", "shop"], "is not NAME=REPOSITORY"),
        (["test", "github", "--payload", PUSH, "--send", "http://x"], "--send needs --secret-file"),
        (["list", "--manifests", "/nowhere"], "is no folder"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_other_captured_payloads_can_be_tried() -> None:
    for file in (PAYLOADS / f"{name}.json" for name in ("slack-approve", "alertmanager-firing", "jenkins-stage")):
        name = max((each for each in PROVIDERS if file.stem.startswith(f"{each}-")), key=len)
        assert answered("test", name, "--payload", str(file))["provider"] == name


async def test_it_is_sent_as_the_tool_would(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "wrong").write_text("wrong\n")
    async with webhook_bench() as bench, serving(bench.app) as client:
        await bench.register()
        send = ["test", "github", "--payload", PUSH, "--send", str(client.base_url), "--secret-file"]
        sent = await asyncio.to_thread(run, *send, str(tmp_path / "secret"))
        refused = await asyncio.to_thread(run, *send, str(tmp_path / "wrong"))
        assert len(bench.releases.started) == 1
    assert sent.exit_code == 0, sent.output
    assert "accepted" in sent.stdout
    assert "/api/dashboard/deployments/" in sent.stdout
    assert refused.exit_code == 1
    assert refused.output.count("does not fit the body and the configured secret") == 1
    assert "does not fit the body and the configured secret" in refused.stderr
    unreachable = run(*send, str(tmp_path / "secret"))
    assert unreachable.exit_code == 2
    assert "did not answer" in unreachable.stderr


def test_a_services_file_says_what_triggers_it(tmp_path: Path) -> None:
    service = tmp_path / "shop.yml"
    service.write_text(
        "git_repo: https://github.com/acme/shop.git\ngit_ref: main\ntriggers: {workflows: [Build]}\n"
        "environments: [{name: production, external: true}]\n"
    )
    push = answered("test", "github", "--payload", PUSH, "--service", str(service))
    assert (push["actions"], push["passed_over"][0]["service"]) == ([], "shop")
    assert push["facts"][0]["branch"] == "main"
    workflow = ["test", "github", "--payload", str(PAYLOADS / "github-workflow-run.json"), "--service", str(service)]
    (action,) = answered(*workflow)["actions"]
    assert action["why"] == "shop: workflow 'Build' succeeded for 9f1c2a7b3d4e."
    shown = run(*workflow).stdout
    for words in ("Facts, as the payload tells them:", "conclusion: success", "why: shop: workflow 'Build' succeeded"):
        assert words in shown
    told = run("test", "github", "--payload", PUSH, "--service", str(service)).stdout
    assert "Not started: shop: a push starts nothing of it: it waits for Build" in told
    service.write_text("git_repo: nonsense\n")
    wrong = run("test", "github", "--payload", PUSH, "--service", str(service))
    assert (wrong.exit_code, "git_repo" in wrong.stderr) == (2, True)


async def test_what_came_is_listed_shown_and_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with webhook_bench() as bench, serving(bench.app) as client:
        await bench.register()
        monkeypatch.setenv("HYBRIDCI_URL", str(client.base_url))
        monkeypatch.setenv("HYBRIDCI_API_KEY", ADMIN_KEY)
        kept = (await bench.send("github-push")).json()["kept_as"]
        await bench.send("github-issues")
        listed = await asyncio.to_thread(run, "deliveries", "--outcome", "accepted", "--json")
        shown = await asyncio.to_thread(run, "show", kept[:8])
        table = await asyncio.to_thread(run, "deliveries")
        again = await asyncio.to_thread(run, "replay", kept)
        refused = await asyncio.to_thread(run, "replay", kept, "--start-again", "--reason", "why not")
        nobody = await asyncio.to_thread(run, "show", "ffffffff")
        assert len(bench.releases.started) == 1
    assert [each["delivery_id"] for each in json.loads(listed.stdout)["items"]] == [kept]
    assert kept[:8] in table.stdout
    for words in ("github.com/acme/shop", "now pending", "Received    1 time,", '"full_name": "acme/shop"'):
        assert words in shown.stdout
    assert "was started by this event before; it is pending" in again.stdout
    assert (refused.exit_code, "there is nothing to start again" in refused.stdout) == (1, True)
    assert (nobody.exit_code, "No delivery among the newest 500 begins" in nobody.stderr) == (1, True)
