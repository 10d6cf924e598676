"""What `hybridci doctor` asks the API for: whether it answers, clocks, versions, parts, workflows, agents, pools.

What the key may not see is said as such, and is nothing wrong.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from api.agents.schemas import SKEW_TOLD_SECONDS, AgentView, PoolViews
from api.cli.client.connection import CliError
from api.cli.client.http import ApiClient, KeyMayNot, Transient, Unreachable
from api.cli.commands.overview.findings import PartFinding, bad, ok, readable, warn
from api.cli.commands.stuck import read_health
from api.cli.output import age, clock, now_ms, span
from api.needs import unserved
from api.wording import counted
from workflows.contracts.agents import AgentStatus
from workflows.contracts.repairs import StuckWorkflow
from workflows.version import product_version

_SOON_MS: Final = 7 * 86_400_000
_LATE_SEAL_MS: Final = 3 * 3_600_000
_FULL_PERCENT: Final = 90.0
_NO_ROOM_PERCENT: Final = 97.0
_LONG_WAIT_SECONDS: Final = 60.0
_SHOWN: Final = 5
_PROCESSES: Final = {"worker": "control worker", "gateway": "gateway"}
_ODD: Final = "Is this the hybridci API, of this command's version? See its log."
_TOO_MANY: Final = re.compile(r'^hybridci_http_request_seconds_count\{[^}]*status="429"[^}]*\} (\d+)', re.M)


@dataclass(slots=True)
class ApiChecks:
    """Each yields what it found; one that cannot be told says so."""

    api: ApiClient
    limited: bool = False
    """The key is for some services or pools only."""

    def all(self) -> Iterator[PartFinding]:
        """In the order in which one would look: when it does not answer, only that."""
        first: list[PartFinding] = []
        try:
            first.extend(readable("API", self._answers, _ODD))
        except Unreachable as error:
            yield bad("API", error.message, self._start())
            return
        except CliError as error:
            yield bad("API", error.message, "Nothing else can be asked until then.")
            return
        yield from first
        checks: list[tuple[str, Callable[[], Iterator[PartFinding]]]] = [
            ("key", self._key),
            ("parts", self._parts),
            ("agents", self._agents),
            ("pools", self._pools),
            ("requests", self._refused),
        ]
        for part, check in checks:
            try:
                yield from readable(part, check, _ODD)
            except Transient as error:
                yield bad(part, error.message, "See the API's log.")
            except KeyMayNot:
                yield ok(part, "not told: your key may not see it")
            except CliError as error:
                yield warn(part, f"not told: {error.message}", "See the API's log.")

    def _start(self) -> str:
        folder = self.api.connection.folder
        if folder is not None:
            return f"Start it: `hybridci up --data-dir {folder}`. If it runs, see {folder}/logs/api.log."
        return "Is its process up, and the way to it open? `hybridci context list` shows the other APIs that you know."

    def _answers(self) -> Iterator[PartFinding]:
        told: list[str] = []
        began = time.time()
        with self.api.stream("/health", told=lambda headers: told.append(headers.get("date", ""))) as pieces:
            for _ in pieces:
                pass
        took = time.time() - began
        info: Any = self.api.get("/info")
        own, there = product_version(), str(info.get("version"))
        yield ok(
            "API", f"{self.api.connection.url} answers in {took * 1000:.0f} ms ({there}, {info.get('environment')})"
        )
        if own != there:
            yield warn(
                "versions", f"this command is {own}, the API {there}", "Bring them to one version, the API first."
            )
        yield from _clock(told[0] if told else "", began + took / 2)

    def _key(self) -> Iterator[PartFinding]:
        person: Any = self.api.request("POST", "/auth/validate")
        self.limited = all(grant.get("services") or grant.get("pools") for grant in person["grants"])
        until = person.get("expires_at")
        who = f"{person['subject']} ({', '.join(grant['role'] for grant in person['grants'])})"
        if until is not None and until - now_ms() < _SOON_MS:
            yield warn(
                "key", f"{who}, ends {age(until)}", "Make another: `hybridci key rotate ID`, then `hybridci login`."
            )
        else:
            yield ok("key", f"{who}, {'without end' if until is None else f'until {clock(until)}'}")

    def _parts(self) -> Iterator[PartFinding]:
        health: Any = read_health(self.api)
        for each in health.get("errors", []):
            yield bad(str(each["field"]), str(each["message"]), "Do what it says, or see the log of that part.")
        if not health.get("errors"):
            yield ok("parts", "Temporal, the store, the control worker and the disk are well")
        found = [StuckWorkflow.model_validate(each) for each in health.get("items", [])]
        for each in found[:_SHOWN]:
            command = each.command.removeprefix("hybridci ")
            cure = self.api.command(command) if command != each.command else command
            yield bad("workflows", f"{each} cannot go on", f"`{cure}`")
        if health.get("stuck", 0) > _SHOWN:
            more = health["stuck"] - _SHOWN
            yield bad("workflows", f"{more} more cannot go on", f"`{self.api.command('health')}` lists them.")
        if not found and not any(each["field"] == "temporal" for each in health.get("errors", [])):
            yield ok("workflows", "none is stuck")
        yield from _seals(health)
        yield from processes_found(health)

    def _agents(self) -> Iterator[PartFinding]:
        page: Any = self.api.page("/api/agents", {}, limit=1000)
        agents = [AgentView.model_validate(each) for each in page["items"]]
        alive = [each for each in agents if each.deregistered_at is None]
        if not alive and self.limited:
            yield ok("agents", "none is of the services and pools that your key may see")
            return
        if not alive:
            yield bad(
                "agents", "there is none, so no job can run", "Start one: `hybridci agent`, with a key of its pool."
            )
            return
        faults = [fault for each in alive for fault in self._of_agent(each)]
        taking = sum(1 for each in alive if each.accepting)
        summary = f"{taking} of {len(alive)} take jobs"
        yield (
            ok("agents", summary)
            if taking
            else bad("agents", summary, f"`{self.api.command('agents list')}` says why.")
        )
        yield from faults[: 2 * _SHOWN]
        if len(faults) > 2 * _SHOWN:
            more = len(faults) - 2 * _SHOWN
            yield warn("agents", counted(more, "more remark"), f"`{self.api.command('agents list')}` has them all.")

    def _of_agent(self, agent: AgentView) -> Iterator[PartFinding]:
        part, show = f"agent {agent.agent_id}", f"`{self.api.command(f'agents show {agent.agent_id}')}`"
        if agent.status is AgentStatus.OFFLINE:
            gone = f"`{self.api.command(f'agents deregister {agent.agent_id}')}`"
            words = f"is offline; heard {span(agent.seconds_since_heard)} ago"
            yield warn(
                part, words, f"Start it again on {agent.hostname or 'its host'}, or take it from the list: {gone}"
            )
            return
        if agent.version and agent.version != product_version():
            yield warn(part, f"is of version {agent.version}", f"Bring it to {product_version()}.")
        if agent.skew_ms is not None and abs(agent.skew_ms) > SKEW_TOLD_SECONDS * 1000:
            ahead = "ahead" if agent.skew_ms > 0 else "behind"
            yield warn(part, f"its clock is {span(abs(agent.skew_ms) / 1000)} {ahead}", "Set it by NTP.")
        if (full := agent.disk_percent or 0.0) >= _FULL_PERCENT:
            grade = bad if full >= _NO_ROOM_PERCENT else warn
            yield grade(part, f"its disk is {full:.0f} % full", "Make room, or lower what its caches may take.")
        others = [word for word in agent.words if "clock" not in word and "disk" not in word]
        if others and not agent.accepting:
            yield warn(part, "; ".join(others), show)

    def _pools(self) -> Iterator[PartFinding]:
        pools = PoolViews.model_validate(self.api.get("/api/agents/pools")).items
        for pool in pools:
            wait = counted(pool.waiting, "job waits", "jobs wait")
            if unserved(pool):
                words = f"{wait} and no agent of it is connected"
                start = f"Start one: `hybridci agent --pool {pool.name}`, with a key of the pool (docs/agents.md)."
                yield bad(f"pool {pool.name}", words, start)
            elif pool.waiting and not pool.slots:
                why = f"`{self.api.command(f'agents list --pool {pool.name}')}` says why."
                yield bad(f"pool {pool.name}", f"{wait} and none of its agents takes jobs", why)
            elif pool.waiting and (pool.oldest_wait_seconds or 0) > _LONG_WAIT_SECONDS:
                words = f"{wait}, the oldest for {span(pool.oldest_wait_seconds)}"
                yield warn(f"pool {pool.name}", words, f"`{self.api.command(f'pool show {pool.name}')}` says for what.")

    def _refused(self) -> Iterator[PartFinding]:
        with self.api.stream("/metrics") as pieces:
            text = b"".join(pieces).decode("utf-8", "replace")
        if count := sum(int(number) for number in _TOO_MANY.findall(text)):
            yield warn(
                "requests",
                f"this API process has refused {count} as too many in a minute",
                "Its answers name the limit and the setting (HYBRIDCI_RATE_LIMIT…); its log names the keys.",
            )


def _clock(date: str, middle: float) -> Iterator[PartFinding]:
    """``date``: of an answer that was made at about ``middle`` (epoch seconds here), cut to seconds."""
    try:
        there: datetime = parsedate_to_datetime(date)
    except ValueError:
        return
    off = there.timestamp() + 0.5 - middle
    if abs(off) > SKEW_TOLD_SECONDS:
        words = f"the API's clock is {span(abs(off))} {'ahead of' if off > 0 else 'behind'} this machine's"
        yield warn("clock", words, "Set both by NTP: times in logs and the ends of keys are off.")
    else:
        yield ok("clock", "as the API's")


def processes_found(health: Any) -> Iterator[PartFinding]:
    """Of control workers and gateways, as the API heard of them; of an older API nothing is known."""
    found: list[Any] = health.get("processes", [])
    there = str(health.get("version"))
    other = [each for each in found if each["version"] != there]
    for each in other[:_SHOWN]:
        yield warn(
            f"{_PROCESSES.get(each['kind'], each['kind'])} {each['identity']}",
            f"is of version {each['version']}, the API of {there}",
            "Bring all to one version: stop the workers and start them together, then the others (Upgrade, in the"
            " operations guide). One that was stopped goes from here after 90 s.",
        )
    if len(other) > _SHOWN:
        more = counted(len(other) - _SHOWN, "more process is", "more processes are")
        yield warn("versions", f"{more} of another version than the API", "Bring all to one version.")
    if found and not other:
        kinds = Counter(str(each["kind"]) for each in found)
        words = [counted(count, _PROCESSES.get(kind, kind)) for kind, count in sorted(kinds.items(), reverse=True)]
        yield ok("versions", f"{' and '.join(words)} of the API's version, {there}")


def _seals(health: Any) -> Iterator[PartFinding]:
    sealed = health.get("sealed_at")
    if sealed is None:
        yield warn("seals", "the audit trail was never sealed", "Give a worker a key: HYBRIDCI_SEAL_KEY_FILE.")
    elif now_ms() - sealed > _LATE_SEAL_MS:
        yield warn("seals", f"the audit trail was last sealed {age(sealed)}", "See the control worker's log.")
    else:
        yield ok("seals", f"the audit trail was sealed {age(sealed)}")
