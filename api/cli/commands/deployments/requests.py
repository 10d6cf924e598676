"""What the commands of deployments and environments share: options, requests to the API, the one line they answer with.

Deliberately not here: finding the deployment (``lookup``).
"""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from api.cli.client.http import DEPLOYMENTS, SERVICES, ApiClient
from api.cli.commands.deployments.output import environment_lines
from api.cli.commands.deployments.view import title
from api.cli.output import note, print_json, say
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.line import EnvironmentShown

As = Annotated[
    str | None,
    typer.Option(
        "--as", metavar="PERSON", help="Act for this person; only an admin's key may. Default: the key's own."
    ),
]
Why = Annotated[str, typer.Option("--reason", help="Why; kept in the trail.")]
MaybeWhy = Annotated[str | None, typer.Option("--reason", help="Why; kept in the trail.")]
ServiceArgument = Annotated[str, typer.Argument(metavar="SERVICE", help="The service's name.")]
MaybeService = Annotated[str | None, typer.Argument(metavar="[SERVICE]", help="The service's name.")]
EnvironmentOption = Annotated[str, typer.Option("--environment", "-e", help="Which environment.")]


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what was not given."""
    return {name: value for name, value in fields.items() if value is not None}


def service_path(service: str, *parts: str) -> str:
    """The URL of a service or of something below it."""
    return "/".join((SERVICES, *(quote(part, safe="") for part in (service, *parts))))


def command_deployment(api: ApiClient, deployment_id: str, action: str, fields: Mapping[str, Any]) -> Any:
    """The API's answer to a command, whose URL ends with ``action``: the record as the command left it."""
    return api.request("POST", f"{DEPLOYMENTS}/{deployment_id}/{action}", body=given(fields))


def command_environment(api: ApiClient, service: str, environment: str, action: str, fields: Mapping[str, Any]) -> Any:
    """The API's answer to a command: the environment as the command left it."""
    return api.request("POST", service_path(service, "environments", environment, action), body=given(fields))


def tell_deployment(api: ApiClient, record: Any, what: str, *, as_json: bool) -> None:
    """What was done. Not where the deployment stands: the record is that of the moment in which it was told."""
    if as_json:
        print_json(record)
        return
    deployment = Deployment.model_validate(record)
    say(f"{title(deployment)}: {what}.")
    note(f"Follow it with `{api.command(f'deploy watch {deployment.deployment_id}')}`.")


def tell_environment(record: Any, what: str, *, as_json: bool) -> None:
    """What was done, and how the environment is now."""
    if as_json:
        print_json(record)
        return
    environment = EnvironmentShown.model_validate(record)
    say(f"{environment.environment} of {environment.service_name}: {what}.")
    for line in environment_lines(environment):
        say(f"  {line}")
