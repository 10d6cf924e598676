"""What bash says of a line that is completed, as the other shells say it.

bash ends words at ``@`` and ``:`` (its COMP_WORDBREAKS) and replaces only what stands behind a colon, or from an ``@``
on: of ``checkout@1<Tab>`` it tells ``checkout``, ``@`` and ``1``, and wants ``@1.4`` back, not ``checkout@1.4``.
Whoever took a sign out of COMP_WORDBREAKS gets whole words, and gives them. Sources: Bash Reference Manual,
"Programmable Completion"; GNU Readline Library, ``rl_special_prefixes``, which bash sets to ``$@``.
Deliberately not here: what is completed (``completing``).
"""

from collections.abc import MutableMapping, Sequence
from typing import Final

WORDS, PLACE, STAYS = "COMP_WORDS", "COMP_CWORD", "COMP_STAYS"
"""As typer's function for bash passes them; and how many signs of the last word bash leaves as they are."""
_BREAKS: Final = frozenset("@:")
_REPLACED_TOO: Final = "@"


def join_words(environ: MutableMapping[str, str]) -> None:
    """Put together what bash took apart, where that can be read."""
    words = environ.get(WORDS, "").split("\n")  # as bash joins them inside the function, whose IFS is a line end
    place = environ.get(PLACE, "")
    if not place.isdecimal() or int(place) >= len(words):
        return
    joined, last, stays = _joined(words[: int(place) + 1])
    if stays:
        environ[WORDS], environ[PLACE], environ[STAYS] = "\n".join(joined), str(last), str(stays)


def replaced(value: str, incomplete: str, environ: MutableMapping[str, str]) -> str:
    """What bash is to put in place of what it replaces, of a completion of the whole word."""
    stays = int(environ.get(STAYS) or 0)
    return value[stays:] if value.startswith(incomplete[:stays]) else value


def _joined(words: Sequence[str]) -> tuple[list[str], int, int]:
    """The words until the one that is completed, its place, and how many of its signs stay."""
    found: list[str] = []
    stays, open_end = 0, False
    for word in words:
        breaks = bool(word) and set(word) <= _BREAKS
        if found and breaks:
            found[-1] += word
            stays = len(found[-1]) - word.endswith(_REPLACED_TOO)
        elif found and open_end:
            found[-1] += word
        else:
            found.append(word)
            stays = 0
        open_end = breaks
    return found, len(found) - 1, stays
