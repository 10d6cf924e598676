"""Which registered services a repository's URL, and a branch, stand for.

A git host names one repository by several addresses (https, ssh, with and without ``.git``); a service is registered
with any of them. Deliberately not here: reading the services from the store.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from workflows.contracts.deployments.services import PRODUCTION, Service

_SCP_LIKE: Final = re.compile(r"^(?:[^@/\s]+@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!//)(.+)$")
_DEFAULT_PORTS: Final = {"https": 443, "http": 80, "ssh": 22, "git": 9418}


@dataclass(frozen=True, slots=True)
class KnownService:
    """What rules need to know of a service. ``branch`` None: all branches. ``environment`` is its last one."""

    name: str
    repository: str
    branch: str | None = None
    environment: str = PRODUCTION


def known_service(service: Service) -> KnownService:
    """The short form of a registered service."""
    environments = service.spec.environment_names
    return KnownService(
        name=service.name,
        repository=same_form(service.spec.git_repo),
        branch=None if service.spec.git_ref is None else service.spec.git_ref.removeprefix("refs/heads/"),
        environment=environments[-1] if environments else PRODUCTION,
    )


def matching(services: Iterable[KnownService], urls: Sequence[str], branch: str | None) -> list[KnownService]:
    """The services of this repository; with ``branch``, those that deploy it."""
    forms = {same_form(url) for url in urls}
    return [
        service
        for service in services
        if service.repository in forms and (branch is None or service.branch is None or service.branch == branch)
    ]


def same_form(url: str) -> str:
    """One form for all addresses of a repository: ``host/owner/name``, in lower case but for files."""
    text = url.strip()
    scp = None if "://" in text else _SCP_LIKE.match(text)
    if scp is not None:
        return f"{scp[1]}/{_path(scp[2])}".casefold()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # an address no service can have
        return text
    if parts.scheme == "file":
        return f"file:{_path(parts.path)}"
    shown = f"{host}:{port}" if port is not None and port != _DEFAULT_PORTS.get(parts.scheme) else host
    return f"{shown}/{_path(parts.path)}".casefold()


def _path(path: str) -> str:
    return path.strip("/").removesuffix(".git").rstrip("/")
