"""`hybridci agents`: list, show, drain, pause, resume, deregister. Exit codes: see ``common``.

Deliberately not here: running an agent (`hybridci agent`).
"""

from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from api.agents.schemas import AgentView
from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import ApiClient, ApiRefused
from api.cli.client.submit import parse_duration
from api.cli.commands.common import All, AsJson, DataDir, Limit, Reason, example, for_each, open_api, sub_app
from api.cli.commands.fleet.agent_views import print_agent, print_agents
from api.cli.output import print_json, say
from workflows.contracts.agents import AgentStatus

app = sub_app("Agents: who is there, how they are, and what they are told.")
AGENTS: Final = "/api/agents"
_NOT_FOUND: Final = 404
_SEARCHED: Final = 1000
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of agents, or the beginnings of them.")]


@app.command("list", epilog=example("hybridci agents list --pool linux", "hybridci agents list --status OFFLINE"))
def list_agents(
    pool: Annotated[str | None, typer.Option(help="Only agents of this pool.")] = None,
    status: Annotated[AgentStatus | None, typer.Option(case_sensitive=False, help="Only agents in this state.")] = None,
    limit: Limit = 100,
    everything: All = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List agents by id: whether they are well, what they run, why they take nothing."""
    with open_api(data_dir) as api:
        page = api.page(AGENTS, {"pool": pool, "status": status}, limit=None if everything else limit)
    if as_json:
        print_json(page["items"] if everything else page)
    else:
        print_agents([AgentView.model_validate(item) for item in page["items"]])


@app.command(epilog=example("hybridci agents show linux-build-01"))
def show(
    agent: Annotated[str, typer.Argument(metavar="ID", help="The agent's id, or the beginning of it.")],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show one agent: how it is, what it runs, and what to do next."""
    with open_api(data_dir) as api:
        found = _find(api, agent)
        if as_json:
            print_json(found)
        else:
            print_agent(AgentView.model_validate(found), api)


@app.command(epilog=example('hybridci agents drain linux-build-01 --reason "kernel update"'))
def drain(agents: Ids, reason: Reason = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Let agents finish what they run, take nothing new, and end."""
    _tell_all(data_dir, agents, "drain", {"reason": reason}, "drains", as_json=as_json)


@app.command(epilog=example('hybridci agents pause linux-build-01 --for 30m --note "disk is being replaced"'))
def pause(
    agents: Ids,
    note: Annotated[str | None, typer.Option("--note", help="Why; shown beside the agent.")] = None,
    lasts: Annotated[str | None, typer.Option("--for", metavar="DURATION", help="Such as 30m. Default: until resumed.")]
    = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:  # fmt: skip
    """Let agents take nothing new for a while; what they run goes on."""
    seconds = None if lasts is None else parse_duration(lasts, "--for")
    _tell_all(data_dir, agents, "pause", {"note": note, "seconds": seconds}, "is paused", as_json=as_json)


@app.command(epilog=example("hybridci agents resume linux-build-01"))
def resume(agents: Ids, reason: Reason = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Let paused or draining agents take jobs again."""
    _tell_all(data_dir, agents, "resume", {"reason": reason}, "takes jobs again", as_json=as_json)


@app.command(epilog=example("hybridci agents deregister linux-build-01"))
def deregister(agents: Ids, reason: Reason = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Take agents that are gone from the list. One that is alive loses its token, and is back when it registers."""
    _tell_all(data_dir, agents, "", {"reason": reason}, "is deregistered", as_json=as_json, method="DELETE")


def _tell_all(
    data_dir: DataDir,
    agents: list[str],
    command: str,
    body: dict[str, Any],
    done: str,
    *,
    as_json: bool,
    method: str = "POST",
) -> None:
    given = {name: value for name, value in body.items() if value is not None}
    with open_api(data_dir) as api:

        def act(text: str) -> Any:
            path = _path(str(_find(api, text)["agent_id"]))
            return api.request(method, f"{path}/{command}" if command else path, body=given)

        def tell(answer: Any) -> None:
            view = AgentView.model_validate(answer)
            say(f"{view.agent_id}: {done}" + (f" ({'; '.join(view.words)})" if view.words else ""))

        for_each(agents, act, tell, as_json=as_json)


def _find(api: ApiClient, text: str) -> dict[str, Any]:
    """The agent of this id, or the only one whose id begins so."""
    try:
        exact: dict[str, Any] = api.get(_path(text))
    except ApiRefused as error:
        if error.status != _NOT_FOUND:
            raise
    else:
        return exact
    found = [item for item in api.page(AGENTS, {}, limit=_SEARCHED)["items"] if item["agent_id"].startswith(text)]
    if not found:
        raise CliError(f"No agent has an id that begins with {text!r}: see `{api.command('agents list')}`.")
    if len(found) > 1:
        shown = ", ".join(item["agent_id"] for item in found[:4]) + (", …" if len(found) > 4 else "")
        raise CliError(f"{text} begins the ids of {len(found)} agents ({shown}). Give more of it.", USAGE)
    return found[0]


def _path(agent_id: str) -> str:
    return f"{AGENTS}/{quote(agent_id, safe='')}"
