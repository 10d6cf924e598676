"""The Temporal SDK's own figures (`temporal_…`: slots, polls, tasks, failures), read together with ours.

The SDK counts in Rust and shows what it counted on a port only. It gets one of this machine's loopback, which is asked
when ours is: one address is enough for whoever scrapes. Deliberately not here: our own figures.
"""

import http.client
import logging
import socket
from typing import Final

from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from workflows.monitoring.address import LOOPBACK

logger = logging.getLogger(__name__)
_TRIES: Final = 5
_SECONDS: Final = 5.0


class SdkMetrics:
    """Of this process. Made before the first client, once."""

    def __init__(self) -> None:
        """Raises RuntimeError when no port of this machine can be had."""
        for left in reversed(range(_TRIES)):
            self._port = _free_port()
            config = PrometheusConfig(
                bind_address=f"{LOOPBACK}:{self._port}", counters_total_suffix=True, durations_as_seconds=True
            )
            try:
                runtime = Runtime(telemetry=TelemetryConfig(metrics=config))
            except (RuntimeError, ValueError):  # somebody took the port in between
                if not left:
                    raise
                continue
            Runtime.set_default(runtime)
            return

    def text(self) -> bytes:
        """In Prometheus's text format; nothing when it cannot be read now."""
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=_SECONDS)  # by no proxy
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read()
        except (OSError, http.client.HTTPException) as error:
            logger.warning("the SDK's figures cannot be read", extra={"reason": str(error)})
            return b""
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
