"""The `hybridci` command: its sub-commands and their options.

Light on purpose: `up` and every process start through here, so nothing but typer is imported until a command is
chosen. Deliberately not here: what the commands do.
"""

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from api.cli.bash_words import join_words
from api.cli.directory import SHORTCUTS, WORDS, in_order
from api.cli.groups import NearGroup
from api.cli.numbers import finite
from api.http.interpreter import leave, load_less
from hybridci_command import COMPLETE_VARIABLE, shadowed

CLIENT_GROUPS: Final[Mapping[str, str]] = {
    "login": "api.cli.commands.access.login",
    "logout": "api.cli.commands.access.logout",
    "whoami": "api.cli.commands.access.whoami",
    "context": "api.cli.commands.access.context",
    "status": "api.cli.commands.overview.status",
    "doctor": "api.cli.commands.overview.doctor",
    "job": "api.cli.commands.job",
    "dlq": "api.cli.commands.dlq",
    "queue": "api.cli.commands.queue",
    "agents": "api.cli.commands.fleet.agents",
    "pool": "api.cli.commands.fleet.pool",
    "service": "api.cli.commands.service",
    "deploy": "api.cli.commands.deployments.deploy",
    "freeze": "api.cli.commands.deployments.freeze",
    "hold": "api.cli.commands.deployments.hold",
    "webhook": "api.cli.commands.webhooks.webhook",
    "codec": "api.cli.commands.codec",
    "key": "api.cli.commands.access.key",
    "token": "api.cli.commands.access.token",
    "events": "api.cli.commands.events",
    "audit": "api.cli.commands.evidence",
    "init": "api.cli.commands.files.init",
    "schema": "api.cli.commands.files.schema",
    "health": "api.cli.commands.health",
    "open": "api.cli.commands.access.open_dashboard",
    "ask": "api.cli.commands.fleet.ask",
    "repair": "api.cli.commands.repair",
    "storage": "api.cli.commands.storage",
    "seal": "api.cli.commands.fleet.seal",
    "pool-key": "api.cli.commands.fleet.pool_key",
    "approver": "api.cli.commands.deployments.approver",
    "control-key": "api.cli.commands.deployments.control_key",
}
"""Sub-apps that speak HTTP to the API: name → module with its typer ``app``, imported when it is called for. One that
takes arguments itself has its ``command`` besides.
"""


class _Root(NearGroup):
    """Knows the client's sub-apps by name and imports one only when it is used, not to list it."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order in which the help page has them."""
        return in_order(self.place, [*super().list_commands(ctx), *CLIENT_GROUPS, *SHORTCUTS])

    def near(self, ctx: Any, word: str) -> str | None:
        """As ever, and by the other words for it."""
        return super().near(ctx, word) or WORDS.get(word)

    def load(self, ctx: Any, name: str) -> Any:
        """Of exactly this name."""
        if name in SHORTCUTS:
            group, own = SHORTCUTS[name]
            return self.load(ctx, group).get_command(ctx, own)
        if name not in CLIENT_GROUPS:
            return super().load(ctx, name)
        module = importlib.import_module(CLIENT_GROUPS[name])
        group: Any = module.command if hasattr(module, "command") else typer.main.get_group(module.app)
        group.name = group.place = name
        return group

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """`agent` is a process and takes no words: with one, the agents are meant."""
        name, rest = self.near(ctx, args[0]), args[1:]
        if name == "agent" and rest and not rest[0].startswith("-"):
            name = "agents"
        if name is not None and name in SHORTCUTS:
            name, own = SHORTCUTS[name]
            rest = [own, *rest]
        return super().resolve_command(ctx, args if name is None else [name, *rest])


app = typer.Typer(
    cls=_Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; a part of it that is not ours is told, and exit code 2."""
    if (said := shadowed()) is not None:
        sys.stderr.write(f"hybridci: {said}\n")
        raise SystemExit(2)
    load_less(grpc=True)  # commands that are processes decide for themselves
    if os.environ.get(COMPLETE_VARIABLE) == "complete_bash":
        join_words(os.environ)
    try:
        app()
    except SystemExit as end:
        if isinstance(end.code, int):
            leave(end.code)
        raise


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"hybridci {version('hybrid-ci-cd')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
    context: Annotated[
        str | None,
        typer.Option("--context", metavar="NAME", help="Work with this API (`hybridci context list`), this once."),
    ] = None,
) -> None:
    """Hybrid CI/CD: Temporal orchestrates, your agents execute."""
    if context is not None:
        os.environ["HYBRIDCI_CONTEXT"] = context


@app.command()
def up(
    data_dir: Annotated[
        Path, typer.Option(envvar="HYBRIDCI_DATA_DIR", help="Where all state lives; kept between runs.")
    ] = Path(".hybridci"),
    host: Annotated[
        str,
        typer.Option(
            help="Where the API listens. Temporal, its UI and the AWS APIs have no authentication and always stay on "
            "127.0.0.1."
        ),
    ] = "127.0.0.1",
    api_port: Annotated[int, typer.Option(min=1, max=65535, help="The API.")] = 8000,
    temporal_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Temporal, for agents and the CLI of Temporal.")
    ] = 7233,
    ui_port: Annotated[int, typer.Option(min=1, max=65535, help="Temporal's Web UI.")] = 8233,
    aws_port: Annotated[int, typer.Option(min=1, max=65535, help="The embedded AWS APIs.")] = 5070,
    gateway_port: Annotated[
        int, typer.Option(min=1, max=65535, help="The gateway, for agents on other machines; listens on --host.")
    ] = 7243,
    ports: Annotated[
        Literal["fixed", "auto"], typer.Option(help="auto: free ports instead of those that are taken.")
    ] = "fixed",
    agents: Annotated[int, typer.Option(min=0, max=64, help="How many agents to run in pool `default`.")] = 1,
    agent_capacity: Annotated[int, typer.Option(min=1, max=1000, help="Jobs that each agent runs at once.")] = 4,
    drain_seconds: Annotated[
        float,
        typer.Option(min=0, callback=finite, help="How long running jobs may go on when the stack is told to stop."),
    ] = 60,
    scale_down_seconds: Annotated[
        float,
        typer.Option(
            min=0, callback=finite, help="How long fewer agents must do before one is let go, once the pool has bounds."
        ),
    ] = 60,
) -> None:
    """Run everything on this machine: Temporal, AWS APIs, API, control worker, agents' gateway, agents.

    Ctrl-C or SIGTERM stops it all; a second one at once. Exit codes: 0 stopped, 1 something did not start, 2 nothing
    was started, and why.
    """
    from api.cli.stack.children import Options
    from api.cli.stack.up import run_up

    options = Options(
        host=host, api_port=api_port, temporal_port=temporal_port, ui_port=ui_port, aws_port=aws_port,
        gateway_port=gateway_port, ports=ports, agents=agents, agent_capacity=agent_capacity,
        drain_seconds=drain_seconds, scale_down_seconds=scale_down_seconds,
    )  # fmt: skip
    raise typer.Exit(run_up(data_dir, options))


@app.command()
def api(
    host: Annotated[str | None, typer.Option(help="Where to listen; HYBRIDCI_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="HYBRIDCI_PORT.")] = None,
) -> None:
    """Run the API alone, with settings from the environment."""
    _run("api", {"HYBRIDCI_HOST": host, "HYBRIDCI_PORT": port})


@app.command()
def worker() -> None:
    """Run the control worker alone, with settings from the environment."""
    _run("worker", {})


@app.command()
def agent(
    pool: Annotated[str | None, typer.Option(help="Pool whose jobs it runs; HYBRIDCI_AGENT_POOL.")] = None,
    capacity: Annotated[int | None, typer.Option(min=1, max=1000, help="HYBRIDCI_AGENT_CAPACITY.")] = None,
    directory: Annotated[Path | None, typer.Option(help="Workspaces and caches; HYBRIDCI_AGENT_DIR.")] = None,
) -> None:
    """Run one agent, with settings from the environment."""
    _run(
        "agent",
        {"HYBRIDCI_AGENT_POOL": pool, "HYBRIDCI_AGENT_CAPACITY": capacity, "HYBRIDCI_AGENT_DIR": directory},
    )


@app.command()
def gateway(
    host: Annotated[str | None, typer.Option(help="Where to listen; HYBRIDCI_GATEWAY_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="HYBRIDCI_GATEWAY_PORT.")] = None,
) -> None:
    """Run the gateway that lets agents elsewhere reach Temporal, with settings from the environment."""
    _run("gateway", {"HYBRIDCI_GATEWAY_HOST": host, "HYBRIDCI_GATEWAY_PORT": port})


@app.command()
def scaler(
    pools: Annotated[list[str] | None, typer.Option("--pool", help="Pool to scale; repeatable.")] = None,
    command: Annotated[
        str | None,
        typer.Option(help="Run in a shell when the number changes; it finds HYBRIDCI_DESIRED_AGENTS and others."),
    ] = None,
    webhook: Annotated[
        str | None, typer.Option(help="POST the numbers there; HYBRIDCI_SCALER_WEBHOOK_TOKEN is sent as bearer token.")
    ] = None,
    interval: Annotated[float, typer.Option(min=0.1, callback=finite, help="Seconds between two looks.")] = 15,
    cooldown: Annotated[
        float, typer.Option(min=0, callback=finite, help="Seconds for which fewer agents must do.")
    ] = 120,
    repeat: Annotated[
        float, typer.Option(min=1, callback=finite, help="Tell it again while the agents are not there; seconds.")
    ] = 300,
    once: Annotated[bool, typer.Option("--once", help="Look once and exit, for cron.")] = False,
    metrics_address: Annotated[
        str | None,
        typer.Option(
            envvar="HYBRIDCI_SCALER_METRICS_ADDRESS",
            help="Where it says how it is: host:port, or a port of this machine. Default: nowhere.",
        ),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Data directory of `hybridci up`.")] = None,
) -> None:
    """Tell something else how many agents a pool should have: a cloud, an orchestrator, a script.

    Its key needs to read the pool only. Exit codes: 0 told to stop, 1 with --once not done, 2 wrong options or key.
    """
    from api.cli.scaling.scaler import ScalerOptions, run_scaler

    options = ScalerOptions(
        tuple(pools or ["default"]), command, webhook, interval, cooldown, repeat, once, metrics_address
    )
    raise typer.Exit(run_scaler(options, data_dir))


@app.command()
def demo(
    data_dir: Annotated[
        Path | None, typer.Option(help="Where its state lives and stays. Default: a folder that goes with the demo.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running after the story, until Ctrl-C.")
    ] = False,
    api_port: Annotated[int | None, typer.Option(min=1, max=65535, help="The API. Default: a free port.")] = None,
    temporal_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Temporal. Default: a free port.")] = None,
    ui_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Temporal's Web UI. Default: a free port.")
    ] = None,
    aws_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The embedded AWS APIs. Default: a free port.")
    ] = None,
) -> None:
    """Watch a service go from its first commit to a rollback on this machine. Takes about a minute.

    Exit codes: 0 every check held, 1 one did not, 2 the stack did not start, 130 interrupted.
    """
    from api.cli.processes import stop_cleanly_while_loading

    stop_cleanly_while_loading()
    from api.cli.demo.run import demo_options, run_demo

    raise typer.Exit(run_demo(data_dir, demo_options(api_port, temporal_port, ui_port, aws_port), keep=keep))


@app.command()
def bench(
    as_json: Annotated[bool, typer.Option("--json", help="The whole result, for programs.")] = False,
    parts: Annotated[
        list[str] | None,
        typer.Option(
            "--part",
            help="Only this: latency, throughput, deployments, deployments-many, gateway, questions, memory, reads, "
            "heartbeats, or fleet, dashboard, checkout and artifacts (measured only when named). Repeatable.",
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, max=10_000, help="Of each latency; of those of a deployment a fourth.")
    ] = 100,
    jobs: Annotated[int, typer.Option(min=1, max=100_000, help="Trivial jobs to run for the throughput.")] = 500,
    deployments: Annotated[
        int, typer.Option(min=1, max=10_000, help="Deployments at once, four of each service.")
    ] = 200,
    stored: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="Jobs to store for the reads and the dashboard.")
    ] = 100_000,
    log_mib: Annotated[int, typer.Option(min=1, max=2000, help="Of the log that the dashboard opens.")] = 200,
    streams: Annotated[int, typer.Option(min=1, max=900, help="Dashboards that are open at once.")] = 200,
    agents: Annotated[int, typer.Option(min=1, max=10_000, help="Agents that send heartbeats.")] = 500,
    repository_mib: Annotated[
        int, typer.Option("--repository-mib", min=1, max=100_000, help="Size of the repository to check out.")
    ] = 2048,
    capacity: Annotated[int, typer.Option(min=1, max=1000, help="Jobs that run at once.")] = 4,
) -> None:
    """Measure this machine on a stack of its own, against the raw Temporal floor. Takes about ten minutes."""
    from api.cli.commands.bench import run_bench

    sizes = {
        "samples": samples, "jobs": jobs, "deployments": deployments, "stored": stored, "agents": agents,
        "log_mib": log_mib, "streams": streams, "repository_mib": repository_mib,
    }  # fmt: skip
    raise typer.Exit(run_bench(parts, **sizes, capacity=capacity, as_json=as_json))


def _run(name: str, options: Mapping[str, object]) -> None:
    from api.cli.processes import run_process

    raise typer.Exit(run_process(name, options))


if __name__ == "__main__":
    main()
