"""Rows of metrics as stores name and page them: the same for every store. Deliberately not here: keeping them."""

import hashlib
from collections.abc import Iterable, Sequence

from activities.stores.cursors import Positions, decode_cursor, encode_cursor
from workflows.contracts.deployments.metrics import MetricsPage, MetricsQuery, Sample

Row = tuple[str, str, str]
"""Environment, metric, source."""


def row_of(sample: Sample) -> Row:
    """The row of a sample."""
    return (sample.environment, sample.metric, sample.source)


def row_name(row: Row) -> str:
    """As a part of a key. Neither an environment nor a metric has a '#' in its name."""
    return "#".join(row)


def row_named(name: str) -> Row:
    """The other way round."""
    environment, metric, source = name.split("#", 2)
    return (environment, metric, source)


def wanted(query: MetricsQuery, rows: Iterable[Row]) -> list[Row]:
    """Those of the rows that the query asks for."""
    asked = (query.environment, query.metric, query.source)
    return [row for row in rows if all(want is None or want == has for want, has in zip(asked, row, strict=True))]


def span(query: MetricsQuery, oldest: int) -> tuple[int, int]:
    """From when (ms) to when, inclusive, a page can have samples. Raises ValidationFailed for a cursor."""
    after = decode_cursor(query).shards.get(0)
    ends = [each for each in (query.until, after[0] if after is not None else None) if each is not None]
    return max(query.since or 0, oldest), min(ends, default=10**15 - 1)


def paged(query: MetricsQuery, samples: Iterable[Sample]) -> MetricsPage:
    """One page of these samples, of which there is at least one more than fits when there is another page."""
    after = decode_cursor(query).shards.get(0)
    ordered = sorted(samples, key=_place, reverse=True)
    rest = [sample for sample in ordered if after is None or _place(sample) < after]
    page = rest[: query.limit]
    return MetricsPage(items=page, next_cursor=_cursor(query, page) if len(rest) > query.limit else None)


def _cursor(query: MetricsQuery, page: Sequence[Sample]) -> str:
    last = _place(page[-1])
    return encode_cursor(query, Positions({0: last}, last[0]))


def _place(sample: Sample) -> tuple[int, str]:
    return sample.at, hashlib.sha256(row_name(row_of(sample)).encode()).hexdigest()[:32]
