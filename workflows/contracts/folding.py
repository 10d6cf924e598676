"""How texts are compared when looks count: as Unicode's ``NFKC_Casefold`` has them, so that neither a letter's form nor
a sign that nobody sees makes two of one. Pure.

Deliberately not here: which texts are refused (``fields``), and letters of other scripts that look alike (UTS 39):
those are other texts.
"""

import re
import unicodedata
from typing import Final

IGNORABLE: Final = (
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""``Default_Ignorable_Code_Point`` (Unicode 16, DerivedCoreProperties.txt): what is shown as nothing at all."""
_UNSEEN: Final = re.compile(f"[{IGNORABLE}]")
_BLANK: Final = re.compile(rf"[\s\u2800{IGNORABLE}]*")
"""A braille pattern without dots is no white space, and looks like it."""


def folded(text: str) -> str:
    """``NFKC_Casefold``, with single blanks between words and none around."""
    once = unicodedata.normalize("NFKC", _UNSEEN.sub("", unicodedata.normalize("NFKC", text).casefold()))
    return " ".join(_UNSEEN.sub("", once).replace("\u2800", " ").casefold().split())


def looks_blank(text: str) -> bool:
    """True for a text of which nothing is seen."""
    return _BLANK.fullmatch(text) is not None
