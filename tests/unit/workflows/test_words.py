"""What others wrote is text in the Temporal UI, which shows Markdown: a real parser reads what is shown."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from workflows.contracts.commands import JobInput
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.jobs import Job, JobSpec
from workflows.dashboard import memo_of
from workflows.deployment.presentation import (
    deployment_details,
)
from workflows.environment.presentation import environment_details
from workflows.job.presentation import attempt_summary, current_details, job_static_details, job_static_summary
from workflows.words import details, quoted, titled

HOSTILE = [
    "[Approve now](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "<a href='https://evil.example'>x</a><img src=x onerror=alert(1)>",
    "<https://evil.example>",
    "a\n# Approved\n\n- [x][1]\n\n[1]: https://evil.example",
    "`` ` ``` [a](https://evil.example)",
    "\\` [a](https://evil.example) \\",
    "`[a](https://evil.example)`",
    "a\n===\n***\n> b\n    c\n| a | b |\n|---|---|",
    "~~rejected~~ **live**",
    "\x1b[31m\u202e[a](https://evil.example)\u2028# b",
]
HARMLESS = {
    "paragraph",
    "inline",
    "text",
    "code_inline",
    "strong",
    "softbreak",
    "bullet_list",
    "ordered_list",
    "list_item",
}
DEFINITION = {
    "git_repo": "https://e.com/x",
    "environments": [{"name": "production", "steps": [{"name": "x", "run": "x"}]}],
}
GIT: dict[str, Any] = {"git_commit_sha": "a" * 40}


def kinds(text: str) -> set[str]:
    """The kinds of what a parser finds in it, but for those of plain sentences and lists."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

    def found(tokens: list[Token]) -> Iterator[str]:
        for token in tokens:
            yield re.sub("_(open|close)$", "", token.type)
            yield from found(token.children or [])

    return set(found(parser.parse(text))) - HARMLESS


def spec(text: str, **more: Any) -> JobSpec:
    steps = [{"name": text, "run": text}]
    return JobSpec.model_construct(
        job_type=text, git_repo=text, git_author=text, pool="default", steps=_steps(steps), **{**GIT, **more}
    )


def _steps(steps: list[dict[str, str]]) -> list[Any]:
    model = JobSpec.model_validate(
        {"job_type": "x", "git_repo": "https://e.com/x", "git_author": "a", "steps": [{"name": "x", "run": "x"}], **GIT}
    ).steps[0]
    return [model.model_copy(update=each) for each in steps]


def job(text: str, status: str, **more: Any) -> Job:
    known = {
        "job_id": "7d1f0e66-0000-4000-8000-000000000001", "status": status, "job_type": "x", "git_author": "a", **GIT,
        "git_repo": "https://e.com/x", "error_message": text, "agent_id": text, "created_at": 1, "queued_at": 1,
        "attempts": [
            {"number": 1, "queued_at": 1, "agent_id": text, "message": text, "outcome": "failed"}
        ],
    }  # fmt: skip
    return Job.model_validate({**known, **more})


def test_the_parser_of_this_test_sees_what_it_looks_for() -> None:
    assert {"link", "image", "html_inline"} <= kinds(" ".join(HOSTILE[:3]))
    assert "heading" in kinds(HOSTILE[4])


@pytest.mark.parametrize("text", HOSTILE)
def test_quoted_and_titled_texts_are_text(text: str) -> None:
    for shown in (
        f"**failed** — {quoted(text)} and",
        f"- by {quoted(text)}: {quoted(text)}",
        titled(text),
        titled(f"a {text}"),
    ):
        assert not kinds(shown) - {"heading", "hr"}, shown
        assert "\n" not in shown
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2028]", shown)
    assert not kinds(f"a {quoted(text)}")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_job_shows_foreign_text_as_text(text: str) -> None:
    start = JobInput.model_construct(job_id="one", spec=spec(text), retry_of=text)
    assert not kinds(job_static_details(start))
    for status, more in (
        ("failed", {}),
        ("dead_lettered", {}),
        ("queued", {"next_attempt_at": 5}),
        ("running", {}),
    ):
        shown = current_details(job(text, status, **more))
        assert not kinds(shown), shown
        assert "evil.example" in shown or "evil" not in text
    assert not kinds(f"x {job_static_summary(spec(text, priority='HIGH'))}")
    assert not kinds(f"x {attempt_summary(job('x', 'queued').model_copy(update={'steps': spec(text).steps}), 1)}")


@pytest.mark.parametrize("text", HOSTILE)
def test_deployments_and_environments_show_foreign_text_as_text(text: str) -> None:
    entry = {
        "environment": "production",
        "decision": "approve",
        "by": text,
        "at": 1,
        "comment": text,
        "marks": [text],
        **GIT,
    }
    deployment = Deployment.model_validate(
        {
            "deployment_id": "7d1f0e66-0000-4000-8000-000000000001", "service_name": "shop", "version": "1",
            "created_at": 1, **GIT, "git_author": "a", "git_repo": "https://e.com/x", "status": "production",
            "error_message": text,
            "stages": [{"environment": "production", "status": "failed", "error_message": text}], "approvals": [entry],
            "rollback": {
                "by": text, "reason": text, "status": "running", "target_version": text, "environment": "production",
                "requested_at": 1,
            },
            "service_version": 1, "updated_at": 1, "definition": DEFINITION,
        }
    )  # fmt: skip
    assert not kinds(deployment_details(deployment))
    assert not kinds(deployment_details(deployment.model_copy(update={"waits_for": text})))
    state = EnvironmentState.model_validate(
        {
            "service_name": "shop", "environment": "production", "hold": {"by": text, "reason": text, "at": 1},
            "frozen_until": 7, "frozen_by": text,
        }
    )  # fmt: skip
    assert not kinds(environment_details(state))


def test_paragraphs_and_lists_stand_apart() -> None:
    """ "What you can do:" hung on the last attempt: a line below a list item belongs to it."""
    shown = MarkdownIt("commonmark").parse(current_details(job("exit code 1", "dead_lettered")))
    top = [token.type.removesuffix("_open") for token in shown if token.level == 0 and token.nesting == 1]
    assert top == ["paragraph", "bullet_list", "paragraph", "bullet_list"]


def test_details_link_to_log_and_job_where_the_dashboard_is_known() -> None:
    start = JobInput.model_construct(job_id="one", spec=spec("x"), retry_of=None)
    assert "](" not in job_static_details(start)
    shown = job_static_details(start, "https://ci.example.com/ci")
    assert shown.startswith("[Log](https://ci.example.com/ci/jobs/one#log) · [Job in the dashboard](https://ci.exam")
    assert "](" not in job_static_details(start, "https://ci.example.com/) [x](javascript:alert(1)")
    assert memo_of("https://ci.example.com/") == {"dashboard": "https://ci.example.com"}


def test_nothing_is_longer_than_temporal_wants_it() -> None:
    """Its API names 400 bytes for a summary and 20,000 for details."""
    assert len(titled("\u4e16" * 5000).encode()) <= 300
    assert len(details("\u4e16" * 50_000).encode()) <= 16_000
    assert titled("short") == details("short") == "short"
    many = spec("\u4e16" * 256).model_copy(update={"steps": spec("\u4e16" * 256).steps * 20})
    assert len(job_static_details(JobInput.model_construct(job_id="one", spec=many, retry_of=None)).encode()) <= 16_000
