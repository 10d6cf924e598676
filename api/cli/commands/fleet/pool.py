"""`hybridci pool`: list, show, scale, pin-keys. Exit codes: see ``common``."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import ApiClient, ApiRefused
from api.cli.client.submit import parse_duration
from api.cli.commands.common import AsJson, DataDir, Reason, example, open_api, sub_app
from api.cli.commands.fleet.agent_views import print_pool, print_pools
from api.cli.output import note, print_json, say
from api.cli.scaling.scaler import POOLS
from api.wording import counted
from workflows.contracts.agents import PoolBounds, PoolView

app = sub_app("Pools: what waits, who is there, and how many agents there should be.")
PoolName = Annotated[str, typer.Argument(metavar="POOL", help="The pool's name.")]


@app.command("list", epilog=example("hybridci pool list"))
def list_pools(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List pools: what waits in each, who is there, how many agents it should have."""
    with open_api(data_dir) as api:
        answer: Any = api.get(POOLS)
    if as_json:
        print_json(answer)
    else:
        print_pools([PoolView.model_validate(item) for item in answer["items"]])


@app.command(epilog=example("hybridci pool show linux"))
def show(pool: PoolName, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show one pool, with what its waiting jobs demand of agents."""
    with open_api(data_dir) as api:
        answer: Any = api.get(_path(pool))
        if as_json:
            print_json(answer)
        else:
            print_pool(PoolView.model_validate(answer), api)


@app.command(epilog=example("hybridci pool scale default --min 1 --max 4 --wait 30s"))
def scale(
    pool: PoolName,
    least: Annotated[int | None, typer.Option("--min", min=0, max=10_000, help="Never fewer agents.")] = None,
    most: Annotated[int | None, typer.Option("--max", min=0, max=10_000, help="Never more agents.")] = None,
    wait: Annotated[str | None, typer.Option("--wait", help="How long a job may wait, such as 30s.")] = None,
    slots: Annotated[int | None, typer.Option("--slots", min=1, max=1000, help="What a new agent offers.")] = None,
    reason: Reason = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Set the bounds of a pool; what is left out stays. `hybridci up`, or a scaler, starts and stops agents by them."""
    given = {
        "min_agents": least,
        "max_agents": most,
        "target_wait_seconds": None if wait is None else parse_duration(wait, "--wait"),
        "slots_per_agent": slots,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    with open_api(data_dir) as api:
        bounds = {**_present(api, pool).model_dump(), **changes}
        bounds["max_agents"] = max(bounds["max_agents"], bounds["min_agents"]) if most is None else most
        answer: Any = api.request("POST", f"{_path(pool)}/scale", body={**bounds, "reason": reason})
        if as_json:
            print_json(answer)
            return
        view = PoolView.model_validate(answer)
        most_agents = counted(view.bounds.max_agents, "agent")
        say(f"{pool}: {view.bounds.min_agents} to {most_agents}, now {view.desired_agents} desired")
        note(
            "`hybridci up` scales its own agents of pool default by this; elsewhere run "
            f"`{api.command(f'scaler --pool {pool} --command …')}`."
        )


@app.command(epilog=example("hybridci pool pin-keys linux 3jmcN0nWWl8bT6kLxXv0qk1Zt9m5v1Ck6cQmG2VYw0E="))
def pin_keys(
    pool: PoolName,
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY…", help="As `hybridci pool-key show --file FILE` prints them on an agent's host."),
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Take away those that are pinned.")] = False,
    reason: Reason = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Pin the public keys to which `hybridci seal` seals values for a pool, in place of those that were pinned.

    What an agent says of its keys is not enough: whoever has the pool's key could register one of their own.
    """
    from api.cli.keys.sealing import public_key_id

    if bool(keys) == none:
        raise CliError("Name the keys to pin, or --none to take all away.", USAGE)
    ids = [public_key_id(key) for key in keys or []]
    with open_api(data_dir) as api:
        answer: Any = api.request("PUT", f"{_path(pool)}/sealing-keys", body={"keys": keys or [], "reason": reason})
    if as_json:
        print_json(answer)
    elif ids:
        say(f"{pool}: values are sealed to key {ids[0]}" + (f" (pinned too: {', '.join(ids[1:])})" if ids[1:] else ""))
    else:
        say(f"{pool}: values are sealed to no key")


def _present(api: ApiClient, pool: str) -> PoolBounds:
    """The bounds as they are; the default ones for a pool of which nothing was ever said."""
    try:
        return PoolView.model_validate(api.get(_path(pool))).bounds
    except ApiRefused as error:
        if error.status != 404:
            raise
        return PoolBounds()


def _path(pool: str) -> str:
    return f"{POOLS}/{quote(pool, safe='')}"
