"""Addresses at forges: made of nothing that leads elsewhere."""

import pytest

from api.dashboard.deployments.forges import commit_page, comparison

OLD, NEW = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("repo", "behind"),
    [
        ("https://github.com/acme/shop.git", f"/compare/{OLD}...{NEW}"),
        ("https://github.com/acme/shop", f"/compare/{OLD}...{NEW}"),
        ("https://gitlab.com/acme/team/shop.git", f"/-/compare/{OLD}...{NEW}"),
        ("https://gitlab.example.com/acme/shop.git", f"/-/compare/{OLD}...{NEW}"),
        ("https://gitea.example.com/acme/shop/", f"/compare/{OLD}...{NEW}"),
        ("https://codeberg.org/acme/shop", f"/compare/{OLD}...{NEW}"),
        ("https://bitbucket.org/acme/shop.git", f"/branches/compare/{NEW}..{OLD}"),
    ],
)
def test_forges_that_are_known(repo: str, behind: str) -> None:
    assert comparison(repo, OLD, NEW) == f"{repo.rstrip('/').removesuffix('.git')}{behind}"


@pytest.mark.parametrize(
    "repo",
    [
        "http://github.com/acme/shop",
        "git@github.com:acme/shop.git",
        "ssh://git@github.com/acme/shop.git",
        "https://ann:secret@github.com/acme/shop",
        "https://github.com:8443/acme/shop",
        "https://github.com:x/acme/shop",
        "https://github.com/acme/shop?x=1",
        "https://github.com/acme/shop#x",
        "https://github.com/acme",
        "https://github.com/../shop/x",
        "https://github.com/acme/sh op",
        "https://github.com/acme/%2e%2e/shop",
        'https://github.com/acme/shop"onclick=x',
        "https://github.com\\@evil.example/acme/shop",
        "https://[::1/acme/shop",
        "https://example.com/acme/shop.git",
        "https://notgithub.example/acme/shop",
        "javascript:alert(1)//github.com/acme/shop",
        "file:///github/acme/shop",
        "",
    ],
)
def test_others_have_no_address(repo: str) -> None:
    assert comparison(repo, OLD, NEW) is None
    assert commit_page(repo, NEW) is None


def test_only_two_commits_are_compared() -> None:
    repo = "https://github.com/acme/shop"
    assert comparison(repo, None, NEW) is None
    assert comparison(repo, NEW, NEW) is None
    assert comparison(repo, "main", NEW) is None
    assert comparison(repo, OLD, f"{NEW}/../..") is None
    assert commit_page(repo, NEW) == f"{repo}/commit/{NEW}"
    assert commit_page("https://gitlab.com/acme/shop", NEW) == f"https://gitlab.com/acme/shop/-/commit/{NEW}"
    assert commit_page(repo, "HEAD") is None
