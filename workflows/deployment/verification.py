"""What metrics say about a version. Pure. Deliberately not here: what follows from it (``workflow``)."""

from collections.abc import Sequence
from typing import Final

from workflows.contracts.deployments.commands import ReportMetrics
from workflows.contracts.deployments.deployment import MAX_METRIC_SAMPLES, MetricSample
from workflows.contracts.deployments.rules import Verification

INCONCLUSIVE_EXIT_CODE: Final = 75
"""EX_TEMPFAIL of sysexits.h: the verification command could not tell."""


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
    found: list[str] = []
    rate, latency, requests = report.error_rate, report.latency_ms, report.requests_per_sec
    if rate is not None and verification.max_error_rate is not None and rate > verification.max_error_rate:
        found.append(f"error rate {rate:g} is above {verification.max_error_rate:g}")
    if latency is not None and verification.max_latency_ms is not None and latency > verification.max_latency_ms:
        found.append(f"latency {latency:g} ms is above {verification.max_latency_ms:g} ms")
    least = verification.min_requests_per_sec
    if requests is not None and least is not None and requests < least:
        found.append(f"{requests:g} requests a second are below {least:g}")
    return found
