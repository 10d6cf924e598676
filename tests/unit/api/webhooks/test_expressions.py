"""What expressions can say, and that no payload surprises them."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.webhooks.expressions import BadExpression, ExpressionFailed, compile_expression
from api.webhooks.repositories import KnownService, matching
from workflows.contracts.identity.repositories import same_form

NAMES = frozenset({"p"})


def value(text: str, p: Any = None) -> Any:
    return compile_expression(text, NAMES).value({"p": p})


@pytest.mark.parametrize(
    ("text", "p", "expected"),
    [
        ("branch(p)", "refs/heads/feature/x", "feature/x"),
        ("branch(p)", "refs/tags/v1", None),
        ("tag(p)", "refs/tags/v1", "v1"),
        ("version(p)", "release/1.0 beta", "release-1.0-beta"),
        ("version(p)", "///", None),
        ("short(p)", "9f1c2a7b3d4e5f60", "9f1c2a7b3d4e"),
        ("is_commit(p)", "a" * 40, True),
        ("is_commit(p)", "main", False),
        ("email(p)", "Ann <ann@example.com>", "ann@example.com"),
        ("email(p)", "ann", "ann"),
        ("first_line(p)", "one\ntwo", "one"),
        ("first_line(p)", "", ""),
        ("lower(p)", "ABC", "abc"),
        ("slug(p)", "  Check Out! ", "check-out"),
        ("words(p)[1:]", "a  b c", ["b", "c"]),
        ("split(p, ',')", "a,b", ["a", "b"]),
        ("replace(p, 'a', 'b')", "aa", "bb"),
        ("glob(p, 'release/*')", "release/1", True),
        ("parse_json(p).a", '{"a": 1}', 1),
        ("parse_json(p)", "{", None),
        ("millis(p)", "2026-11-20T15:40:12Z", 1795189212000),
        ("millis(p)", 1795189212, 1795189212000),
        ("millis(p)", "1795189212000", 1795189212000),
        ("millis(p)", "1796040540853", 1796040540853),  # which Python takes for the ISO date 1796-04-05
        ("millis(p)", "1795189212", 1795189212000),
        ("millis(p)", "2026-11-20T15:40:12", 1795189212000),  # in UTC, whatever zone the API is in
        ("millis(p)", "0001-01-01T00:00:00Z", None),
        ("millis(p)", "soon", None),
        ("multiply(p, `0.01`)", 7, 0.07),
        ("lookup(p, 'a')", {"a": 1}, 1),
    ],
)
def test_functions(text: str, p: Any, expected: Any) -> None:
    assert value(text, p) == expected


@pytest.mark.parametrize(
    "name", ["branch", "tag", "version", "short", "email", "first_line", "lower", "slug", "millis"]
)
def test_nothing_of_nothing_is_nothing(name: str) -> None:
    assert value(f"{name}(p)") is None


@pytest.mark.parametrize(
    "text", ["p.[", "nothing(p)", "q.a", "length()", "not_null()", "!p.a", "p[?x(@)]", "'a' ||", "p." * 3000]
)
def test_an_expression_that_can_never_work_is_refused(text: str) -> None:
    with pytest.raises(BadExpression):
        compile_expression(text, NAMES)


def test_names_are_asked_for_at_the_root_only() -> None:
    for text in (
        "p.q",
        "p[?q == 'x'].r",
        "p[].{a: b}",
        "p | q",
        "map(&q, p)",
        "sort_by(p, &q)[0].r",
        "p.*.q",
        "[p][].q",
    ):
        compile_expression(text, NAMES)
    for text in ("q", "p || q", "{a: q}", "[q]", "length(q)", "!q", "p == q", "q[?p]", "q | p"):
        with pytest.raises(BadExpression):
            compile_expression(text, NAMES)


@pytest.mark.parametrize(
    "text", ["starts_with(p, 'a')", "sum(p)", "ceil(p)", "contains(p, `1`)", "join(',', p)", "max(p)"]
)
def test_a_payload_of_another_shape_is_a_failure_with_a_reason(text: str) -> None:
    with pytest.raises(ExpressionFailed):
        value(text, {"a": 1})


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(p=any_json)
def test_any_value_is_answered_or_fails_by_name(p: Any) -> None:
    for text in (
        "branch(p)",
        "version(p)",
        "email(p)",
        "millis(p)",
        "contains(p, `1`)",
        "ceil(p)",
        "sort(p)",
        "avg(p)",
    ):
        with suppress(ExpressionFailed):
            value(text, p)  # anything else it raised would be a 500


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/shop.git",
        "https://github.com/Acme/shop",
        "https://user@github.com/acme/shop/",
        "https://github.com:443/acme/shop.git",
        "git@github.com:acme/shop.git",
        "ssh://git@github.com/acme/shop.git",
        "ssh://git@GitHub.com:22/acme/shop",
        "git://github.com/acme/shop.git",
    ],
)
def test_all_addresses_of_a_repository_are_one(url: str) -> None:
    assert same_form(url) == "github.com/acme/shop"


def test_other_repositories_are_others() -> None:
    shop = KnownService("shop", same_form("https://github.com/acme/shop.git"))
    for url in ("https://github.com/acme/shop2", "https://github.com.evil.org/acme/shop", "https://x/github.com/acme/shop",
                "file:///github.com/acme/shop", "https://[", "", "https://github.com:8443/acme/shop"):  # fmt: skip
        assert matching([shop], [url], None) == []
    assert same_form("file:///srv/Shop.git") == "file:srv/Shop"
