"""What the YAML parser trips over, in our own words.

Deliberately not here: reading YAML (``yaml_text``), which also says the line.
"""

from collections.abc import Mapping
from typing import Final

_INDENTATION: Final = "the lines are indented wrongly, or a bracket or quotation mark above has no second one"

_WORDS: Final[Mapping[str, str]] = {
    "mapping values are not allowed": "a second ': ' in one line, or wrong indentation; text with ': ' needs quotes",
    "found character that cannot start": "text that begins with this sign needs quotes, and tabs do not indent",
    "found character '": "text that begins with this sign needs quotes, and tabs do not indent",
    "found a tab": "a tab, which does not indent: use spaces",
    "could not find expected ':'": "a name without ': ' behind it",
    "did not find expected key": _INDENTATION,
    "did not find expected '-' indicator": "the lines are indented wrongly: '- ' is expected, as above",
    "expected <block end>": _INDENTATION,
    "block sequence entries are not allowed": "a '- ' where no list can begin: put it on a line of its own",
    "did not find expected ',' or ']'": "a list in […] goes on without ',' or has no ']'",
    "expected ',' or ']'": "a list in […] goes on without ',' or has no ']'",
    "did not find expected ',' or '}'": "a map in {…} goes on without ',' or has no '}'",
    "expected ',' or '}'": "a map in {…} goes on without ',' or has no '}'",
    "did not find expected node content": "a value is missing, or text that begins with this sign needs quotes",
    "found unexpected end of stream": "a quotation mark has no second one",
    "found unexpected document indicator": "a quotation mark has no second one before '---' or '...'",
    "found unknown escape character": "a backslash within \"…\" is followed by a letter that means nothing; use '…'",
    "did not find expected hexdecimal": 'a backslash within "…" is followed by too few digits',
    "did not find expected alphabetic or numeric": "text that begins with * or & needs quotes",
    "found undefined tag handle": "text that begins with ! needs quotes",
    "did not find expected whitespace": "text that begins with ! needs quotes",
    "did not find the expected '>'": "text that begins with ! needs quotes",
    "found unknown directive": "text that begins with % needs quotes",
    "did not find expected tag": "text that begins with ! needs quotes",
    "did not find URI": "text that begins with ! needs quotes",
    "did not find expected comment or line break": "behind | or > nothing else stands in the line",
    "did not find expected <document start>": "something stands behind the end of the document, or text that begins "
    "with % needs quotes",
    "control characters are not allowed": "a control character",
    "found duplicate": "a directive twice",
    "found incompatible YAML": "it asks for a version of YAML that is not known here",
    "unacceptable character": "a character that no YAML may hold",
    "special characters are not allowed": "a character that no YAML may hold",
}


def tripped_over(problem: str | None) -> str:
    """The parser's line in our own words."""
    found = problem or ""
    return next((ours for theirs, ours in _WORDS.items() if found.startswith(theirs)), "it cannot be read")
