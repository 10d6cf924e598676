"""Pools for deployments only, or for named services, as the access policy has them: what may be put into one. Pure.

In the policy's file and not in a record, so that nobody who may submit, deploy or scale can change it through the API.
It keeps honest callers from mistakes and others from the queue; what counts in the end is what the pool's agents check
themselves (``agent.safety.specifications``). A pool that no rule names takes everything.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Self

from pydantic import Field, StrictBool, model_validator

from workflows.contracts.base import Frozen
from workflows.contracts.deployments.services import ServiceName, ServiceSpec
from workflows.contracts.errors import FieldError
from workflows.contracts.fields import Name


class PoolRule(Frozen):
    """What a pool is for: deployments only, or these services only, or both."""

    name: Name
    deployments_only: StrictBool = False
    services: Annotated[list[ServiceName], Field(min_length=1, max_length=1000)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.deployments_only and self.services is None:
            raise ValueError("say `deployments_only: true` or name `services`")
        return self

    def __str__(self) -> str:
        what = "deployments" if self.deployments_only else "jobs and deployments"
        return what if self.services is None else f"{what} of {_some(self.services)}"


def pool_refused_to_job(rules: Sequence[PoolRule], pool: str, service: str | None) -> str | None:
    """Why a free job of this service (None: of none) may not be put there, or None."""
    rule = _rule(rules, pool)
    if rule is None:
        return None
    if rule.deployments_only:
        return f"{pool} is for {rule} only: start a deployment, or take another pool"
    if rule.services is not None and service not in rule.services:
        whose = "this job is of no service" if service is None else f"this job is of {service}"
        return f"{pool} is for {rule} only and {whose}: say which by the label `service`, or take another pool"
    return None


def pools_refused_to_service(rules: Sequence[PoolRule], name: str, spec: ServiceSpec) -> Iterator[FieldError]:
    """The pools that a service's definition names and that are not for it, each by its field."""
    for field, pool in _pools(spec):
        rule = _rule(rules, pool)
        if rule is not None and rule.services is not None and name not in rule.services:
            what = f"{pool} is for {rule} only: take another pool, or have an admin name {name} in the access policy"
            yield FieldError(field=field, message=what)


def _pools(spec: ServiceSpec) -> Iterator[tuple[str, str]]:
    for field, stage in (("build", spec.build), ("test", spec.test), ("definition", spec.definition)):
        if stage is not None:
            yield f"{field}.pool", stage.pool
    for number, environment in enumerate(spec.environments):
        yield f"environments.{number}.pool", environment.pool
    if spec.policy is not None:
        for number, pool in enumerate(spec.policy.pools):
            yield f"policy.pools.{number}", pool
        for number, rules in enumerate(spec.policy.environments):
            for place, pool in enumerate(rules.pools):
                yield f"policy.environments.{number}.pools.{place}", pool


def _rule(rules: Sequence[PoolRule], pool: str) -> PoolRule | None:
    return next((rule for rule in rules if rule.name == pool), None)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
