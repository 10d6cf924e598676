"""`hybridci freeze`: add, list, remove, override. Exit codes: see ``common``."""

import uuid
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import ApiClient
from api.cli.commands.common import AsJson, DataDir, example, open_api, sub_app
from api.cli.commands.deployments.freeze_times import freeze_period
from api.cli.commands.deployments.lookup import DeploymentArgument, find_deployment, is_on_its_way
from api.cli.commands.deployments.requests import (
    As,
    MaybeService,
    MaybeWhy,
    Why,
    command_deployment,
    command_environment,
    given,
    service_path,
    tell_deployment,
    tell_environment,
)
from api.cli.commands.deployments.scope import (
    FREEZES,
    AllServices,
    Environments,
    Exceptions,
    Labels,
    Services,
    print_stops,
    scope_of,
    stops,
)
from api.cli.output import Column, clock, note, now_ms, print_json, print_table, say, span
from workflows.contracts.deployments.environments import EnvironmentState, Freeze
from workflows.contracts.deployments.line import LineStop
from workflows.contracts.deployments.rules import FreezeWindow
from workflows.contracts.deployments.services import PRODUCTION, Service

app = sub_app("Freezes: times in which nothing is rolled out. Rollbacks go on.")


@app.command(
    epilog=example(
        'hybridci freeze add checkout --name "black friday" --for 2d --reason "no risk now"',
        "hybridci freeze add checkout --name holidays --from 2026-12-24 --until 2026-12-27T08:00",
        'hybridci freeze add --all --environment production --except status --name fair --for 2h --reason "the fair"',
    )
)
def add(
    service: MaybeService = None,
    name: Annotated[str, typer.Option(help="What people call it.")] = "freeze",
    environment: Environments = None,
    everything: AllServices = False,
    labels: Labels = None,
    services: Services = None,
    exceptions: Exceptions = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Of many services: no deployment may be let through.")
    ] = False,
    lasts: Annotated[str | None, typer.Option("--for", metavar="DURATION", help="Such as 30m, 2h or 1d.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="When it ends, such as 2026-12-27T08:00.")] = None,
    begins: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Default: now.")] = None,
    reason: MaybeWhy = None,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Freeze an environment of a service (default: production), or many services, for a time.

    What is approved meanwhile waits, and is rolled out when it ends; what is under way stops at its next step.
    """
    # An id of our own, so that a request whose answer got lost can be sent again and makes one freeze.
    freeze_id = f"freeze-{uuid.uuid4().hex[:8]}"
    body = {"name": name, "freeze_id": freeze_id, "reason": reason, "by": by}
    period = freeze_period(begins, until, lasts, now=now_ms())
    scope = scope_of(everything, labels, services, exceptions, environment)
    if (service is None) == (scope is None):
        raise CliError("Say what is frozen: one SERVICE, or many by --all, --label or --service.", USAGE)
    with open_api(data_dir) as api:
        if scope is not None:
            _add_wide(api, {**body, **period, "scope": scope, "allow_override": not strict}, as_json=as_json)
            return
        where = _one(environment)
        answer = command_environment(api, str(service), where, "freezes", {**body, **period})
        tell_environment(answer, _what_was_added(name, period.get("starts_at")), as_json=as_json)
        if not as_json:
            remove_it = api.command(f"freeze remove {service} {freeze_id} --environment {where}")
            note(f"End it before its time with `{remove_it}`.")


@app.command("list", epilog=example("hybridci freeze list checkout"))
def list_freezes(
    service: MaybeService = None,
    environment: Annotated[str | None, typer.Option("--environment", "-e", help="Only of this environment.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the freezes of a service: those that were added, and the recurring ones of its definition.

    Without a service, those of many services at once.
    """
    with open_api(data_dir) as api:
        if service is None:
            _list_wide(api, as_json=as_json)
            return
        states = _environments(api, service, environment)
        definition = Service.model_validate(api.get(service_path(service)))
    if as_json:
        print_json([_as_json(state, _recurring(definition, state.environment)) for state in states])
        return
    rows = [row for state in states for row in _rows(state, definition)]
    if not rows:
        say("No freezes.")
        return
    columns = (
        Column("ENVIRONMENT", keep=True), Column("FREEZE", key=True), Column("NAME"), Column("FROM", keep=True, rank=1),
        Column("UNTIL", keep=True), Column("STATE", keep=True), Column("BY", rank=2), Column("REASON", rank=3),
    )  # fmt: skip
    print_table(columns, rows)


def _list_wide(api: ApiClient, *, as_json: bool) -> None:
    found = stops(api, FREEZES)
    if as_json:
        print_json([each.model_dump(mode="json") for each in found])
        return
    print_stops(found, "No freezes of many services.")


@app.command(
    epilog=example("hybridci freeze remove checkout freeze-3f2a9c01", "hybridci freeze remove freeze-77aa01bc")
)
def remove(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="The service, or the id of a freeze of many.")],
    freeze: Annotated[
        str | None, typer.Argument(metavar="FREEZE", help="Its id or its name, as `freeze list` shows it.")
    ] = None,
    environment: Annotated[str | None, typer.Option("--environment", "-e", help="Only of this environment.")] = None,
    reason: MaybeWhy = None,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """End a freeze before its time: what waits is rolled out."""
    with open_api(data_dir) as api:
        if freeze is None:
            left: Any = api.request("DELETE", f"{FREEZES}/{service}", body=given({"reason": reason, "by": by}))
            if as_json:
                print_json(left)
                return
            say(f"Freeze {service} of many services removed.")
            return
        state, found = _find(api, _environments(api, service, environment), service, freeze)
        path = service_path(service, "environments", state.environment, "freezes", found.freeze_id)
        answer: Any = api.request("DELETE", path, body=given({"reason": reason, "by": by}))
        tell_environment(answer, f"freeze {found.name} removed", as_json=as_json)


@app.command(epilog=example('hybridci freeze override checkout@1.4.3 --reason "repairs the outage"'))
def override(
    deployment: DeploymentArgument, reason: Why, by: As = None, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Let one deployment go on in spite of a freeze; who did so and why is kept in the trail."""
    with open_api(data_dir) as api:
        deployment_id = find_deployment(api, deployment, prefer=is_on_its_way, strict=True)
        answer = command_deployment(api, deployment_id, "override-freeze", {"reason": reason, "by": by})
        tell_deployment(api, answer, "does not wait for the freeze", as_json=as_json)


def _add_wide(api: ApiClient, body: dict[str, Any], *, as_json: bool) -> None:
    if body["reason"] is None:
        raise CliError("A freeze of many services needs a --reason: all of them see it.", USAGE)
    record: Any = api.request("POST", FREEZES, body=given(body))
    if as_json:
        print_json(record)
        return
    frozen = LineStop.model_validate(record)
    begins = "frozen" if frozen.in_force(now_ms()) else f"will be frozen from {clock(frozen.starts_at)} on"
    say(f"{frozen.scope.words()}: {begins} until {clock(frozen.ends_at)} ({frozen.name}).")
    note(f"End it before its time with `{api.command(f'freeze remove {frozen.stop_id}')}`.")


def _one(environments: Sequence[str] | None) -> str:
    if environments is not None and len(environments) > 1:
        raise CliError("One service is frozen in one environment at a time; for several, use --service.", USAGE)
    return environments[0] if environments else PRODUCTION


def _what_was_added(name: str, starts_at: int | None) -> str:
    later = starts_at is not None and starts_at > now_ms()
    return f"will be frozen from {clock(starts_at)} on ({name})" if later else f"frozen ({name})"


def _environments(api: ApiClient, service: str, only: str | None) -> list[EnvironmentState]:
    """All environments of a service, or the named one. Raises CliError for a name that it does not have."""
    if only is not None:
        return [EnvironmentState.model_validate(api.get(service_path(service, "environments", only)))]
    listed: Any = api.get(service_path(service, "environments"))
    return [EnvironmentState.model_validate(item) for item in listed["items"]]


def _find(
    api: ApiClient, states: Sequence[EnvironmentState], service: str, text: str
) -> tuple[EnvironmentState, Freeze]:
    all_of_them = [(state, each) for state in states for each in state.freezes]
    found = [pair for pair in all_of_them if pair[1].freeze_id == text]
    found = found or [pair for pair in all_of_them if pair[1].name == text]
    if len(found) > 1:
        where = ", ".join(f"{each.freeze_id} in {state.environment}" for state, each in found)
        raise CliError(f"{len(found)} freezes are called {text} ({where}): give the id, or --environment.", USAGE)
    if not found:
        raise CliError(
            f"{service} has no freeze {text!r} that was added by hand: see `{api.command(f'freeze list {service}')}`. "
            "Recurring ones are in its definition and are changed with `hybridci service apply`."
        )
    return found[0]


def _rows(state: EnvironmentState, definition: Service) -> list[tuple[object, ...]]:
    now = now_ms()
    rows: list[tuple[object, ...]] = [
        (
            state.environment, each.freeze_id, each.name, clock(each.starts_at), clock(each.ends_at),
            "over" if each.ends_at <= now else "FROZEN" if each.starts_at <= now else "to come", each.by,
            each.reason or None,
        )
        for each in state.freezes
    ]  # fmt: skip
    for window in _recurring(definition, state.environment):
        frozen = state.frozen_until is not None and state.frozen_by == window.name
        rows.append(
            (
                state.environment, "recurring", window.name, f"{window.cron} {window.timezone}",
                f"for {span(window.duration_seconds)}",
                f"FROZEN until {clock(state.frozen_until)}" if frozen else None, None, None,
            )
        )  # fmt: skip
    return rows


def _recurring(definition: Service, environment: str) -> Sequence[FreezeWindow]:
    """Of a definition in the repository, those of the service's policy."""
    rules = definition.spec.policy
    found = definition.spec.environments if rules is None else rules.environments
    return next((each.freeze_windows for each in found if each.name == environment), list[FreezeWindow]())


def _as_json(state: EnvironmentState, recurring: Sequence[Any]) -> dict[str, Any]:
    return {
        "environment": state.environment,
        "frozen_until": state.frozen_until,
        "frozen_by": state.frozen_by,
        "freezes": [each.model_dump(mode="json") for each in state.freezes],
        "freeze_windows": [each.model_dump(mode="json") for each in recurring],
    }
