"""What metrics say about a version: each row (one metric from one source) by itself. Pure.

Deliberately not here: what follows from it (``signals``, ``phases.bake``), keeping samples (``activities.metrics``).
"""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

from workflows.contracts.deployments.commands import ReportMetrics
from workflows.contracts.deployments.deployment import MAX_METRIC_SAMPLES, Deployment, MetricSample, Stage, StageStatus
from workflows.contracts.deployments.metrics import MetricLimit, MetricRow, MetricsReport, MetricVerdict, Sample
from workflows.contracts.deployments.rules import Verification

INCONCLUSIVE_EXIT_CODE: Final = 75
"""EX_TEMPFAIL of sysexits.h: the verification command could not tell."""
MOST_SAMPLES: Final = 100
BASELINE_SAMPLES: Final = 20
"""Of the version before: the median of so many."""
_STARTED: Final = frozenset({StageStatus.VERIFYING, StageStatus.PAUSED, StageStatus.DEPLOYED})
_WORDS: Final = {
    "error_rate": ("error rate {:g} is above {:g}", "error rate {:g} is below {:g}"),
    "latency_ms": ("latency {:g} ms is above {:g} ms", "latency {:g} ms is below {:g} ms"),
    "requests_per_sec": ("{:g} requests a second are above {:g}", "{:g} requests a second are below {:g}"),
}


# --- rows -------------------------------------------------------------------------------------------------------------


def limits_of(verification: Verification | None) -> list[MetricLimit]:
    """The limited metrics."""
    if verification is None:
        return []
    often = verification.consecutive_breaches
    own = (
        MetricLimit(metric="error_rate", max=verification.max_error_rate, consecutive=often),
        MetricLimit(metric="latency_ms", max=verification.max_latency_ms, consecutive=often),
        MetricLimit(metric="requests_per_sec", min=verification.min_requests_per_sec, consecutive=often),
    )
    named = [
        MetricLimit(
            metric=check.name,
            max=check.max,
            min=check.min,
            max_ratio=check.max_ratio,
            min_ratio=check.min_ratio,
            consecutive=check.consecutive_breaches or (often if check.failure_limit is None else MOST_SAMPLES + 1),
            failures=check.failure_limit,
        )
        for check in verification.metrics
    ]
    return [*(limit for limit in own if limit.max is not None or limit.min is not None), *named]


def limits_in(deployment: Deployment, environment: str) -> list[MetricLimit]:
    """Those of an environment, as the deployment's definition has it."""
    found = next((each for each in deployment.definition.environments if each.name == environment), None)
    return limits_of(None if found is None else found.verification)


def report_of(deployment: Deployment, report: ReportMetrics, now: int) -> MetricsReport:
    """A report with all that is needed to keep and judge it. ``now`` (ms) is its time when it names none."""
    environment = deployment.environment or ""
    stage = deployment.stage(environment)
    since = judged_since(deployment, stage)
    return MetricsReport(
        deployment_id=deployment.deployment_id,
        environment=environment,
        since=since or 0,
        limits=limits_in(deployment, environment),
        before=None if stage is None else stage.previous_deployment_id,
        values=report.values,
        source=report.row_source,
        at=now if report.at is None else report.at,
        by=report.by or "",
        begun_at=deployment.created_at,
        judged=since is not None,
        known=[row for row in deployment.metric_rows if row.at >= (since or 0)],
    )


def judged_since(deployment: Deployment, stage: Stage | None) -> int | None:
    """From when on (ms) samples are this version's; None: nothing of it runs there yet, or nobody knows since when."""
    if stage is None:
        return None
    since = stage.measured_from
    if since is None and stage.status in _STARTED:
        since = stage.started_at  # a record of before that was kept
    again = deployment.live_again
    return since if since is None or again is None else max(since, again.at)


def with_baseline(limit: MetricLimit, before: Sequence[Sample]) -> MetricLimit | None:
    """The limit in absolute numbers, by the samples of the version before; None when there are none to compare with."""
    if not limit.relative:
        return limit
    if not before:
        return None
    was = median(sample.value for sample in before)
    most = [limit.max, None if limit.max_ratio is None else was * limit.max_ratio]
    least = [limit.min, None if limit.min_ratio is None else was * limit.min_ratio]
    return limit.model_copy(
        update={
            "max": min((each for each in most if each is not None), default=None),
            "min": max((each for each in least if each is not None), default=None),
        }
    )


def judged_row(limit: MetricLimit | None, samples: Sequence[Sample]) -> MetricRow:
    """The verdict on a row, by its samples, the newest first and at least one. ``limit`` None: it cannot be applied."""
    newest = samples[0]
    row = MetricRow(
        environment=newest.environment,
        metric=newest.metric,
        source=newest.source,
        verdict=MetricVerdict.UNKNOWN,
        at=newest.at,
        value=newest.value,
        why=f"{newest.metric} is {newest.value:g}, and the version before has no samples of it to compare with",
    )
    if limit is None:
        return row
    over = [over_limit(limit, sample.value) for sample in samples]
    in_a_row = next((number for number, why in enumerate(over) if why is None), len(over))
    failed = [why for why in over if why is not None]
    if limit.failures is not None and len(failed) > limit.failures:
        why = f"{failed[0]}: {len(failed)} of the last {len(over)}, and {limit.failures} may be"
        return row.model_copy(update={"verdict": MetricVerdict.BREACHED, "why": why})
    if in_a_row == 0:
        return row.model_copy(update={"verdict": MetricVerdict.OK, "why": ""})
    verdict = MetricVerdict.BREACHED if in_a_row >= limit.consecutive else MetricVerdict.UNKNOWN
    return row.model_copy(update={"verdict": verdict, "breaches": in_a_row, "why": over[0] or ""})


def is_news(row: MetricRow, samples: Sequence[Sample], limit: MetricLimit | None, known: Iterable[MetricRow]) -> bool:
    """Whether the deployment must hear of it: a row that it does not know, a breach, or the end of one. A breach ends
    when as many samples in a row are well as count for one, so that what flickers is not told each time.
    """
    was = next((each.verdict for each in known if each.key == row.key), None)
    if was in (None, MetricVerdict.UNKNOWN) or row.verdict is MetricVerdict.BREACHED:
        return row.verdict is not MetricVerdict.UNKNOWN and was is not MetricVerdict.BREACHED
    if was is not MetricVerdict.BREACHED or limit is None:
        return False
    enough = samples[: limit.consecutive]
    return len(enough) == limit.consecutive and all(over_limit(limit, each.value) is None for each in enough)


def over_limit(limit: MetricLimit, value: float) -> str | None:
    """How the value exceeds the limit, in words; None when it does not."""
    above, below = _WORDS.get(
        limit.metric, (f"{limit.metric} {{:g}} is above {{:g}}", f"{limit.metric} {{:g}} is below {{:g}}")
    )
    if limit.max is not None and value > limit.max:
        return above.format(value, limit.max)
    if limit.min is not None and value < limit.min:
        return below.format(value, limit.min)
    return None


def looked_at(limit: MetricLimit) -> int:
    """How many of the newest samples of a row are needed to judge it."""
    return limit.consecutive if limit.failures is None else MOST_SAMPLES


def breached(rows: Iterable[MetricRow]) -> str | None:
    """All rows that are over their limits, in words."""
    return "; ".join(row.words for row in rows if row.verdict is MetricVerdict.BREACHED) or None


def inconclusive(
    limits: Sequence[MetricLimit], rows: Sequence[MetricRow], since: int, told: Sequence[MetricRow] = ()
) -> list[str]:
    """What cannot be told at the end of a bake that began at ``since`` (ms), in words. ``told``: the rows of the
    record, which say why a metric could not be read.
    """
    seen = {row.metric for row in rows if row.at >= since}
    silent = [limit.metric for limit in limits if limit.metric not in seen]
    said = [f"nobody reported {', '.join(silent)}"] if silent else []
    said += [row.why for row in told if row.value is None and row.metric in silent]
    often = {limit.metric: limit.consecutive for limit in limits}
    for row in rows:
        if row.verdict is MetricVerdict.UNKNOWN:
            enough = often[row.metric]
            count = f" ({row.breaches} in a row, {enough} count as a breach)" if 0 < enough <= MOST_SAMPLES else ""
            said.append(f"{row.why} by {row.source}{count}")
    return said


# --- samples that the workflow itself was sent, as they were judged before rows were --------------------------------


def judged(report: ReportMetrics, verification: Verification | None, now: int) -> MetricSample:
    """The sample with the limits that it exceeds, in words."""
    return MetricSample(
        at=report.at if report.at is not None and report.at <= now else now,
        error_rate=report.error_rate,
        latency_ms=report.latency_ms,
        requests_per_sec=report.requests_per_sec,
        by=report.by or "",
        breaches=_breaches(report, verification) if verification is not None else [],
    )


def added(samples: Sequence[MetricSample], sample: MetricSample) -> list[MetricSample]:
    """The samples with this one, the oldest left out."""
    return [*samples, sample][-MAX_METRIC_SAMPLES:]


def breach(samples: Sequence[MetricSample], verification: Verification, since: int) -> str | None:
    """The last breach in words, when enough samples in a row since then (ms) are over a limit."""
    recent = [sample for sample in samples if sample.at >= since][-verification.consecutive_breaches :]
    if len(recent) < verification.consecutive_breaches or not all(sample.breaches for sample in recent):
        return None
    return f"{'; '.join(recent[-1].breaches)} ({len(recent)} in a row)" if len(recent) > 1 else recent[-1].breaches[0]


def unseen(samples: Sequence[MetricSample], verification: Verification, since: int) -> list[str]:
    """The limited metrics of which no sample came since then (ms)."""
    recent = [sample for sample in samples if sample.at >= since]
    limits = {
        "error_rate": verification.max_error_rate,
        "latency_ms": verification.max_latency_ms,
        "requests_per_sec": verification.min_requests_per_sec,
    }
    return [
        name
        for name, limit in limits.items()
        if limit is not None and all(getattr(sample, name) is None for sample in recent)
    ]


def _breaches(report: ReportMetrics, verification: Verification) -> list[str]:
    values = report.values
    found = [over_limit(limit, values[limit.metric]) for limit in limits_of(verification) if limit.metric in values]
    return [why for why in found if why is not None]
