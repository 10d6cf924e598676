"""Building and running chains, so that CodeUChain's silent cases become loud ones.

``Chain.add_link`` overwrites a link of the same name in silence: ``build_chain`` refuses it. ``connect`` is stored and
never read: nothing here uses it. Middleware gets neither the chain's name nor, on an error, the link: ``run_chain``
keeps one ``Run`` per run where the middleware finds both.
"""

import logging
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

from codeuchain import Chain, Context, Middleware

from activities.links.base import ChainMiswiredError, JobLink, require
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobWrite

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NamedChain:
    """A chain with what CodeUChain does not keep: its name, its links' names in order, and how loudly it logs."""

    name: str
    links: tuple[str, ...]
    chain: Chain[Any, Any]
    level: int


@dataclass(slots=True)
class Run:
    """One run of one chain: the middleware's state lives here, because a middleware object serves many runs at once.

    Times are ``time.perf_counter`` seconds.
    """

    chain: str
    level: int
    job_id: str | None
    link: str | None = None
    started: float = 0.0
    link_started: float = 0.0
    timings: dict[str, float] = field(default_factory=dict[str, float])


CURRENT_RUN: Final[ContextVar[Run | None]] = ContextVar("current_run", default=None)


def build_chain(
    name: str, links: Sequence[JobLink], middleware: Sequence[Middleware] = (), *, level: int = logging.INFO
) -> NamedChain:
    """A chain of these links, each under its class's name. ``level`` is that of the line about a run that succeeded.

    Raises ValueError for two links of one class.
    """
    names = [type(link).__name__ for link in links]
    twice = sorted({link for link in names if names.count(link) > 1})
    if twice:
        raise ValueError(f"chain {name} has {', '.join(twice)} twice; CodeUChain would keep only the last one")
    chain: Chain[Any, Any] = Chain()
    for link_name, link in zip(names, links, strict=True):
        chain.add_link(link, link_name)
    for each in middleware:
        chain.use_middleware(each)
    return NamedChain(name, tuple(names), chain, level)


async def run_chain(chain: NamedChain, data: Mapping[str, object], *, result: str, kind: type[T]) -> T:
    """Run the chain on this context and return its ``result``. Raises what a link raised."""
    token = CURRENT_RUN.set(Run(chain.name, chain.level, _job_id(data)))
    try:
        answer = await chain.chain.run(Context[Any](cast("dict[str, Any]", dict(data))))
    finally:
        CURRENT_RUN.reset(token)
    return require(answer, result, kind)


def current_run() -> Run:
    """The run that the caller belongs to. Raises ChainMiswiredError outside ``run_chain``."""
    run = CURRENT_RUN.get()
    if run is None:
        raise ChainMiswiredError("a chain with middleware was run without run_chain, which keeps the run's state")
    return run


def _job_id(data: Mapping[str, object]) -> str | None:
    write, request, job_id = data.get("write"), data.get("request"), data.get("job_id")
    if isinstance(write, JobWrite):
        return write.job.job_id
    if isinstance(request, Job):
        return request.job_id
    return job_id if isinstance(job_id, str) else None
