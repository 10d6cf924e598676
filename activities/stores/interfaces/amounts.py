"""How much is stored."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Amount:
    """Objects and their bytes. ``more``: there are more, which nobody counted."""

    objects: int = 0
    size: int = 0
    more: bool = False


NOTHING: Final = Amount()
