"""`hybridci webhook`: which tools can trigger what, and what a captured payload would do. Exit codes: see ``common``.

Offline: manifests are read from this installation (and the folder that HYBRIDCI_WEBHOOK_MANIFESTS or --manifests
names). Only ``--send`` speaks to a server, and then as the tool would; so do the commands of ``history``. Deliberately
not here: reading what was captured (``captured``), what it would do (``trying``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.commands.common import AsJson, example, sub_app
from api.cli.commands.webhooks import history
from api.cli.commands.webhooks.captured import (
    add_content_type,
    add_event,
    captured_request,
    file_bytes,
    headers_of_file,
    headers_of_options,
)
from api.cli.commands.webhooks.trying import delivery_of, require_event, send_it, services_of, show_decision
from api.cli.output import Column, note, print_fields, print_json, print_table, say

if TYPE_CHECKING:
    from api.webhooks.loading import Provider

app = sub_app("Webhooks of other tools: which there are, and what they do.")
app.command("deliveries", epilog=example("hybridci webhook deliveries --outcome ignored --since 2h"))(
    history.deliveries
)
app.command("show", epilog=example("hybridci webhook show 3f2a91c0"))(history.show)
app.command("replay", epilog=example("hybridci webhook replay 3f2a91c0 --start-again"))(history.replay)

Manifests = Annotated[
    Path | None,
    typer.Option(
        "--manifests", envvar="HYBRIDCI_WEBHOOK_MANIFESTS", help="Folder with manifests of your own, beside ours."
    ),
]


@app.command("list", epilog=example("hybridci webhook list", "hybridci webhook list --json"))
def list_providers(manifests: Manifests = None, as_json: AsJson = False) -> None:
    """All tools that can send webhooks here, and the variable that holds the secret of each."""
    from api.webhooks.secrets import secret_variable

    providers = _providers(manifests)
    rows = [
        {
            "name": provider.name,
            "title": provider.manifest.title,
            "path": f"/api/webhooks/{provider.name}",
            "verify": [scheme.scheme for scheme in provider.manifest.verify],
            "secret": secret_variable(provider.name),
            "events": list(dict.fromkeys(event for rule in provider.manifest.rules for event in rule.on)),
            "actions": list(dict.fromkeys(rule.action.value for rule in provider.manifest.rules)),
            "source": provider.source,
            "docs": provider.manifest.docs,
        }
        for provider in providers.values()
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        [
            Column("PROVIDER", key=True),
            Column("TOOL", rank=1),
            Column("VERIFIED BY", rank=2),
            Column("ACTIONS"),
            Column("SECRET IN", key=True),
        ],
        [
            (
                row["name"],
                row["title"],
                ", ".join(dict.fromkeys(row["verify"])),
                ", ".join(row["actions"]),
                row["secret"],
            )
            for row in rows
        ],
    )
    note("`hybridci webhook test PROVIDER --payload FILE` shows what a captured payload would do.")


@app.command("provider", epilog=example("hybridci webhook provider github"))
def show_provider(
    provider: Annotated[str, typer.Argument(help="Name of the provider, as `hybridci webhook list` shows it.")],
    manifests: Manifests = None,
    as_json: AsJson = False,
) -> None:
    """Show one tool: where it sends to, how that is verified, what each rule is for and does."""
    from api.webhooks.secrets import secret_variable

    chosen = _chosen(_providers(manifests), provider)
    manifest = chosen.manifest
    if as_json:
        print_json({"name": chosen.name, "source": chosen.source, **manifest.model_dump(mode="json")})
        return
    print_fields(
        [
            ("Provider", f"{chosen.name} ({chosen.source})"),
            ("Tool", manifest.title),
            ("Sends to", f"/api/webhooks/{chosen.name}"),
            ("Verified by", ", ".join(dict.fromkeys(scheme.scheme for scheme in manifest.verify))),
            ("Secret in", secret_variable(chosen.name)),
            ("Documentation", manifest.docs),
        ]
    )
    say("\nRules, in order: the first that matches counts")
    for rule in manifest.rules:
        say(f"  {rule.name} ({rule.action}), for {', '.join(rule.on) or 'every event'}" + f": {rule.reason}")
    note(f"`hybridci webhook test {chosen.name} --payload FILE` shows what a captured payload would do.")


@app.command(
    "test",
    epilog=example(
        "hybridci webhook test github --payload push.json --event push",
        "hybridci webhook test github --payload push.json --headers push.headers --send http://127.0.0.1:8000"
        " --secret-file github.secret",
    ),
)
def dry_run(
    provider: Annotated[str, typer.Argument(help="Name of the provider, as `hybridci webhook list` shows it.")],
    payload: Annotated[
        Path,
        typer.Option("--payload", help="The body, byte for byte as it was sent; or a JSON object of headers and body."),
    ],
    header: Annotated[
        list[str] | None, typer.Option("--header", help="NAME=VALUE or 'NAME: VALUE'; repeatable.")
    ] = None,
    headers: Annotated[Path | None, typer.Option("--headers", help="File with one 'Name: value' a line.")] = None,
    event: Annotated[str | None, typer.Option("--event", help="The event, where the headers do not tell it.")] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(
            "--service",
            help="A service's file, or NAME=REPOSITORY[#BRANCH]; repeatable. Without, all are taken for registered.",
        ),
    ] = None,
    send: Annotated[str | None, typer.Option("--send", metavar="URL", help="Sign it and send it to this API.")] = None,
    secret_file: Annotated[Path | None, typer.Option("--secret-file", help="The secret to sign with.")] = None,
    manifests: Manifests = None,
    as_json: AsJson = False,
) -> None:
    """What a captured payload would do: the event, the rule that matches and why the others do not, the action.

    Nothing is done, unless --send is given. Exit code 0 also when no rule matches; 1 when an action, or the whole
    delivery with --send, is refused; 2 when it cannot be read or the API does not answer.
    """
    chosen = _chosen(_providers(manifests), provider)
    captured, body = captured_request(file_bytes(payload, "--payload"))
    given = {**captured, **headers_of_file(headers), **headers_of_options(header or [])}
    add_content_type(given, body)
    if event is not None:
        add_event(chosen, given, event)
    if send is not None:
        send_it(chosen, send, secret_file, body, given, as_json=as_json)
        return
    delivery = delivery_of(chosen, body, given, event)
    require_event(chosen, delivery)
    show_decision(chosen, delivery, services_of(service), as_json=as_json)


def _providers(manifests: Path | None) -> "Mapping[str, Provider]":
    from api.webhooks.loading import BadManifests, load_providers

    try:
        return load_providers(manifests)
    except BadManifests as error:
        raise CliError(str(error), USAGE) from None


def _chosen(providers: "Mapping[str, Provider]", name: str) -> "Provider":
    from difflib import get_close_matches

    if name not in providers:
        near = get_close_matches(name.lower(), providers, n=1, cutoff=0.6)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise CliError(f"There is no provider {name!r}.{meant} There are: {', '.join(providers)}.", USAGE)
    return providers[name]
