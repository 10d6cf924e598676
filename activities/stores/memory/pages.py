"""Pages of a list that is in memory, with the same cursors as DynamoDB's."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from activities.stores.cursors import ListQuery, Positions, decode_cursor, encode_cursor

T = TypeVar("T")


def newest_first(
    query: ListQuery, items: Iterable[T], place: Callable[[T], tuple[int, str]]
) -> tuple[list[T], str | None]:
    """One page and its next cursor. ``place`` is an item's time (ms) and id. Raises ValidationFailed."""
    after = decode_cursor(query).shards.get(0)
    ordered = sorted(items, key=place, reverse=True)
    return _page(query, [item for item in ordered if after is None or place(item) < after], place)


def by_name(query: ListQuery, items: Iterable[T], name: Callable[[T], str]) -> tuple[list[T], str | None]:
    """One page of a list by name, and its next cursor. Raises ValidationFailed."""
    after = decode_cursor(query).shards.get(0)
    ordered = sorted(items, key=name)
    return _page(query, [item for item in ordered if after is None or name(item) > after[1]], lambda x: (0, name(x)))


def oldest(
    items: Iterable[T], place: Callable[[T], tuple[int, str]], behind: str, until: int, limit: int
) -> list[tuple[str, T]]:
    """The first ``limit`` before ``until`` (ms) behind a place, oldest first, with their places."""
    placed = sorted(((f"{at:015d}#{name}", item) for item in items for at, name in [place(item)]), key=lambda x: x[0])
    return [(at, item) for at, item in placed if behind < at < f"{until:015d}"][:limit]


def _page(query: ListQuery, rest: list[T], place: Callable[[T], tuple[int, str]]) -> tuple[list[T], str | None]:
    page = rest[: query.limit]
    if len(rest) <= query.limit:
        return page, None
    last = place(page[-1])
    return page, encode_cursor(query, Positions({0: last}, last[0]))
