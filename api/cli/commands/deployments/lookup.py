"""Which deployment a person means: by id, by the beginning of an id, as service@version, or by a service's name.

A service's name means its newest deployment that is open or live, as far as the command can do something with it;
which one that is, is always said. Deliberately not here: what is then done with it.
"""

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import DEPLOYMENTS, PAGE_SIZE, SERVICES, ApiClient, ApiRefused
from api.cli.output import note
from api.wording import status_word
from workflows.contracts.deployments.deployment import DeploymentStatus, DeploymentSummary
from workflows.contracts.ids import is_uuid

_SEARCHED: Final = 5 * PAGE_SIZE
_PREFIX: Final = re.compile(r"[0-9a-f-]{4,36}")
_SERVICE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?")
_SHORT_ID: Final = 8
_SHOWN: Final = 4
_LASTING: Final = (DeploymentStatus.LIVE, DeploymentStatus.STAGED, DeploymentStatus.PRODUCTION, DeploymentStatus.FAILED)
"""In which a deployment that somebody acts on can be, however many have come after it."""

Prefer = Callable[[DeploymentSummary], bool]
DeploymentArgument = Annotated[
    str,
    typer.Argument(
        metavar="DEPLOYMENT",
        help="Its id or the beginning of it, SERVICE@VERSION, or SERVICE for its newest that is open or live.",
    ),
]


def is_open(deployment: DeploymentSummary) -> bool:
    """On its way, live, or left open by a failed rollback."""
    return not deployment.status.final or deployment.waits_for is not None


def is_on_its_way(deployment: DeploymentSummary) -> bool:
    """Not live yet, so that it can wait for an approval."""
    return not deployment.status.final and deployment.status is not DeploymentStatus.LIVE


def can_roll_back(deployment: DeploymentSummary) -> bool:
    """In the last environment: on the way into it, live, or left there by a failed rollback."""
    there = (DeploymentStatus.PRODUCTION, DeploymentStatus.LIVE)
    return deployment.status in there or (is_open(deployment) and deployment.status is DeploymentStatus.FAILED)


def can_end(deployment: DeploymentSummary) -> bool:
    """Open and not live: ending a live one would roll it back, which must be asked for by name."""
    return is_open(deployment) and deployment.status is not DeploymentStatus.LIVE


def is_service(api: ApiClient, text: str) -> bool:
    """Whether it is the name of a registered service, and of nothing else."""
    if not _SERVICE.fullmatch(text) or is_uuid(text):
        return False
    try:
        api.request("GET", f"{SERVICES}/{text}")
    except ApiRefused as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return False
    return _by_prefix(api, text) is None


def find_deployment(api: ApiClient, text: str, *, prefer: Prefer = is_open, strict: bool = False) -> str:
    """The id of the deployment that ``text`` means; of several, the newest that ``prefer`` accepts.

    With ``strict`` a service's name never means one that ``prefer`` does not accept. Raises CliError when there is
    none, or when the beginning of an id is not enough.
    """
    wanted = text.strip()
    if is_uuid(wanted.lower()):
        return wanted.lower()
    name, at, version = wanted.partition("@")
    if at:
        return _of_version(api, name, version, prefer)
    by_id = _by_prefix(api, wanted.lower())
    if by_id is not None:
        return by_id
    found = _of_service(api, wanted)
    if not found:
        raise CliError(
            f"{text!r} is neither the beginning of a deployment's id nor a service with deployments. "
            f"See `{api.command('deploy list')}` and `{api.command('service list')}`.{api.near_service(wanted)}"
        )
    if strict and not any(prefer(each) for each in found):
        raise CliError(
            f"No deployment of {wanted} is on its way: its newest is {found[0].version} ({status_word(found[0])}). "
            f"Name the one you mean by its id: `{api.command(f'deploy list --service {wanted}')}`."
        )
    return _chosen(api, found, prefer)


def _by_prefix(api: ApiClient, wanted: str) -> str | None:
    if not _PREFIX.fullmatch(wanted):
        return None
    recent = _summaries(api, {})
    found = [each.deployment_id for each in recent if each.deployment_id.startswith(wanted)]
    if not found and len(wanted) >= _SHORT_ID:
        older = [each for status in _LASTING for each in _summaries(api, {"status": status})]
        found = [each.deployment_id for each in older if each.deployment_id.startswith(wanted)]
    if not found:
        return None
    if len(found) > 1:
        raise CliError(f"{wanted} begins the ids of {len(found)} deployments ({_some(found)}). Give more of it.", USAGE)
    if any(each.service_name == wanted for each in recent):
        raise CliError(
            f"{wanted} is a service, and it begins the id of deployment {found[0]}. Give more of the id, or the "
            f"service with its version ({wanted}@…).",
            USAGE,
        )
    return found[0]


def _of_version(api: ApiClient, name: str, version: str, prefer: Prefer) -> str:
    of_service = _of_service(api, name)
    found = [each for each in of_service if each.version == version]
    if found:
        return _chosen(api, found, prefer)
    versions = list(dict.fromkeys(each.version for each in of_service))
    known = f"; it has {_some(versions)}" if versions else ""
    raise CliError(
        f"Service {name} has no deployment of version {version!r}{known}. "
        f"Start one with `{api.command(f'deploy start {name} --version …')}`.{api.near_service(name)}"
    )


def _of_service(api: ApiClient, name: str) -> list[DeploymentSummary]:
    if not _SERVICE.fullmatch(name):
        raise CliError(
            f"{name!r} names no deployment: give the first 4 or more characters of its id, SERVICE@VERSION or SERVICE.",
            USAGE,
        )
    return _summaries(api, {"service_name": name})


def _summaries(api: ApiClient, filters: dict[str, Any]) -> list[DeploymentSummary]:
    """The newest ones, newest first."""
    page = api.page(DEPLOYMENTS, filters, limit=_SEARCHED)
    return [DeploymentSummary.model_validate(item) for item in page["items"]]


def _chosen(api: ApiClient, newest_first: Sequence[DeploymentSummary], prefer: Prefer) -> str:
    """The newest that fits, and a word about it and about those it could be mistaken for."""
    fitting = [each for each in newest_first if prefer(each)]
    chosen = (fitting or [each for each in newest_first if is_open(each)] or [*newest_first])[0]
    note(f"Deployment {chosen.deployment_id}: {chosen.service_name} {chosen.version}, {status_word(chosen)}.")
    others = [f"{each.deployment_id[:_SHORT_ID]} ({each.version}, {status_word(each)})" for each in fitting[1:]]
    if others:
        note(f"It is the newest; {_some(others)} would do too: name it by its id to choose it instead.")
    newest = newest_first[0]
    if newest is not chosen and not is_open(newest):
        command = api.command(f"deploy show {newest.deployment_id[:_SHORT_ID]}")
        note(f"A newer one, {newest.version}, has ended ({status_word(newest)}): `{command}`.")
    return chosen.deployment_id


def _some(texts: Sequence[str]) -> str:
    return ", ".join(texts[:_SHOWN]) + (", …" if len(texts) > _SHOWN else "")
