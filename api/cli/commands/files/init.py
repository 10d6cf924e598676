"""`hybridci init`: a first file for the repository one stands in. Exit codes: see ``common``."""

import os
import secrets
import stat
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from api.cli.beginning.guesses import guess
from api.cli.beginning.repository import look
from api.cli.beginning.text import DEFAULT_PORT_URL, in_a_line, in_command, job_file, service_file
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
    say(f"Wrote {in_a_line(str(path))}: a {'job' if job else f'service named {repo.name}'}.")
    if not job:
        say(f"  name      {repo.name}  (from {repo.named_by})")
        say(f"  git_repo  {repo.address}  ({in_a_line(repo.why)})")
    for step in [*found.build, *found.test] if job else found.all():
        say(f"  step      {step.name}: {'; '.join(step.run.splitlines())}  (from {in_a_line(step.because)})")
    if not found.test:
        note("Nothing says how this repository is tested: a step is left for you to write.")
    if not job and not found.deploy:
        note("Nothing says how it is deployed: the steps of staging and production are left for you to write.")
    say("Next:")
    if job:
        say(f"  hybridci job submit -F {in_command(str(path))} --wait")
        return
    say(f"  hybridci service apply -f {in_command(str(path))}")
    say(f"  hybridci deploy start {repo.name} --version 0.1.0 --watch")


def _url() -> str:
    try:
        return find_keyless_connection().url
    except CliError:
        return DEFAULT_PORT_URL


def _write(path: Path, text: str, *, force: bool) -> None:
    """A new file; with ``force`` it takes the place of the one there, whole, and what a link names is never written."""
    try:
        if force and os.path.lexists(path):
            _replace(path, text)
            return
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CliError(f"{path} is there already: look at it, or write over it with --force.", USAGE) from None
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}.", USAGE) from None


def _replace(path: Path, text: str) -> None:
    there = path.lstat().st_mode
    if not stat.S_ISREG(there):
        kind = "a link" if stat.S_ISLNK(there) else "no file"
        raise CliError(f"{path} is {kind}: remove it, or name another file with --output.", USAGE)
    new = path.with_name(f".{secrets.token_hex(8)}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, stat.S_IMODE(there))
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, stat.S_IMODE(there))
            file.write(text)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
