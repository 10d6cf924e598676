"""What every sub-command shares: its options, its connection, and how it ends.

Exit codes: 0 done; 1 the API said no or what was waited for did not succeed; 2 bad arguments, no server, no or wrong
key; 124 the job timed out; 130 interrupted, or the job was cancelled; 141 the reader of stdout went away. Waiting for a
job whose command failed exits with the command's own code.
"""

import os
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from api.cli.client.connection import BROKEN_PIPE, INTERRUPTED, CliError, data_folder, find_connection
from api.cli.client.http import ApiClient
from api.cli.groups import NearGroup
from api.cli.output import note, print_json
from workflows.contracts.statuses import Priority

EXIT_CODES: Final = (
    "Exit codes: 0 done · 1 refused or not successful · 2 bad arguments, no server, wrong key · with --wait: the job's "
    "own exit code, 124 timeout, 130 cancelled · 130 interrupted · 141 broken pipe"
)

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Data directory of `hybridci up`. Default: HYBRIDCI_DATA_DIR, then .hybridci."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON, for programs.")]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id, or the beginning of it.")]
JobIds = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of jobs, or the beginnings of them.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why; kept with the job.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many to show.")]
All = Annotated[bool, typer.Option("--all", help="Show all; with --json as one array.")]
Cursor = Annotated[
    str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on where a list stopped, with the same filters.")
]
PriorityOption = Annotated[
    Priority | None, typer.Option("--priority", case_sensitive=False, help="Place in the pool's line.")
]


@contextmanager
def ending() -> Generator[None]:
    """Every command ends the same way: one sentence on stderr and an exit code, never a traceback."""
    try:
        yield
        sys.stdout.flush()
    except CliError as error:
        note(f"hybridci: {error.message}")
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        note("Interrupted.")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # The interpreter flushes stdout once more at exit and would complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(BROKEN_PIPE) from None


class CommandGroup(NearGroup):
    """Ends every command below it as ``ending`` does."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        with ending():
            return super().invoke(ctx)


class LoneCommand(TyperCommand):
    """A command that is in no group, since it takes arguments, and ends as those in one."""

    def invoke(self, ctx: Any) -> Any:
        """Run it."""
        with ending():
            return super().invoke(ctx)


def sub_app(help_text: str) -> typer.Typer:
    """A sub-application whose commands end through CommandGroup."""
    return typer.Typer(cls=CommandGroup, help=help_text, epilog=EXIT_CODES, no_args_is_help=True)


def example(*lines: str) -> str:
    """The epilog of a command's help."""
    return "\n\n".join(("Example:", *lines))


def open_api(data_dir: Path | None) -> ApiClient:
    """The API that the options, the environment and the contexts point to. Raises CliError."""
    connection = find_connection(data_dir)
    if connection.context is not None and sys.stderr.isatty() and (folder := data_folder(Path.cwd())) is not None:
        note(f"[{connection.context}] {connection.url}, not {folder}; `hybridci context use --none` changes that.")
    return ApiClient(connection)


def tell_more(page: Mapping[str, Any], what: str, *, always: bool = True) -> None:
    """A word to people about what a list does not show. ``always``: also where nobody looks at a terminal."""
    if page.get("stopped_early"):
        seen = f"Looked at {page['looked_at']} {what}" if page.get("looked_at") else f"Did not look at all {what}"
        note(f"{seen}, there can be more that match: go on with --cursor {page['next_cursor']}, or --all to the end.")
    elif page["next_cursor"] and (always or sys.stderr.isatty()):
        note("There are more: --limit N or --all shows them.")


def for_each(ids: list[str], act: Callable[[str], Any], tell: Callable[[Any], None], *, as_json: bool) -> None:
    """Do it for all of them: ``act`` returns the API's answer, ``tell`` says it to people.

    One answer is printed as it is, several as an array. Raises CliError at the end when any was refused.
    """
    done: list[Any] = []
    refused = 0
    for text in ids:
        try:
            answer = act(text)
        except CliError as error:
            if len(ids) == 1:
                raise
            refused += 1
            note(f"hybridci: {text}: {error.message}")
        else:
            done.append(answer)
            if not as_json:
                tell(answer)
    if as_json:
        print_json(done[0] if len(ids) == 1 else done)
    if refused:
        raise CliError(f"{refused} of {len(ids)} were refused; the others are done.")
