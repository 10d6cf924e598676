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


def _page(query: ListQuery, rest: list[T], place: Callable[[T], tuple[int, str]]) -> tuple[list[T], str | None]:
    page = rest[: query.limit]
    if len(rest) <= query.limit:
        return page, None
    last = place(page[-1])
    return page, encode_cursor(query, Positions({0: last}, last[0]))
