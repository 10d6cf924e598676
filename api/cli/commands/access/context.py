"""`hybridci context`: the APIs that somebody signed in to, and which one is in use. Exit codes: see ``common``."""

import os
from typing import Annotated, Any

import typer

from api.cli.client.connection import CONTEXT_VARIABLE, USAGE, CliError
from api.cli.client.contexts import Contexts, SavedApi, UnusableContexts, forget, use
from api.cli.commands.common import AsJson, example, sub_app
from api.cli.output import Column, note, print_fields, print_json, print_table, say

app = sub_app("The APIs that you signed in to (`hybridci login`), and which one is in use.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="As `context list` shows it.")]


@app.command("list", epilog=example("hybridci context list"))
def list_contexts(as_json: AsJson = False) -> None:
    """List them; the star is at the one in use."""
    contexts = read_contexts()
    if as_json:
        print_json({"items": [_shown(contexts, each) for each in contexts.known.values()]})
        return
    if not contexts.known:
        say("No contexts. `hybridci login URL` adds one.")
        return
    rows = [("*" if each.name == contexts.used else "", each.name, each.url, each.who) for each in _sorted(contexts)]
    print_table((Column("", keep=True), Column("NAME", keep=True, key=True), Column("API"), Column("AS")), rows)


@app.command("use", epilog=example("hybridci context use ci.example.com", "hybridci context use --none"))
def use_context(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="As `context list` shows it.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Use none: what `hybridci up` runs here.")] = False,
) -> None:
    """Work with this one from now on."""
    if (name is None) != none:
        raise CliError("Give a NAME or --none.", USAGE)
    if name is not None:
        known(read_contexts(), name)
    _change(lambda: use(name))
    say("No context is in use." if name is None else f"In use: {name}.")
    if os.environ.get(CONTEXT_VARIABLE):
        note(f"{CONTEXT_VARIABLE} is set in this shell, and counts more.")


@app.command(epilog=example("hybridci context show", "hybridci context show ci.example.com"))
def show(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Default: the one in use.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show one: its API, as whom you signed in, and where its key is."""
    contexts = read_contexts()
    chosen = name or os.environ.get(CONTEXT_VARIABLE) or contexts.used
    if chosen is None:
        raise CliError("No context is in use: `hybridci context use NAME` uses one.")
    context = known(contexts, chosen)
    if as_json:
        print_json(_shown(contexts, context))
        return
    used = "yes" if context.name == contexts.used else "no"
    rows = [("Context", context.name), ("API", context.url), ("As", context.who), ("In use", used)]
    print_fields([*rows, ("Key", contexts.key_path(context.name))])


@app.command(epilog=example("hybridci context remove ci.example.com"))
def remove(name: Name) -> None:
    """Forget one and its key, as `hybridci logout` does."""
    known(read_contexts(), name)
    _change(lambda: forget(name))
    say(f"{name} is forgotten, and its key here. `hybridci key revoke` ends a key for good.")


def read_contexts() -> Contexts:
    """As they are. Raises CliError."""
    try:
        return Contexts.read()
    except UnusableContexts as error:
        raise CliError(str(error), USAGE) from None


def known(contexts: Contexts, name: str) -> SavedApi:
    """The one of this name. Raises CliError."""
    if name not in contexts.known:
        there = f"there are {', '.join(sorted(contexts.known))}" if contexts.known else "there is none"
        raise CliError(f"There is no context {name!r}; {there}.", USAGE)
    return contexts.known[name]


def _change(act: Any) -> None:
    try:
        act()
    except UnusableContexts as error:
        raise CliError(str(error), USAGE) from None


def _sorted(contexts: Contexts) -> list[SavedApi]:
    return sorted(contexts.known.values(), key=lambda each: each.name)


def _shown(contexts: Contexts, context: SavedApi) -> dict[str, Any]:
    return {
        "name": context.name, "url": context.url, "who": context.who, "in_use": context.name == contexts.used,
        "key_file": str(contexts.key_path(context.name)),
    }  # fmt: skip
