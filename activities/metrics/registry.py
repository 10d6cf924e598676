"""Metrics for whoever reports or asks: samples are kept and judged, and told to the audit trail once a minute.

Deliberately not here: telling a deployment of a verdict (the API by a signal, a workflow by itself).
"""

from collections.abc import Sequence
from typing import Final

from codeuchain import Middleware

from activities.chaining.chains import run_chain
from activities.clock import Clock, epoch_millis
from activities.metrics.chains import build_judge_metrics_chain, build_record_metrics_chain
from activities.stores.interfaces.events import EventStore
from activities.stores.interfaces.metrics import MetricStore
from workflows.contracts.audit.details import MetricRecorded
from workflows.contracts.audit.events import new_event
from workflows.contracts.deployments.commands import ReportMetrics
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.metrics import (
    Incident,
    MetricsFacts,
    MetricsPage,
    MetricsQuery,
    MetricsQuestion,
    MetricsReport,
    MetricsVerdict,
    MetricVerdict,
)
from workflows.deployment.rules.verification import over_limit, report_of
from workflows.newest import Newest

_TOLD_EVERY: Final = 60_000
_MOST_TOLD: Final = 5_000


class MetricRegistry:
    """One process's. Every method raises Unavailable when the store does not answer. ``events``: the trail, which is
    told the first sample of each minute of a deployment.
    """

    def __init__(
        self,
        store: MetricStore,
        middleware: Sequence[Middleware] = (),
        *,
        events: EventStore | None = None,
        clock: Clock = epoch_millis,
    ) -> None:
        self._store, self._events, self._clock = store, events, clock
        self._minutes: Newest[str, int] = Newest(_MOST_TOLD)
        self._record = build_record_metrics_chain(store, middleware, clock=clock)
        self._judge = build_judge_metrics_chain(store, middleware)
        self._told: Newest[tuple[str, str], tuple[MetricVerdict, int]] = Newest(_MOST_TOLD)

    async def report(self, deployment: Deployment, report: ReportMetrics) -> MetricsVerdict:
        """Keep a report and judge it; the rows of which the deployment must hear now. Raises ValidationFailed.

        What was told a moment ago is not told again before the deployment's record can know it.
        """
        asked = report_of(deployment, report, self._clock())
        found = await self.keep(asked)
        await self._tell_trail(deployment, report, asked)
        now = self._clock()
        fresh = [row for row in found.rows if not self._just_told(deployment.deployment_id, row.key, row.verdict, now)]
        return found.model_copy(update={"rows": fresh})

    def told(self, deployment_id: str, verdict: MetricsVerdict) -> None:
        """The deployment was told of these rows."""
        for row in verdict.rows:
            self._told[(deployment_id, "#".join(row.key))] = (row.verdict, self._clock())

    async def keep(self, report: MetricsReport) -> MetricsVerdict:
        """Keep and judge what is to be. Raises ValidationFailed."""
        return await run_chain(self._record, {"report": report}, result="verdict", kind=MetricsVerdict)

    async def judge(self, question: MetricsQuestion) -> MetricsFacts:
        """How each row of a deployment stands."""
        return await run_chain(self._judge, {"question": question}, result="facts", kind=MetricsFacts)

    async def page(self, query: MetricsQuery) -> MetricsPage:
        """One page of samples, newest first. Raises ValidationFailed."""
        return await self._store.list(query)

    async def claim(self, service_name: str, environment: str, incident: str, by: Incident) -> Incident | None:
        """None when the incident may act upon this deployment, else what it has acted upon."""
        return await self._store.claim(service_name, environment, incident, by)

    async def unclaim(self, service_name: str, environment: str, incident: str, deployment_id: str) -> None:
        """It has not acted after all."""
        await self._store.unclaim(service_name, environment, incident, deployment_id)

    async def _tell_trail(self, deployment: Deployment, report: ReportMetrics, asked: MetricsReport) -> None:
        """Kept once, whichever process tells it."""
        minute = asked.at // _TOLD_EVERY
        if self._events is None or self._minutes.get(deployment.deployment_id) == minute:
            return
        limits = {limit.metric: limit for limit in asked.limits if asked.judged}
        over = [over_limit(limits[name], value) for name, value in asked.values.items() if name in limits]
        breaches = [why for why in over if why is not None]
        said = MetricRecorded(
            sampled_at=asked.at,
            error_rate=report.error_rate,
            latency_ms=report.latency_ms,
            requests_per_sec=report.requests_per_sec,
            breaches=breaches,
        )
        event = new_event(
            said,
            report.who(),
            event_id=f"{deployment.deployment_id}-metrics-{minute}",
            at=self._clock(),
            message="; ".join(breaches)[:1000],
            service_name=deployment.service_name,
            deployment_id=deployment.deployment_id,
            version=deployment.version,
        )
        await self._events.append(event)
        self._minutes[deployment.deployment_id] = minute

    def _just_told(self, deployment_id: str, key: tuple[str, str, str], verdict: MetricVerdict, now: int) -> bool:
        known = self._told.get((deployment_id, "#".join(key)))
        return known is not None and known[0] is verdict and now - known[1] < _TOLD_EVERY
