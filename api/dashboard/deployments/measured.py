"""What was measured of a version, as charts with the limits that it is held to, and the same in a table.

Deliberately not here: judging it (``workflows.deployment.rules.verification``), drawing (``drawings.lines``).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from api.dashboard.drawings.lines import HeldTo, MeasuredLine, MeasuredPoint, lines
from api.dashboard.inside import Inside
from api.wording import counted
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.metrics import MetricLimit, MetricRow, MetricsPage, MetricVerdict, Sample
from workflows.deployment.rules.verification import limits_in, over_limit

MOST_METRICS: Final = 6
_SAMPLES: Final = 100
_IN_TABLE: Final = 12


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric. ``limits`` in words; ``rows``: each source as last judged; ``samples``: the newest, newest first."""

    metric: str
    chart: Markup | None
    limits: str
    rows: Sequence[MetricRow]
    samples: Sequence[tuple[Sample, bool]]
    count: int

    @property
    def breached(self) -> bool:
        """Whether a source breaches a limit."""
        return any(row.verdict is MetricVerdict.BREACHED for row in self.rows)


async def measured_of(api: Inside, deployment: Deployment, environment: str | None) -> list[Measured]:
    """Of the environment where it stands, first what is limited. Raises RefusedByApi."""
    if environment is None:
        return []
    limits = {limit.metric: limit for limit in limits_in(deployment, environment)}
    rows = [row for row in deployment.metric_rows if row.environment == environment]
    stage = deployment.stage(environment)
    began = stage is not None and stage.started_at is not None
    names = list(dict.fromkeys([*limits, *(row.metric for row in rows)])) if began else []
    path = f"/api/dashboard/deployments/{deployment.deployment_id}/metrics"
    pages = await asyncio.gather(
        *(
            api.get(path, MetricsPage, {"metric": name, "environment": environment, "limit": _SAMPLES})
            for name in names[:MOST_METRICS]
        )
    )
    return [
        _measured(name, limits.get(name), [row for row in rows if row.metric == name], page.items, number)
        for number, (name, page) in enumerate(zip(names, pages, strict=False))
    ]


def limit_words(limit: MetricLimit | None) -> str:
    """``at most 0.02, 3 in a row``."""
    if limit is None:
        return "no limit"
    said = [f"at most {limit.max:g}"] if limit.max is not None else []
    said += [f"at least {limit.min:g}"] if limit.min is not None else []
    said += [f"at most {limit.max_ratio:g} times what it was before"] if limit.max_ratio is not None else []
    said += [f"at least {limit.min_ratio:g} times what it was before"] if limit.min_ratio is not None else []
    if limit.failures is not None:
        said.append(f"more than {limit.failures} of the last hundred beyond it are a breach")
    elif limit.consecutive > 1:
        said.append(f"{limit.consecutive} in a row beyond it are a breach")
    return ", ".join(said)


def _measured(
    metric: str, limit: MetricLimit | None, rows: Sequence[MetricRow], samples: Sequence[Sample], number: int
) -> Measured:
    held = None if limit is None else limit.model_copy(update={"max_ratio": None, "min_ratio": None})
    judged = [(each, held is not None and over_limit(held, each.value) is not None) for each in samples]
    words = limit_words(limit)
    return Measured(
        metric=metric,
        chart=_chart(f"metric-{number}", metric, held, judged, words) if samples else None,
        limits=words,
        rows=rows,
        samples=judged[:_IN_TABLE],
        count=len(samples),
    )


def _chart(
    name: str, metric: str, limit: MetricLimit | None, judged: Sequence[tuple[Sample, bool]], words: str
) -> Markup:
    sources = list(dict.fromkeys(each.source for each, _ in judged))
    shown = [
        MeasuredLine(
            source,
            [MeasuredPoint(each.at, each.value, beyond) for each, beyond in reversed(judged) if each.source == source],
        )
        for source in sources
    ]
    drawn = [] if limit is None or limit.max is None else [HeldTo(f"at most {limit.max:g}", limit.max)]
    drawn += [] if limit is None or limit.min is None else [HeldTo(f"at least {limit.min:g}", limit.min)]
    beyond = sum(over for _, over in judged)
    whence = "one source" if len(sources) == 1 else f"{len(sources)} sources"
    told = f"{counted(len(judged), 'sample')} of {whence}, {words}; {beyond} beyond it."
    return lines(name, metric, told, shown, drawn)
