"""`hybridci deploy ban`, `unban` and `bans`: what of a service nothing brings back but a person.

They belong to `hybridci deploy`, which adds them. Exit codes: see ``common``.
"""

from typing import Annotated, Any

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.commands.common import AsJson, DataDir, example, open_api, sub_app
from api.cli.commands.deployments.requests import As, ServiceArgument, Why, given, service_path
from api.cli.output import Column, clock, note, print_json, print_table, say
from workflows.contracts.deployments.bans import Ban

app = sub_app("Ban versions of services.")

WhatArgument = Annotated[
    str, typer.Argument(metavar="SERVICE[@VERSION]", help="The service, with the version unless --commit is given.")
]
CommitOption = Annotated[str | None, typer.Option("--commit", "--sha", help="This commit, its whole id.")]


@app.command(
    epilog=example(
        'hybridci deploy ban checkout@1.1 --reason "loses orders"',
        'hybridci deploy ban checkout --commit 9f1c… --reason "leaks a key"',
    )
)
def ban(
    what: WhatArgument,
    reason: Why,
    commit: CommitOption = None,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Let no webhook, schedule or start bring a version or a commit back, and no rollback by itself.

    What waits for its turn ends; what is live stays, until you roll it back.
    """
    service, body = _asked(what, commit, reason, by)
    with open_api(data_dir) as api:
        answer: Any = api.request("POST", service_path(service, "bans"), body=body)
    _tell(service, answer, "banned", as_json=as_json)


@app.command(epilog=example('hybridci deploy unban checkout@1.1 --reason "it was the load balancer"'))
def unban(
    what: WhatArgument,
    reason: Why,
    commit: CommitOption = None,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Lift every ban of a version, or of a commit."""
    service, body = _asked(what, commit, reason, by)
    with open_api(data_dir) as api:
        answer: Any = api.request("DELETE", service_path(service, "bans"), body=body)
    _tell(service, answer, "banned no more", as_json=as_json)


@app.command("bans", epilog=example("hybridci deploy bans checkout"))
def list_bans(service: ServiceArgument, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List what is banned of a service, newest first."""
    with open_api(data_dir) as api:
        answer: Any = api.get(service_path(service, "bans"))
    if as_json:
        print_json(answer["items"])
        return
    items = [Ban.model_validate(each) for each in answer["items"]]
    if not items:
        say(f"Nothing of {service} is banned.")
        return
    columns = (
        Column("VERSION", key=True), Column("COMMIT", keep=True), Column("SINCE", rank=1), Column("BY"),
        Column("LEFT BY A ROLLBACK OF", rank=2), Column("REASON", rank=1),
    )  # fmt: skip
    rows = [
        (
            each.version, (each.git_commit_sha or "")[:12] or None, clock(each.at), each.by,
            (each.deployment_id or "")[:8] or None, each.reason,
        )
        for each in items
    ]  # fmt: skip
    print_table(columns, rows)


def _asked(what: str, commit: str | None, reason: str, by: str | None) -> tuple[str, dict[str, Any]]:
    """The service, and the request. Raises CliError when neither a version nor a commit is named."""
    service, _, version = what.partition("@")
    if not version and commit is None:
        raise CliError(f"Name a version, as in {service}@1.1, or a commit with --commit.", USAGE)
    return service, given({"version": version or None, "git_commit_sha": commit, "reason": reason, "by": by})


def _tell(service: str, answer: Any, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    what = ", ".join(Ban.model_validate(each).what for each in answer["changed"])
    say(f"{what or 'It'} of {service}: {done}.")
    for each in answer["notes"]:
        note(each)
