"""How commands are found by what people type: singular and plural alike, and a word for what there is not.

Deliberately not here: the commands themselves (``main``, ``commands``) and in what order they are shown
(``directory``).
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

from api.cli.directory import OTHER_PANEL, PANELS_OF, in_order, line_of
from hybridci_command import COMPLETE_VARIABLE

VERBS: Final[Mapping[str, tuple[str, ...]]] = {
    "get": ("show", "list"),
    "describe": ("show",),
    "info": ("show",),
    "status": ("show",),
    "run": ("submit", "start"),
    "new": ("create", "submit", "start"),
    "add": ("create", "apply", "set"),
    "rm": ("remove", "revoke", "delete", "discard"),
    "remove": ("revoke", "delete", "discard", "lift"),
    "delete": ("revoke", "remove", "discard"),
    "stop": ("cancel", "abort", "drain"),
    "kill": ("cancel", "abort"),
    "abort": ("cancel",),
    "rerun": ("retry", "redrive"),
    "restart": ("retry", "redrive"),
    "tail": ("logs",),
    "follow": ("watch", "logs"),
    "grep": ("search",),
    "edit": ("apply",),
}
"""What other tools call it. Only hints: nobody deletes by a word that was guessed."""

_SAME: Final[Mapping[str, str]] = {"ls": "list"}


class NearGroup(TyperGroup):
    """Takes a command's name in singular and plural, and names what is near to one that does not exist.

    Its help page shows the commands in the panels of ``directory``, without loading them.
    """

    place = ""
    """Its name in ``directory``; the root has none."""
    _drawn = False
    """True while the help page or a shell's completion lists the commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of the help page."""
        return in_order(self.place, super().list_commands(ctx))

    def near(self, ctx: Any, word: str) -> str | None:
        """The command of this name, of its other number or of another word for it; None for none."""
        names = self.list_commands(ctx)
        return next((name for name in (word, *other_numbers(word), _SAME.get(word, "")) if name in names), None)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or None for an unknown name."""
        name = self.near(ctx, cmd_name)
        if name is None:
            return None
        if self._drawn and (line := line_of(self.place, name)) is not None:
            return TyperCommand(name, help=line[1], rich_help_panel=line[0])
        command = self.load(ctx, name)
        if command is not None and COMPLETE_VARIABLE in os.environ:
            from api.cli.completing import attach

            attach(command, self.place)
        if self._drawn and command is not None and self.place in PANELS_OF:
            command.rich_help_panel = OTHER_PANEL
        return command

    def load(self, ctx: Any, name: str) -> Any:
        """The command of exactly this name."""
        return super().get_command(ctx, name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command, called by its own name; an unknown one fails with what is near."""
        own = self.near(ctx, args[0])
        if own is None and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(unknown_command(args[0], self.list_commands(ctx), ctx.command_path))
        return super().resolve_command(ctx, args if own is None else [own, *args[1:]])

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """In panels, a line each."""
        self._drawn = True
        super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """The names that begin so."""
        self._drawn = True
        return super().shell_complete(ctx, incomplete)


def other_numbers(word: str) -> Iterable[str]:
    """``word`` in singular or plural, whichever it is not."""
    if word.endswith("ies"):
        yield f"{word[:-3]}y"
    if word.endswith("s"):
        yield word[:-1]
    else:
        yield f"{word}s"


def unknown_command(word: str, names: Sequence[str], path: str) -> str:
    """A sentence with what may have been meant."""
    meant = [name for name in VERBS.get(word, ()) if name in names]
    meant = (meant or get_close_matches(word, names, n=3, cutoff=0.6))[:3]
    if not meant:
        return f"There is no command {word!r}. `{path} --help` lists them."
    return f"There is no command {word!r}. Did you mean {_either([f'`{path} {name}`' for name in meant])}?"


def _either(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
