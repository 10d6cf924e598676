"""Chains of metrics. Reports are many and mostly change nothing, so they are logged at DEBUG."""

from collections.abc import Sequence
from logging import DEBUG

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.clock import Clock, epoch_millis
from activities.metrics.links import JudgeAllRows, JudgeRows, KeepSamples, PlaceSamples
from activities.stores.interfaces.metrics import MetricStore


def build_record_metrics_chain(
    store: MetricStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``report`` in, ``verdict`` out. A report that is refused stops the chain before anything is kept."""
    links = [PlaceSamples(store, clock=clock), KeepSamples(store, clock=clock), JudgeRows(store, clock=clock)]
    return build_chain("RecordMetrics", links, middleware, level=DEBUG)


def build_judge_metrics_chain(store: MetricStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``question`` in, ``facts`` out."""
    return build_chain("JudgeMetrics", [JudgeAllRows(store)], middleware, level=DEBUG)
