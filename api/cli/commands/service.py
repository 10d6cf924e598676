"""`hybridci service`: apply, list, show. Exit codes: see ``common``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import SERVICES, ApiClient, ApiRefused
from api.cli.client.structured_file import read_map
from api.cli.client.submit import local_git
from api.cli.commands.common import All, AsJson, DataDir, Limit, example, open_api, sub_app
from api.cli.commands.deployments.requests import ServiceArgument, service_path
from api.cli.commands.service_text import service_yaml
from api.cli.commands.tables import short_repo
from api.cli.output import Column, age, note, print_json, print_table, say
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.deployments.services import Service

app = sub_app("Services: what is deployed, how, and through which environments.")


@app.command(epilog=example("hybridci service apply -f checkout.yml", "hybridci service apply -f - --name checkout"))
def apply(
    file: Annotated[Path, typer.Option("--file", "-f", "-F", help="The service in YAML or JSON; - reads stdin.")],
    name: Annotated[str | None, typer.Option(help="The service's name. Default: `name:` in the file.")] = None,
    repo: Annotated[
        str | None, typer.Option(help="git_repo, where the file has none: a URL, or a folder with a repository.")
    ] = None,
    if_version: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Only if its version is N now; 0: only if there is none.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Register a service, or change it. A deployment that is on its way keeps the definition it started with."""
    body = read_map(file, what="service", such_as="git_repo and environments")
    in_file: Any = body.pop("name", None)
    service = name or in_file
    if not isinstance(service, str) or not service:
        raise CliError(f"{file} does not say how the service is called: add `name: …` to it, or give --name.", USAGE)
    if repo is not None:
        body.setdefault("git_repo", local_git(repo).git_repo if Path(repo).expanduser().is_dir() else repo)
    headers = {} if if_version is None else {"If-Match": f'"{if_version}"'} if if_version else {"If-None-Match": "*"}
    with open_api(data_dir) as api:
        before = _present(api, service)
        record: Any = api.request("PUT", service_path(service), body=body, headers=headers)
        if as_json:
            print_json(record)
            return
        applied = Service.model_validate(record)
        _tell(api, applied, before)


@app.command("list", epilog=example("hybridci service list"))
def list_services(
    limit: Limit = 50, everything: All = False, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """List services by name."""
    with open_api(data_dir) as api:
        page = api.page(SERVICES, {}, limit=None if everything else limit)
    if as_json:
        print_json(page["items"] if everything else page)
        return
    found = [Service.model_validate(item) for item in page["items"]]
    if not found:
        say("No services.")
        return
    columns = (
        Column("SERVICE", keep=True), Column("VERSION", keep=True, right=True), Column("ENVIRONMENTS"),
        Column("REPOSITORY", rank=1), Column("CHANGED", keep=True), Column("BY", rank=2),
    )  # fmt: skip
    print_table(columns, [_row(service) for service in found])
    if page["next_cursor"]:
        note("There are more: --limit N or --all shows them.")


@app.command(epilog=example("hybridci service show checkout", "hybridci service show checkout --version 3 > old.yml"))
def show(
    service: ServiceArgument,
    version: Annotated[int | None, typer.Option(min=1, help="Which definition. Default: the present one.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show a service as YAML that `service apply` takes, and in comments what is live in its environments."""
    with open_api(data_dir) as api:
        record: Any = api.get(service_path(service), {"version": version})
        if as_json:
            print_json(record)
            return
        listed: Any = {"items": []} if version is not None else api.get(service_path(service, "environments"))
    states = [EnvironmentState.model_validate(item) for item in listed["items"]]
    say(service_yaml(Service.model_validate(record), states).rstrip())


def _present(api: ApiClient, name: str) -> Service | None:
    """As it is before the change, None when there is none."""
    try:
        return Service.model_validate(api.get(service_path(name)))
    except ApiRefused as error:
        if error.status in (404, 422):  # of a name that cannot be, the PUT tells more
            return None
        raise


def _tell(api: ApiClient, applied: Service, before: Service | None) -> None:
    word = "created" if before is None else "unchanged" if before.version == applied.version else "changed"
    say(f"{applied.name}: {word}, version {applied.version}")
    if word == "created":
        note(f"Deploy it with `{api.command(f'deploy start {applied.name} --version …')}`.")
    elif word == "changed":
        note("Deployments that are on their way keep the definition they started with.")


def _row(service: Service) -> tuple[object, ...]:
    spec = service.spec
    if spec.definition is not None:
        way = f"as {spec.definition.path} says"
    else:
        way = " → ".join(environment.name for environment in spec.environments)
    return (
        service.name, service.version, way, short_repo(spec.git_repo), age(service.updated_at),
        service.updated_by or None,
    )  # fmt: skip
