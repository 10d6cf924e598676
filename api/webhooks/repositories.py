"""Which registered services a repository's URL, and a branch, stand for.

A service is registered with any of its repository's addresses (``contracts.identity.repositories``). Deliberately not
here: reading the services from the store.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workflows.contracts.deployments.services import PRODUCTION, Service
from workflows.contracts.deployments.triggers import Triggers
from workflows.contracts.identity.repositories import same_form


@dataclass(frozen=True, slots=True)
class KnownService:
    """What rules need to know of a service. ``branch`` is its `git_ref`, ``environment`` its last one. ``triggers``
    None: it says nothing of them. ``given_by``: the file or option of a dry run that told it; None when it is
    registered.
    """

    name: str
    repository: str
    branch: str | None = None
    environment: str = PRODUCTION
    triggers: Triggers | None = None
    given_by: str | None = None


def known_service(service: Service) -> KnownService:
    """The short form of a registered service."""
    environments = service.spec.environment_names
    return KnownService(
        name=service.name,
        repository=same_form(service.spec.git_repo),
        branch=None if service.spec.git_ref is None else service.spec.git_ref.removeprefix("refs/heads/"),
        environment=environments[-1] if environments else PRODUCTION,
        triggers=service.spec.triggers,
    )


def matching(services: Iterable[KnownService], urls: Sequence[str], branch: str | None) -> list[KnownService]:
    """The services of this repository; with ``branch``, those that deploy it or name none."""
    forms = {same_form(url) for url in urls}
    return [
        service
        for service in services
        if service.repository in forms and (branch is None or service.branch is None or service.branch == branch)
    ]
