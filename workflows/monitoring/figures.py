"""What every process counts of itself, beside what its own module adds: version, memory, processor, open files.

Deliberately not here: the API's figures (``api.http.metrics``), which need a credential and tell of the whole.
"""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest

from workflows.version import product_version


class ProcessFigures:
    """One registry per process. Gauges are read when somebody asks, on the listener's thread."""

    def __init__(self, process: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = Gauge(
            "hybridci_build_info", "1, with the version that runs.", ("process", "version"), registry=self.registry
        )
        build.labels(process, product_version()).set(1)

    def read(self, name: str, words: str, value: Callable[[], float]) -> None:
        """A gauge whose value is asked for."""
        Gauge(name, words, registry=self.registry).set_function(value)

    def read_each(self, name: str, words: str, label: str, values: Mapping[str, Callable[[], float]]) -> None:
        """A gauge with one label of few, known values."""
        gauge = Gauge(name, words, (label,), registry=self.registry)
        for each, value in values.items():
            gauge.labels(each).set_function(value)

    def text(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self.registry)
