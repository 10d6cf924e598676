"""Many deployments at once: four versions of each service, through a staging and a production environment.

Every version goes its whole way, in order of arrival, and the last one stays live. How fast that is, what it costs, and
that it was right (``deployment_checks``). Deliberately not here: how fast one follows what is asked (``deployments``).
"""

import math
import shlex
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import psutil

from api.cli.benchmark.deployment_checks import Passage, SeenDeployment, problems
from api.cli.benchmark.own_stack import OwnStack
from api.cli.benchmark.report import ManyDeployments
from api.cli.benchmark.usage import CpuMeter
from api.cli.benchmark.wire import Api, BenchmarkFailed
from api.cli.benchmark.work import REST_SECONDS, Repository, until
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.services import PRODUCTION, STAGING
from workflows.contracts.jobs import Job

T = TypeVar("T")
R = TypeVar("R")

_VERSIONS: Final = 4
"""Of each service."""
_STARTERS: Final = 8
"""Requests under way while the deployments are started."""
_LOOK_SECONDS: Final = 0.5
_SHOWN: Final = 10
"""How many problems are told."""
_COMMAND: Final = (
    "begun=$EPOCHREALTIME; "
    'printf "%s %s %s %s %s\\n" "$HYBRIDCI_SERVICE" "$HYBRIDCI_ENVIRONMENT" "$HYBRIDCI_VERSION" '
    '"${{begun//[!0-9]/}}" "${{EPOCHREALTIME//[!0-9]/}}" >>{}'
)
"""One short line is one write, so that commands beside one another do not mix theirs."""


def measure_many_deployments(
    stack: OwnStack, repository: Repository, ledger: Path, count: int, say: Callable[[str], None]
) -> ManyDeployments:
    """Start ``count`` deployments and wait for all; commands write into ``ledger``. Raises BenchmarkFailed when one of
    them went wrong.
    """
    services = [f"many-{number}" for number in range(math.ceil(count / _VERSIONS))]
    todo = [(service, f"1.{number}") for number in range(_VERSIONS) for service in services][:count]
    # The next versions once all of these are taken: requests for one service that are under way together have no order.
    rounds = [todo[first : first + len(services)] for first in range(0, count, len(services))]
    meter = CpuMeter({**stack.processes(), "client": psutil.Process()})
    spec = _service(repository, ledger)
    _by_all(stack, services, lambda api, service: api.register(service, spec))
    say(f"deployments-many: {len(services)} services registered")
    with stack.api() as api:
        before = int(api.summary()["total_deployments"])
    with meter:
        began = time.perf_counter()
        ids = [identity for versions in rounds for identity in _start(stack, repository, versions)]
        say(f"deployments-many: {count} deployments started after {time.perf_counter() - began:.1f} s")
        with stack.api() as api:  # a new one: the API closes a connection that is idle for as long as the starts take
            until(lambda: _done(api, before + count), _LOOK_SECONDS, "all deployments to be live or to have ended")
        seconds = time.perf_counter() - began
        time.sleep(REST_SECONDS)  # what they leave to be done is part of their cost
    say(f"deployments-many: all live or ended after {seconds:.1f} s")
    with stack.api() as api:
        _verify(api, ids, ledger)
    return ManyDeployments(
        deployments=count,
        services=len(services),
        capacity=stack.options.agent_capacity,
        seconds=round(seconds, 1),
        per_second=round(count / seconds, 1),
        cpu_ms_per_deployment=meter.ms_per(count),
    )


def _start(stack: OwnStack, repository: Repository, todo: Sequence[tuple[str, str]]) -> list[str]:
    """Deploy these (service, version); their ids."""
    return _by_all(stack, todo, lambda api, each: api.deploy(_request(repository, *each), key="-".join(each)))


def _by_all(stack: OwnStack, todo: Sequence[T], do: Callable[[Api, T], R]) -> list[R]:
    """Done by several at a time, begun in this order."""
    items = iter(todo)

    def do_some() -> list[R]:
        with stack.api() as own:
            return [do(own, item) for item in items]  # one iterator for all: each takes the next when it is free

    with ThreadPoolExecutor(_STARTERS) as threads:
        doing = [threads.submit(do_some) for _ in range(_STARTERS)]
        return [result for each in doing for result in each.result()]


def _done(api: Api, total: int) -> bool:
    summary = api.summary()
    return int(summary["total_deployments"]) == total and int(summary["deployments_active"]) == 0


def _verify(api: Api, ids: Sequence[str], ledger: Path) -> None:
    """The last ones that are told of their successors may still be writing it down."""
    deployments = [_settled(api, identity) for identity in ids]
    places = {(each.service_name, stage.environment) for each in deployments for stage in each.stages}
    seen = SeenDeployment(
        deployments,
        [api.environment(service, environment) for service, environment in sorted(places)],
        {
            job_id: Job.model_validate(api.job(job_id))
            for each in deployments
            for stage in each.stages
            for job_id in stage.job_ids
        },
        [Passage.of(line) for line in ledger.read_text().splitlines()] if ledger.exists() else [],
    )
    found = problems(seen)
    if found:
        more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
        raise BenchmarkFailed(f"Not all deployments went as they must: {' '.join(found[:_SHOWN])}{more}")


def _settled(api: Api, identity: str) -> Deployment:
    found: list[Deployment] = []

    def settled() -> bool:
        found[:] = [api.deployment(identity)]
        return found[0].closed or _is_last(api, found[0])

    until(settled, _LOOK_SECONDS, f"deployment {identity} to be live or ended on record")
    return found[0]


def _is_last(api: Api, deployment: Deployment) -> bool:
    live = api.environment(deployment.service_name, PRODUCTION).live
    return live is not None and live.deployment_id == deployment.deployment_id


def _request(repository: Repository, service: str, version: str) -> dict[str, object]:
    return {
        "service_name": service,
        "version": version,
        "git_commit_sha": repository.sha,
        "git_author": "benchmark@example.com",
    }


def _service(repository: Repository, ledger: Path) -> dict[str, object]:
    steps = [{"name": "note", "run": _COMMAND.format(shlex.quote(str(ledger)))}]
    return {
        "git_repo": repository.url,
        "environments": [{"name": name, "steps": steps} for name in (STAGING, PRODUCTION)],
    }
