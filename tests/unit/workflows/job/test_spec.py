"""What a job may not say: rules of its specification that keep secrets out of records, workflows and logs."""

import pytest
from pydantic import ValidationError

from workflows.contracts.jobs import JobSpec


def spec(git_repo: str) -> JobSpec:
    return JobSpec(job_type="test", git_repo=git_repo, git_commit_sha="a" * 40, git_author="ann")


@pytest.mark.parametrize(
    "url",
    [
        "https://ann:word@example.com/shop.git",
        "ssh://ann:word@example.com/shop.git",
        "https://ghp_0123456789abcdef@github.com/acme/shop.git",
        "https://github_pat_0123@github.com/acme/shop.git",
        "https://glpat-0123456789@gitlab.com/acme/shop.git",
    ],
)
def test_a_repository_carries_no_password_or_token(url: str) -> None:
    with pytest.raises(ValidationError, match="must not carry a password or token") as refused:
        spec(url)
    assert "0123" not in str(refused.value.errors(include_input=False))


@pytest.mark.parametrize(
    "url",
    ["https://ann@bitbucket.org/acme/shop.git", "ssh://git@example.com:2222/shop.git", "git@github.com:acme/shop.git"],
)
def test_a_user_name_is_no_secret(url: str) -> None:
    assert spec(url).git_repo == url
