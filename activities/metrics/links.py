"""Links of metrics: a report is placed in time, kept, and its rows are judged. What they hand on comes first."""

from collections.abc import Sequence
from typing import Final, TypedDict, cast

from codeuchain import Context

from activities.bounded import gather_bounded
from activities.chaining.links import StoreLink, require
from activities.stores.interfaces.metrics import MetricStore
from workflows.contracts.deployments.metrics import (
    AHEAD_MS,
    BEHIND_MS,
    MAX_ROWS,
    PULLED,
    SECONDS_BELOW,
    MetricLimit,
    MetricRow,
    MetricsFacts,
    MetricsQuestion,
    MetricsReport,
    MetricsVerdict,
    Sample,
)
from workflows.contracts.errors import FieldError, ValidationFailed
from workflows.deployment.rules.verification import BASELINE_SAMPLES, is_news, judged_row, looked_at, with_baseline

_AT_ONCE: Final = 4


class MetricsContext(TypedDict, total=False):
    """What the chains of metrics hand on."""

    report: MetricsReport
    question: MetricsQuestion
    samples: list[Sample]
    verdict: MetricsVerdict
    facts: MetricsFacts


class PlaceSamples(StoreLink[MetricStore]):
    """``report`` → ``samples``. Raises ValidationFailed for a time that no sample of this version can have and for
    more rows than a deployment may have; Unavailable.
    """

    async def call(self, ctx: Context[MetricsContext]) -> Context[MetricsContext]:
        """Before anything is kept."""
        report = require(ctx, "report", MetricsReport)
        wrong = _wrong_time(report, self._clock())
        if wrong is not None:
            raise ValidationFailed(f"The sample was not taken: at {wrong}.", [FieldError(field="at", message=wrong)])
        samples = [
            Sample(
                environment=report.environment,
                metric=metric,
                source=report.source,
                at=report.at,
                value=value,
                by=report.by,
            )
            for metric, value in report.values.items()
        ]
        known = {row for row in await self._store.rows(report.deployment_id) if _counts(row, report.environment)}
        new = {(sample.environment, sample.metric, sample.source) for sample in samples}
        rows = known | {row for row in new if _counts(row, report.environment)}
        if len(rows) > max(MAX_ROWS, len(known)):
            why = (
                f"this deployment would have {len(rows)} metrics by source in one environment, and may have "
                f"{MAX_ROWS}: report fewer, or under fewer sources"
            )
            raise ValidationFailed(f"The sample was not taken: {why}.", [FieldError(field="source", message=why)])
        return ctx.insert("samples", samples)


class KeepSamples(StoreLink[MetricStore]):
    """``report``, ``samples`` → kept. Raises Unavailable."""

    async def call(self, ctx: Context[MetricsContext]) -> Context[MetricsContext]:
        """The same again takes the place of itself."""
        samples = require(ctx, "samples", cast("type[list[Sample]]", list))
        await self._store.keep(require(ctx, "report", MetricsReport).deployment_id, samples)
        return ctx


class JudgeRows(StoreLink[MetricStore]):
    """``report``, ``samples`` → ``verdict``: the touched rows of which the deployment must hear. Raises Unavailable."""

    async def call(self, ctx: Context[MetricsContext]) -> Context[MetricsContext]:
        """By what is stored: two reports at one moment both see what the later one has written."""
        report = require(ctx, "report", MetricsReport)
        samples = require(ctx, "samples", cast("type[list[Sample]]", list))
        limits = {limit.metric: limit for limit in report.limits} if report.judged else {}
        news: list[MetricRow] = []

        async def judge(sample: Sample) -> None:
            limit = limits[sample.metric]
            row = (sample.environment, sample.metric, sample.source)
            newest = await self._store.newest(report.deployment_id, row, report.since, looked_at(limit))
            if not newest:
                return
            known = await effective(self._store, limit, row, report.before)
            judged = judged_row(known, newest)
            if is_news(judged, newest, known, report.known):
                news.append(judged)

        limited = [sample for sample in samples if sample.metric in limits]
        for failure in await gather_bounded(judge, limited, at_once=_AT_ONCE):
            if failure is not None:
                raise failure
        return ctx.insert(
            "verdict", MetricsVerdict(environment=report.environment, rows=sorted(news, key=lambda row: row.key))
        )


class JudgeAllRows(StoreLink[MetricStore]):
    """``question`` → ``facts``: each row of a limited metric. Raises Unavailable."""

    async def call(self, ctx: Context[MetricsContext]) -> Context[MetricsContext]:
        """As they stand now."""
        question = require(ctx, "question", MetricsQuestion)
        limits = {limit.metric: limit for limit in question.limits}
        rows = [
            row
            for row in await self._store.rows(question.deployment_id)
            if row[0] == question.environment and row[1] in limits
        ]
        found: list[MetricRow] = []

        async def judge(row: tuple[str, str, str]) -> None:
            limit = limits[row[1]]
            newest = await self._store.newest(question.deployment_id, row, question.since, looked_at(limit))
            if newest:
                found.append(judged_row(await effective(self._store, limit, row, question.before), newest))

        for failure in await gather_bounded(judge, rows, at_once=_AT_ONCE):
            if failure is not None:
                raise failure
        return ctx.insert("facts", MetricsFacts(rows=sorted(found, key=lambda row: row.key)))


def _counts(row: tuple[str, str, str], environment: str) -> bool:
    """What agents read is as much as the service asks for, and has its place whatever others report."""
    return row[0] == environment and not row[2].startswith(PULLED)


async def effective(
    store: MetricStore, limit: MetricLimit, row: tuple[str, str, str], before: str | None
) -> MetricLimit | None:
    """The limit in absolute numbers; None when it refers to a version of which nothing is known. Raises Unavailable."""
    if not limit.relative:
        return limit
    samples: Sequence[Sample] = [] if before is None else await store.newest(before, row, 0, BASELINE_SAMPLES)
    return with_baseline(limit, samples)


def _wrong_time(report: MetricsReport, now: int) -> str | None:
    at = report.at
    if at < SECONDS_BELOW:
        hint = f": it looks like seconds, {at * 1000} would be the milliseconds" if at > 1_000_000_000 else ""
        return f"must be epoch milliseconds of the last 7 days{hint}"
    if at > now + AHEAD_MS:
        return f"lies {(at - now) // 1000} s in the future; at most {AHEAD_MS // 60_000} minutes are allowed for clocks"
    if at < now - BEHIND_MS:
        return f"lies {(now - at) // 86_400_000} days back; at most 7 are allowed"
    if at < report.begun_at - AHEAD_MS:
        return f"lies {(report.begun_at - at) // 1000} s before this deployment was asked for: it is no sample of it"
    return None
