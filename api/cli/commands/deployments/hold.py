"""`hybridci hold`: stop many services at once, until somebody lets them go. Exit codes: see ``common``.

Deliberately not here: one environment's hold (`deploy hold`), what ends by its time (`freeze`).
"""

import uuid
from typing import Annotated, Any

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.commands.common import AsJson, DataDir, example, open_api, sub_app
from api.cli.commands.deployments.requests import As, MaybeWhy, Why, given
from api.cli.commands.deployments.scope import (
    HOLDS,
    AllServices,
    Environments,
    Exceptions,
    Labels,
    Services,
    print_stops,
    scope_of,
    stops,
)
from api.cli.output import note, print_json, say
from workflows.contracts.deployments.line import LineStop

app = sub_app("Holds of many services at once. Rollbacks go on. One environment's is `deploy hold`.")


@app.command(
    epilog=example(
        'hybridci hold add --all --environment production --reason "incident 4711"',
        'hybridci hold add --label team=payments --except checkout --reason "the bank is down"',
    )
)
def add(
    reason: Why,
    everything: AllServices = False,
    labels: Labels = None,
    services: Services = None,
    exceptions: Exceptions = None,
    environments: Environments = None,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Let nothing of these services be rolled out until `hold release`; what is under way stops at its next step."""
    scope = scope_of(everything, labels, services, exceptions, environments)
    if scope is None:
        raise CliError("Say which services: --all, --label NAME=VALUE or --service SERVICE.", USAGE)
    hold_id = f"hold-{uuid.uuid4().hex[:8]}"  # of our own: a lost answer can be asked for again
    with open_api(data_dir) as api:
        record: Any = api.request(
            "POST", HOLDS, body=given({"scope": scope, "reason": reason, "hold_id": hold_id, "by": by})
        )
        if as_json:
            print_json(record)
            return
        held = LineStop.model_validate(record)
        say(f"{held.scope.words()}: on hold by {held.by}.")
        note(f"Release it with `{api.command(f'hold release {held.stop_id}')}`.")


@app.command("list", epilog=example("hybridci hold list"))
def list_holds(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the holds of many services."""
    with open_api(data_dir) as api:
        found = stops(api, HOLDS)
    if as_json:
        print_json([each.model_dump(mode="json") for each in found])
        return
    print_stops(found, "No holds of many services.")


@app.command(epilog=example("hybridci hold release hold-3f2a9c01"))
def release(
    hold: Annotated[str, typer.Argument(metavar="HOLD", help="Its id, as `hold list` shows it.")],
    reason: MaybeWhy = None,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Lift a hold of many services: what waits is rolled out."""
    with open_api(data_dir) as api:
        record: Any = api.request("DELETE", f"{HOLDS}/{hold}", body=given({"reason": reason, "by": by}))
    if as_json:
        print_json(record)
        return
    say(f"Hold {hold} released.")
