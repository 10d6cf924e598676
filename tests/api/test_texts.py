"""Texts that are not what they look like, sent to the routes that take names, labels, tags, authors and reasons."""

from typing import Any

import pytest

from tests.api.conftest import DEPLOYMENT, SERVICE, SPEC, Bench

JOBS, SERVICES, DEPLOYMENTS = "/api/dashboard/jobs", "/api/dashboard/services", "/api/dashboard/deployments"


@pytest.mark.parametrize(
    "text", ["a\u202eb", "a\u200bb", "a\x9bb", "a\u2028b", " ", "a\ufeff", "a\x1b[2J", "\0", "\u3164", "a\uffa0"]
)
@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("job_type", "job_type"),
        ("git_author", "git_author"),
        ("labels", "labels.team"),
        ("label key", "labels."),
        ("tags", "tags.0"),
        ("metadata", "metadata.a.b.0"),
        ("metadata key", "metadata.a"),
        ("git_commit_message", "git_commit_message"),
        ("step", "steps.0.name"),
    ],
)
async def test_a_job_is_refused_with_the_field_that_misleads(bench: Bench, field: str, named: str, text: str) -> None:
    changes: dict[str, Any] = {
        "labels": {"labels": {"team": text}},
        "label key": {"labels": {text: "a"}},
        "tags": {"tags": [text]},
        "metadata": {"metadata": {"a": {"b": [text]}}},
        "metadata key": {"metadata": {"a": {text: 1}}},
        "step": {"steps": [{"name": text, "run": "true"}]},
    }.get(field, {field: text})
    for path, body in (
        (JOBS, {**SPEC, **changes}),
        ("/api/queue/jobs", {**SPEC, **changes}),
        ("/api/queue/jobs/batch", {"items": [SPEC, {**SPEC, **changes}]}),
    ):
        answer = await bench.admin.post(path, json=body)
        assert answer.status_code == 422, (path, answer.text)
        (error,) = answer.json()["errors"]
        assert error["field"].removeprefix("items.1.").startswith(named), error
        assert "must not" in error["message"]


@pytest.mark.parametrize("blank", ["\u3164", "\u2800", "\ufe0f", "\u034f", "\u17b5", "\U0001bca0", "\uffa0"])
async def test_a_hold_has_a_reason_that_is_seen(bench: Bench, blank: str) -> None:
    await bench.register()
    answer = await bench.admin.post(f"{SERVICES}/checkout/environments/production/hold", json={"reason": blank})
    assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, ["reason"])


async def test_several_lines_and_joined_emoji_are_kept_where_people_write_sentences(bench: Bench) -> None:
    message = "Fix it\n\n\t- one \N{WOMAN}\u200d\N{PERSONAL COMPUTER}\r\n- two"
    job_id = await bench.submit(git_commit_message=message, metadata={"notes": message})
    job = (await bench.admin.get(f"{JOBS}/{job_id}")).json()
    assert (job["git_commit_message"], job["metadata"]) == (message, {"notes": message})


async def test_reasons_comments_and_names_are_held_to_it_by_every_command(bench: Bench) -> None:
    bad = "because\u202e"
    job_id = await bench.submit()
    await bench.register()
    deployment_id = await bench.deploy()
    deployment, environment = f"{DEPLOYMENTS}/{deployment_id}", f"{SERVICES}/checkout/environments/production"
    for method, path, body, field in (
        ("POST", f"{JOBS}/{job_id}/cancel", {"reason": bad}, "reason"),
        ("PATCH", f"{JOBS}/{job_id}", {"tags": [bad]}, "tags.0"),
        ("POST", f"{JOBS}/{job_id}/repair", {"reason": " "}, "reason"),
        ("POST", f"{deployment}/approve", {"comment": bad}, "comment"),
        ("POST", f"{deployment}/approve", {"by": f"ann{bad}"}, "by"),
        ("POST", f"{deployment}/reject", {"reason": bad}, "reason"),
        ("POST", f"{deployment}/rollback", {"reason": bad}, "reason"),
        ("POST", f"{environment}/hold", {"reason": bad}, "reason"),
        ("POST", DEPLOYMENTS, {**DEPLOYMENT, "git_author": bad}, "git_author"),
        ("POST", DEPLOYMENTS, {**DEPLOYMENT, "metadata": {"a": bad}}, "metadata.a"),
        ("PUT", f"{SERVICES}/other", {**SERVICE, "labels": {"a": bad}}, "labels.a"),
        ("PUT", f"{SERVICES}/other", {**SERVICE, "description": bad}, "description"),
        ("POST", "/api/access/keys", {"name": bad, "grants": [{"role": "viewer"}]}, "name"),
    ):
        answer = await bench.admin.request(method, path, json=body)
        assert answer.status_code == 422, (path, answer.status_code, answer.text)
        assert [error["field"] for error in answer.json()["errors"]] == [field], path
