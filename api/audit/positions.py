"""How far a follower has read, as text: an event's id, from which it goes on in any process of the API."""

from typing import Final

from workflows.contracts.audit.feed import Heads

POSITION_PATTERN: Final = r"^[0-9]{1,2}-[0-9]{1,15}(\.[0-9]{1,2}-[0-9]{1,15}){0,63}$"
"""``<shard>-<number>`` for every shard that has events, with dots between."""
_NOTHING: Final = "0-0"


def position_of(heads: Heads) -> str:
    """The text of a position. Nothing read: ``0-0``."""
    return ".".join(f"{shard}-{heads[shard]}" for shard in sorted(heads)) or _NOTHING


def heads_of(position: str) -> dict[int, int]:
    """The position in a text that matches POSITION_PATTERN; of a shard named twice, the last."""
    parts = (part.partition("-") for part in position.split("."))
    found = {int(shard): int(number) for shard, _, number in parts}
    return {shard: number for shard, number in found.items() if number}
