"""Who this agent is: its id, the word that tells its state directory from others, and how often it was started."""

import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.settings import AgentSettings
from agent.state_file import remove_torn, replace_file

_ID_FILE: Final = "agent-id"
_INSTANCE_FILE: Final = "agent-instance"
_MAX_ID: Final = 128
_SUFFIX: Final = 6
"""Of an id: two hyphens and four digits."""


@dataclass(frozen=True, slots=True)
class Instance:
    """``word``: made once for each state directory. ``starts``: how often an agent has started there, this one too."""

    word: str
    starts: int


def agent_id(settings: AgentSettings) -> str:
    """The id this agent is known by: ``<pool>-<host>-<4 hex>``, the same after a restart and for a new host name.

    It is kept in the state directory, so one volume is one agent; an agent moved to another pool gets a new id.
    """
    if settings.agent_id is not None:
        return settings.agent_id
    file = settings.directory / _ID_FILE
    known = file.read_text().strip() if file.exists() else ""
    if re.fullmatch(re.escape(settings.pool) + r"-[A-Za-z0-9.-]{1,63}-[0-9a-f]{4}", known):
        return known
    room = min(63, _MAX_ID - _SUFFIX - len(settings.pool))
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:room] or "host"
    created = f"{settings.pool}-{host}-{secrets.token_hex(2)}"
    file.write_text(created + "\n")
    return created


def start_instance(directory: Path) -> Instance:
    """Count this start. Raises OSError. A file that cannot be understood makes it a new instance."""
    file = directory / _INSTANCE_FILE
    remove_torn(file)
    known = re.fullmatch(r"([A-Za-z0-9_-]{8,64}) ([0-9]{1,6})\n", file.read_text() if file.exists() else "")
    word, starts = (known[1], int(known[2]) + 1) if known else (secrets.token_hex(8), 1)
    replace_file(file, f"{word} {starts}\n".encode())
    return Instance(word, starts)
