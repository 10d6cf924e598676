"""`hybridci init`: a first file for the repository one stands in. Exit codes: see ``common``."""

import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from api.cli.beginning.guesses import guess
from api.cli.beginning.repository import look
from api.cli.beginning.text import DEFAULT_PORT_URL, job_file, service_file
from api.cli.client.connection import USAGE, CliError, find_keyless_connection
from api.cli.commands.common import CommandGroup, example
from api.cli.output import note, say
from workflows.contracts.deployments.services import DEFINITION_FILE

JOB_FILE: Final = "hybridci-job.yml"

app = typer.Typer(
    cls=CommandGroup,
    help="Write a first, commented service file (or job file) from the repository you stand in.",
    epilog=example("hybridci init", "hybridci init --job", "hybridci init --stdout > checkout.yml"),
)


@app.callback(invoke_without_command=True)
def init(
    job: Annotated[bool, typer.Option("--job", help=f"A job instead of a service: {JOB_FILE}.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help=f"The file. Default: {DEFINITION_FILE} at the top.")
    ] = None,
    stdout: Annotated[bool, typer.Option("--stdout", help="Print it and write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Take the place of a file that is there.")] = False,
) -> None:
    """Guesses from pyproject.toml, package.json, go.mod, Cargo.toml, Makefile and others, and says what it guessed."""
    repo = look(Path.cwd())
    found = guess(repo.top)
    path = output or Path(os.path.relpath(repo.top / (JOB_FILE if job else DEFINITION_FILE)))
    url = _url()
    text = job_file(found, path=str(path), url=url) if job else service_file(repo, found, path=str(path), url=url)
    if stdout:
        sys.stdout.write(text)
        return
    _write(path, text, force=force)
    say(f"Wrote {path}: a {'job' if job else f'service named {repo.name}'}.")
    if not job:
        say(f"  name      {repo.name}  (from {repo.named_by})")
        say(f"  git_repo  {repo.address}  ({repo.why})")
    for step in [*found.build, *found.test] if job else found.all():
        say(f"  step      {step.name}: {'; '.join(step.run.splitlines())}  (from {step.because})")
    if not found.test:
        note("Nothing says how this repository is tested: a step is left for you to write.")
    if not job and not found.deploy:
        note("Nothing says how it is deployed: the steps of staging and production are left for you to write.")
    say("Next:")
    if job:
        say(f"  hybridci job submit -F {path} --wait")
        return
    say(f"  hybridci service apply -f {path}")
    say(f"  hybridci deploy start {repo.name} --version 0.1.0 --watch")


def _url() -> str:
    try:
        return find_keyless_connection().url
    except CliError:
        return DEFAULT_PORT_URL


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CliError(f"{path} is there already: look at it, or write over it with --force.", USAGE) from None
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}.", USAGE) from None
