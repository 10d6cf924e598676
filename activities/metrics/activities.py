"""The control worker's activities for metrics. Names and types are the stubs' of ``workflows.contracts.activities``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from temporalio import activity

from activities.errors import speaks_temporal
from activities.metrics.registry import MetricRegistry
from workflows.contracts.deployments.metrics import MetricsFacts, MetricsQuestion, MetricsReport, MetricsVerdict


@dataclass(frozen=True, slots=True)
class MetricActivities:
    """The bodies. ``all`` is what a Worker registers."""

    registry: MetricRegistry

    def all(self) -> Sequence[Callable[..., Any]]:
        """Every activity, for ``Worker(activities=…)``."""
        return [self.keep_metrics, self.judge_metrics]

    @activity.defn(name="keep_metrics")
    @speaks_temporal
    async def keep_metrics(self, report: MetricsReport) -> MetricsVerdict | None:
        """Keep values that were reported by a signal; None when the deployment must hear of nothing."""
        found = await self.registry.keep(report)
        return found if found.rows else None

    @activity.defn(name="judge_metrics")
    @speaks_temporal
    async def judge_metrics(self, question: MetricsQuestion) -> MetricsFacts:
        """How each row of a deployment's limited metrics stands."""
        return await self.registry.judge(question)
