"""The scaler of `hybridci up`: as soon as pool `default` has bounds, it starts and stops local agents to keep to them.

An agent that is not needed any more is told to end and takes its time: what it runs is finished. Agents elsewhere count
too; only what they do not offer is started here. Without pydantic and HTTP clients, as all of `up`.
Deliberately not here: what number the pool needs (the API) and how children are run (``supervisor``).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from api.cli.scaling.decision import Steady
from api.cli.stack import probes
from api.cli.stack.child import ChildSpec
from api.cli.stack.children import Options, agent_name, agent_spec
from api.cli.stack.data_dir import DataDir
from api.wording import counted

POOL: Final = "default"
MOST_LOCAL: Final = 64
"""More would not help one machine, whatever the bounds are."""
_POLL_SECONDS: Final = 3.0
_AT_WORK: Final = ("HEALTHY", "DEGRADED")
_VIEW: Final = f"/api/agents/pools/{POOL}"
_AGENTS: Final = f"/api/agents?pool={POOL}&limit=100"


class Children(Protocol):
    """What is needed of ``Supervisor``."""

    def start(self, specs: Iterable[ChildSpec]) -> None:
        """Start these and watch them. Raises OSError."""
        ...

    def retire(self, name: str) -> None:
        """Tell one to end, and let it take its time."""
        ...

    def names(self) -> Sequence[str]:
        """All, those included that are about to end."""
        ...

    def staying(self) -> Sequence[str]:
        """Those that were not told to end."""
        ...


@dataclass(frozen=True, slots=True)
class WantedAgents:
    """What the API says of the pool."""

    bounded: bool
    desired: int
    least: int
    most: int
    waiting: int

    @classmethod
    def of(cls, view: Any) -> "WantedAgents":
        """From the API's answer. Raises LookupError and TypeError for something else."""
        bounds = view["bounds"]
        return cls(
            bool(view["bounded"]), int(view["desired_agents"]), int(bounds["min_agents"]), int(bounds["max_agents"]),
            int(view["waiting"]),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SeenPool:
    """An agent as the API lists it."""

    agent_id: str
    at_work: bool
    busy: int

    @classmethod
    def all_of(cls, page: Any) -> "list[SeenPool]":
        """From the API's answer. Raises LookupError and TypeError for something else."""
        items = cast(list[dict[str, Any]], page["items"])
        return [cls(str(item["agent_id"]), item["status"] in _AT_WORK, int(item["busy"])) for item in items]


class LocalScaler:
    """Of one stack. ``ask`` answers a GET of the API with its JSON, or None when there is no answer now."""

    def __init__(
        self,
        options: Options,
        data: DataDir,
        children: Children,
        say: Callable[[str], None],
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._options, self._data, self._children, self._say = options, data, children, say
        self._clock = clock or asyncio.get_running_loop().time
        self._steady = Steady(options.scale_down_seconds)

    async def run(self) -> None:
        """Look every few seconds. Ends only by being cancelled."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Start or stop what is to be started or stopped now. Without bounds, or an answer, nothing is changed."""
        view = await self.ask(_VIEW)
        if view is None or not (wanted := WantedAgents.of(view)).bounded:
            return
        page = await self.ask(_AGENTS)
        if page is None:
            return
        self._adjust(wanted, SeenPool.all_of(page))

    async def ask(self, path: str) -> Any | None:
        """The API's answer to a GET."""
        key = self._data.admin_key.read_text(encoding="utf-8").strip()
        return await probes.answer(self._options.reachable_host, self._options.api_port, path, key)

    def _adjust(self, wanted: WantedAgents, agents: Sequence[SeenPool]) -> None:
        settled = self._steady.settle(wanted.desired, self._clock(), least=wanted.least, most=wanted.most)
        ids = self._ids()
        elsewhere = sum(agent.at_work and agent.agent_id not in ids.values() for agent in agents)
        staying = self._local(self._children.staying())
        missing = min(max(settled - elsewhere, 0), MOST_LOCAL) - len(staying)
        if missing > 0:
            taken = set(self._local(self._children.names()))
            self._start(missing, taken=taken, wanted=settled, waiting=wanted.waiting)
        elif missing < 0:
            busy = {agent.agent_id: agent.busy for agent in agents}
            self._retire(-missing, {name: busy.get(ids.get(name, ""), 0) for name in staying}, wanted=settled)

    def _start(self, count: int, *, taken: set[str], wanted: int, waiting: int) -> None:
        free = [number for number in range(1, 2 * MOST_LOCAL + 1) if agent_name(number) not in taken][:count]
        self._children.start([agent_spec(number, self._options, self._data) for number in free])
        names = ", ".join(agent_name(number) for number in free)
        wait = counted(waiting, "job waits", "jobs wait")
        self._say(f"Pool {POOL} wants {counted(wanted, 'agent')} ({wait}): {names} started.")

    def _retire(self, count: int, busy: Mapping[str, int], *, wanted: int) -> None:
        """The idle ones first, of these the youngest."""
        chosen = sorted(busy, key=lambda name: (busy[name], -_number(name)))[:count]
        for name in chosen:
            self._children.retire(name)
        self._say(f"Pool {POOL} wants {counted(wanted, 'agent')}: {', '.join(chosen)} to finish and end.")

    def _local(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name.startswith(agent_name(""))]

    def _ids(self) -> dict[str, str]:
        """Under which id each is registered that ever ran here: one that has just ended is still known to the API."""
        files = self._data.agent(0).parent.glob("*/agent-id")
        return {agent_name(file.parent.name): file.read_text(encoding="utf-8").strip() for file in files}


@asynccontextmanager
async def scaling(scaler: LocalScaler, say: Callable[[str], None]) -> AsyncGenerator[None]:
    """Run it while the context is entered. A fault of it is said, and stops nothing."""

    async def work() -> None:
        while True:
            try:
                await scaler.run()
            except (OSError, LookupError, TypeError, ValueError) as error:
                say(f"The agents cannot be scaled now: {error!r}. It is tried again.")

    working = asyncio.create_task(work(), name="scale agents")
    try:
        yield
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
