"""`hybridci service`: apply, list, show; a change of the policy that waits for a second person. Exit codes: see
``common``.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.client.connection import REFUSED, USAGE, CliError
from api.cli.client.http import SERVICES, ApiClient, ApiRefused
from api.cli.client.structured_file import read_map
from api.cli.client.submit import local_git, resolve_repository
from api.cli.commands.common import All, AsJson, DataDir, Limit, example, open_api, sub_app
from api.cli.commands.deployments.requests import (
    As,
    EnvironmentOption,
    MaybeWhy,
    ServiceArgument,
    Why,
    command_environment,
    given,
    service_path,
    tell_environment,
)
from api.cli.commands.service_errors import located, told
from api.cli.commands.service_text import service_yaml
from api.cli.commands.tables import short_repo
from api.cli.output import Column, age, note, print_json, print_table, say
from workflows.contracts.deployments.line import EnvironmentShown
from workflows.contracts.deployments.services import PRODUCTION, Service, ServiceSpec

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
    resolve_repository(body, file)
    headers = {} if if_version is None else {"If-Match": f'"{if_version}"'} if if_version else {"If-None-Match": "*"}
    with open_api(data_dir) as api:
        before = _present(api, service)
        try:
            record: Any = api.request("PUT", service_path(service), body=body, headers=headers)
        except ApiRefused as refused:
            if not refused.errors:
                raise
            wrong = "\n".join(f"  {told(error)}" for error in located(file, refused.errors))
            raise CliError(f"Nothing was changed. Correct this in {_shown(file)}:\n{wrong}", REFUSED) from None
        if as_json:
            print_json(record)
            return
        applied = Service.model_validate(record)
        _tell(api, applied, before, asked=ServiceSpec.model_validate(body))


@app.command(epilog=example("hybridci service check -f checkout.yml"))
def check(
    file: Annotated[Path, typer.Option("--file", "-f", "-F", help="The service in YAML or JSON.")],
    name: Annotated[str | None, typer.Option(help="The service's name. Default: `name:` in the file.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Check a file and change nothing: every error with its line, or what it would change. Exit code 1 for errors."""
    body = read_map(file, what="service", such_as="git_repo and environments")
    service: Any = name or body.get("name")
    if not isinstance(service, str) or not service:
        raise CliError(f"{file} does not say how the service is called: add `name: …` to it, or give --name.", USAGE)
    resolve_repository(body, file)
    with open_api(data_dir) as api:
        found: Any = api.request("POST", service_path(service, "check"), body=body)
    found["errors"] = located(file, found["errors"])
    if as_json:
        print_json(found)
    else:
        for error in found["errors"]:
            say(told(error))
        for line in found["difference"]:
            say(line)
        if not found["errors"] and not found["difference"]:
            say(f"{service}: nothing would change.")
    if found["errors"]:
        raise typer.Exit(1)


@app.command("list", epilog=example("hybridci service list"))
def list_services(
    limit: Limit = 50,
    everything: All = False,
    archived: Annotated[bool, typer.Option("--archived", help="Archived ones too.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List services by name."""
    with open_api(data_dir) as api:
        page = api.page(SERVICES, {"archived": True} if archived else {}, limit=None if everything else limit)
    if as_json:
        print_json(page["items"] if everything else page)
        return
    found = [Service.model_validate(item) for item in page["items"]]
    if not found:
        say("No services.")
        return
    columns = (
        Column("SERVICE", key=True), Column("VERSION", keep=True, right=True), Column("ENVIRONMENTS"),
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
    states = [EnvironmentShown.model_validate(item) for item in listed["items"]]
    say(service_yaml(Service.model_validate(record), states).rstrip())


@app.command("policy-change", epilog=example("hybridci service policy-change checkout"))
def policy_change(service: ServiceArgument, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show the change of a service's policy that waits for a second person."""
    with open_api(data_dir) as api:
        record: Any = api.get(service_path(service, "policy-change"))
        if as_json:
            print_json(record)
            return
        say(f"Version {record['version']} of {service}: {record['asked_by']} asks for another policy.")
        _tell_waiting(api, service, record["version"], record["changes"])


WaitingIn = Annotated[
    int, typer.Option("--version", min=1, metavar="N", help="The version in which it waits, as policy-change shows it.")
]


@app.command("approve-policy", epilog=example("hybridci service approve-policy checkout --version 5"))
def approve_policy(
    service: ServiceArgument,
    version: WaitingIn,
    reason: MaybeWhy = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say yes to a change of the policy that somebody else has asked for."""
    _decide(service, "approve", {"version": version, "reason": reason or ""}, as_json, data_dir)


@app.command(
    "reject-policy", epilog=example('hybridci service reject-policy checkout --version 5 --reason "not on a Friday"')
)
def reject_policy(
    service: ServiceArgument, version: WaitingIn, reason: Why, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Say no to a change of the policy, or take your own back."""
    _decide(service, "reject", {"version": version, "reason": reason}, as_json, data_dir)


@app.command(
    epilog=example(
        'hybridci service archive checkout --reason "replaced by shop"',
        'hybridci service archive checkout --live-is-gone --reason "its hosts were switched off"',
    )
)
def archive(
    service: ServiceArgument,
    reason: Why,
    live_is_gone: Annotated[
        bool, typer.Option("--live-is-gone", help="What is live in its environments does not run any more.")
    ] = False,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Start nothing of a service any more, and leave it out of lists. Its history stays readable."""
    body = {"reason": reason, "live_is_gone": live_is_gone or None, "by": by}
    with open_api(data_dir) as api:
        record: Any = api.request("POST", service_path(service, "archive"), body=given(body))
        _tell_standing(record, "archived", as_json=as_json)
        if not as_json:
            note(f"Take it into use again with `{api.command(f'service unarchive {service}')}`.")


@app.command(epilog=example("hybridci service unarchive checkout"))
def unarchive(
    service: ServiceArgument,
    reason: MaybeWhy = None,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Take an archived service into use again."""
    with open_api(data_dir) as api:
        record: Any = api.request("POST", service_path(service, "unarchive"), body=given({"reason": reason, "by": by}))
    _tell_standing(record, "in use again", as_json=as_json)


@app.command(epilog=example('hybridci service delete checkout --reason "replaced by shop"'))
def delete(
    service: ServiceArgument,
    reason: MaybeWhy = None,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Delete an archived service of which nothing is live any more. Its deployments and its trail stay."""
    with open_api(data_dir) as api:
        record: Any = api.request("DELETE", service_path(service), body=given({"reason": reason, "by": by}))
    _tell_standing(record, "deleted", as_json=as_json)


@app.command(epilog=example('hybridci service retire checkout --environment old --reason "renamed to production"'))
def retire(
    service: ServiceArgument,
    reason: Why,
    environment: EnvironmentOption = PRODUCTION,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say that what is live in an environment is gone, and nothing takes its place."""
    with open_api(data_dir) as api:
        answer = command_environment(api, service, environment, "retire", {"reason": reason, "by": by})
        tell_environment(answer, "nothing is live", as_json=as_json)


def _tell_standing(record: Any, word: str, *, as_json: bool) -> None:
    if as_json:
        print_json(record)
        return
    say(f"{record['name']}: {word}.")


def _decide(service: str, said: str, body: dict[str, Any], as_json: bool, data_dir: Path | None) -> None:
    with open_api(data_dir) as api:
        record: Any = api.request("POST", service_path(service, "policy-change", said), body=body)
    if as_json:
        print_json(record)
        return
    decided = Service.model_validate(record)
    word = "has the other policy" if said == "approve" else "keeps its policy"
    say(f"{decided.name}: {word}, version {decided.version}")


def _shown(file: Path) -> str:
    return "what came by stdin" if str(file) == "-" else str(file)


def _present(api: ApiClient, name: str) -> Service | None:
    """As it is before the change, None when there is none."""
    try:
        return Service.model_validate(api.get(service_path(name)))
    except ApiRefused as error:
        if error.status in (404, 422):  # of a name that cannot be, the PUT tells more
            return None
        raise


def _tell(api: ApiClient, applied: Service, before: Service | None, *, asked: ServiceSpec) -> None:
    waits = applied.policy_change
    if waits is not None and waits.spec == asked:
        say(f"{applied.name}: not changed yet. This is another policy, to which a second person must agree.")
        _tell_waiting(api, applied.name, applied.version, waits.changes)
        return
    if before is not None and before.policy_change is not None and before.version != applied.version:
        note(f"It took the place of a change of the policy that {before.policy_change.asked_by} had asked for.")
    word = "created" if before is None else "unchanged" if before.version == applied.version else "changed"
    say(f"{applied.name}: {word}, version {applied.version}")
    if word == "created":
        note(f"Deploy it with `{api.command(f'deploy start {applied.name} --version …')}`.")
    elif word == "changed":
        note("Deployments that are on their way keep the definition they started with.")


def _tell_waiting(api: ApiClient, service: str, version: int, changes: list[str]) -> None:
    for change in changes:
        say(f"  {change}")
    note(f"Somebody else agrees with `{api.command(f'service approve-policy {service} --version {version}')}`.")
    note(f"Or not: `{api.command(f'service reject-policy {service} --version {version} --reason …')}`.")


def _row(service: Service) -> tuple[object, ...]:
    spec = service.spec
    way = " → ".join(spec.environment_names)
    if spec.definition is not None and not way:
        way = f"as {spec.definition.path} says; has no policy"
    return (
        service.name, service.version, way, short_repo(spec.git_repo), age(service.updated_at),
        service.updated_by or None,
    )  # fmt: skip
