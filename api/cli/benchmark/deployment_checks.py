"""Whether many deployments went right, by their records, their jobs, the environments and the commands' own notes.

Right is: each version passed each environment once, in order of arrival, and never beside another one; the last one is
live, each other one was superseded by its successor; the environments say the same. Pure.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self, TypeVar

from workflows.contracts.deployments.deployment import Deployment, DeploymentStatus
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.jobs import Job
from workflows.contracts.statuses import JobStatus

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Passage:
    """A command's own note: this version was in this environment from then to then, in microseconds."""

    service: str
    environment: str
    version: str
    begun: int
    ended: int

    @classmethod
    def of(cls, line: str) -> Self:
        """From a line of the ledger."""
        service, environment, version, begun, ended = line.split()
        return cls(service, environment, version, int(begun), int(ended))


@dataclass(frozen=True, slots=True)
class SeenDeployment:
    """All that there is to compare."""

    deployments: Sequence[Deployment]
    environments: Sequence[EnvironmentState]
    jobs: Mapping[str, Job]
    passages: Sequence[Passage]


def problems(seen: SeenDeployment) -> list[str]:
    """What is wrong, a sentence each; empty when all is right."""
    found: list[str] = []
    for service, deployments in _grouped(seen.deployments, lambda each: each.service_name).items():
        ordered = sorted(deployments, key=lambda each: each.created_at)
        found += _statuses(service, ordered)
        for number, stage in enumerate(ordered[0].stages):
            final = number == len(ordered[0].stages) - 1
            found += _passages(service, stage.environment, ordered, seen.passages)
            found += _stage_jobs(stage.environment, ordered, seen.jobs)
            found += _environment(service, stage.environment, ordered, seen.environments, final=final)
    return found


def _statuses(service: str, ordered: Sequence[Deployment]) -> Iterator[str]:
    for deployment, successor in pairwise(ordered):
        if (deployment.status, deployment.superseded_by) != (DeploymentStatus.SUPERSEDED, successor.deployment_id):
            yield f"{_name(deployment)} is {deployment.status}, not superseded by {successor.version}."
    live = [deployment.version for deployment in ordered if deployment.status is DeploymentStatus.LIVE]
    if live != [ordered[-1].version]:
        yield f"Of {service}, {', '.join(live) or 'nothing'} is live, not {ordered[-1].version} alone."


def _passages(
    service: str, environment: str, ordered: Sequence[Deployment], all_of: Sequence[Passage]
) -> Iterator[str]:
    passages = sorted(
        (each for each in all_of if (each.service, each.environment) == (service, environment)),
        key=lambda each: each.begun,
    )
    versions = [each.version for each in passages]
    wanted = [each.version for each in ordered]
    if versions != wanted:
        yield f"{', '.join(versions)} passed {environment} of {service}, not {', '.join(wanted)}."
    for one, next_one in pairwise(passages):
        if next_one.begun < one.ended:
            yield f"The commands of {one.version} and {next_one.version} ran in {environment} of {service} together."


def _stage_jobs(environment: str, ordered: Sequence[Deployment], jobs: Mapping[str, Job]) -> Iterator[str]:
    done: list[Job] = []
    fences: list[int] = []
    for deployment in ordered:
        stage = deployment.stage(environment)
        own = [jobs[job_id] for job_id in stage.job_ids] if stage is not None else []
        if [job.status for job in own] != [JobStatus.SUCCESS]:
            ends = ", ".join(job.status for job in own) or "none"
            yield f"The jobs of {_name(deployment)} in {environment}: {ends}; not one success."
        done += own
        fences += [stage.fence] if stage is not None and stage.fence is not None else []
    if len(fences) != len(ordered) or fences != sorted(set(fences)):
        yield f"The turns in {environment} of {ordered[0].service_name} are {fences}: they do not grow."
    for one, next_one in pairwise(sorted(done, key=lambda job: job.started_at or 0)):
        if (next_one.started_at or 0) < (one.completed_at or 0):
            yield f"Jobs {one.job_id} and {next_one.job_id} ran in {environment} of {ordered[0].service_name} together."


def _environment(
    service: str, environment: str, ordered: Sequence[Deployment], states: Sequence[EnvironmentState], *, final: bool
) -> Iterator[str]:
    state = next((each for each in states if (each.service_name, each.environment) == (service, environment)), None)
    if state is None:
        yield f"{environment} of {service} has no record."
        return
    last = ordered[-1].deployment_id
    name = f"{environment} of {service}"
    if state.live is None or state.live.deployment_id != last:
        yield f"{name} has {state.live.version if state.live else 'nothing'} as its live version, not the last one."
    if [each.deployment_id for each in state.history] != [each.deployment_id for each in reversed(ordered)]:
        yield f"{name} remembers {[each.version for each in state.history]}."
    holder = state.holder.deployment_id if state.holder is not None and state.holder.live else state.holder
    if holder != (last if final else None) or state.queue:
        yield f"{name} is held by {holder}, with {len(state.queue)} in line."


def _grouped(items: Sequence[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _name(deployment: Deployment) -> str:
    return f"{deployment.service_name} {deployment.version}"
