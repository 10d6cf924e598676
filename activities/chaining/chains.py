"""Building and running chains, so that CodeUChain's silent cases become loud ones.

``Chain.add_link`` overwrites a link of the same name in silence: ``build_chain`` refuses it. ``connect`` is stored and
never read: nothing here uses it. Middleware gets neither the chain's name nor, on an error, the link: ``run_chain``
keeps one ``Run`` per run where the middleware finds both.
"""

import logging
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from codeuchain import Chain, Context, Middleware

from activities.chaining.links import ChainMiswiredError, Link, require
from activities.clock import Clock, epoch_millis
from workflows.contracts.agents import AgentRegistration
from workflows.contracts.deployments.deployment import DeploymentWrite
from workflows.contracts.deployments.environments import EnvironmentWrite
from workflows.contracts.deployments.services import ServiceWrite
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobWrite

T = TypeVar("T")
S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)

_IDS: Final = frozenset({"job_id", "deployment_id", "service_name", "environment", "agent_id"})


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

    ``about``: the ids of what it is about, for the log. Times are ``time.perf_counter`` seconds.
    """

    chain: str
    level: int
    about: Mapping[str, object]
    link: str | None = None
    started: float = 0.0
    link_started: float = 0.0
    timings: dict[str, float] = field(default_factory=dict[str, float])


CURRENT_RUN: Final[ContextVar[Run | None]] = ContextVar("current_run", default=None)


def build_chain(
    name: str, links: Sequence[Link], middleware: Sequence[Middleware] = (), *, level: int = logging.INFO
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


class MakeLink(Protocol[S_contra]):
    """The shape of the links over one store (``StoreLink``), as they are made."""

    __name__: str

    def __call__(self, store: S_contra, *, clock: Clock) -> Link:
        """The link."""
        ...


class BuildChain(Protocol[S_contra]):
    """The shape of the builders of chains over one store."""

    def __call__(
        self, store: S_contra, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
    ) -> NamedChain:
        """The chain."""
        ...


def chain_of(link: MakeLink[S], name: str | None = None, *, level: int = logging.INFO) -> BuildChain[S]:
    """The builder of a chain of this one link, under the link's name unless it is given another."""
    called = name or link.__name__

    def build(store: S, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis) -> NamedChain:
        return build_chain(called, [link(store, clock=clock)], middleware, level=level)

    return build


async def run_chain(chain: NamedChain, data: Mapping[str, object], *, result: str, kind: type[T]) -> T:
    """Run the chain on this context and return its ``result``. Raises what a link raised."""
    start: Context[Any] = Context(data)
    token = CURRENT_RUN.set(Run(chain.name, chain.level, _about(data)))
    try:
        answer = await chain.chain.run(start)
    finally:
        CURRENT_RUN.reset(token)
    return require(answer, result, kind)


def current_run() -> Run:
    """The run that the caller belongs to. Raises ChainMiswiredError outside ``run_chain``."""
    run = CURRENT_RUN.get()
    if run is None:
        raise ChainMiswiredError("a chain with middleware was run without run_chain, which keeps the run's state")
    return run


def _about(data: Mapping[str, object]) -> Mapping[str, object]:
    """The ids among what a chain was given: one of its plain values, or inside the record it writes."""
    found = {name: value for name, value in data.items() if name in _IDS and isinstance(value, str)}
    match data.get("write") or data.get("request") or data.get("registration"):
        case JobWrite(job=job) | (Job() as job):
            found["job_id"] = job.job_id
        case DeploymentWrite(deployment=deployment):
            found |= {"deployment_id": deployment.deployment_id, "service_name": deployment.service_name}
        case EnvironmentWrite(state=state):
            found |= {"service_name": state.service_name, "environment": state.environment}
        case ServiceWrite(name=name):
            found["service_name"] = name
        case AgentRegistration(agent_id=agent_id):
            found["agent_id"] = agent_id
        case _:
            pass
    return found
