"""Middleware of every chain: timing per link, one structured log line per run, and the failing link's name.

The object keeps no per-run state (one serves all chains at once); that is in ``chains.Run``. Cost: microseconds.
Deliberately not here: metrics for scraping, and what an error means to whoever called.
"""

import logging
import time
from typing import Any

from codeuchain import Middleware

from activities.chaining.chains import Run, current_run
from workflows.contracts.errors import HybridCIError

logger = logging.getLogger(__name__)

_LINK_ATTRIBUTE = "failing_link"


class ObserveChain(Middleware):
    """At DEBUG a line per link; one line per run: at the chain's own level, or above it when a link raised."""

    async def before(self, link: object | None, ctx: object) -> None:
        """Start a clock: the run's (``link`` None) or the link's."""
        run = current_run()
        now = time.perf_counter()
        if link is None:
            run.started = now
        else:
            run.link, run.link_started = type(link).__name__, now

    async def after(self, link: object | None, ctx: object) -> None:
        """Stop the clock."""
        run = current_run()
        if link is None:
            if logger.isEnabledFor(run.level):
                logger.log(run.level, "chain %s finished", run.chain, extra=_facts(run))
            return
        name = type(link).__name__
        spent = _milliseconds(run.link_started)
        run.timings[name] = spent
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("link %s finished", name, extra={**_identity(run), "link": name, "milliseconds": spent})

    async def on_error(self, link: object | None, error: Exception, ctx: object) -> None:
        """Name the link. CodeUChain passes None for ``link`` here; the run knows which one was called last."""
        run = current_run()
        if run.link is None or failing_link(error) is not None:
            return
        setattr(error, _LINK_ATTRIBUTE, run.link)
        error.add_note(f"raised in link {run.link} of chain {run.chain} after {_milliseconds(run.started)} ms")
        known = isinstance(error, HybridCIError)
        level = logging.WARNING if not known or error.retryable else logging.INFO
        extra = {**_facts(run), "link": run.link, "code": str(error.code) if known else type(error).__name__}
        logger.log(level, "chain %s stopped in link %s: %s", run.chain, run.link, error, extra=extra)


def failing_link(error: BaseException) -> str | None:
    """The name of the link that raised this error, or None when it came from no chain."""
    name: Any = getattr(error, _LINK_ATTRIBUTE, None)
    return name if isinstance(name, str) else None


def _facts(run: Run) -> dict[str, object]:
    return {**_identity(run), "milliseconds": _milliseconds(run.started), "links": run.timings}


def _identity(run: Run) -> dict[str, object]:
    return {"chain": run.chain, **run.about}


def _milliseconds(since: float) -> float:
    return round((time.perf_counter() - since) * 1000, 3)
