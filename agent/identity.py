"""Who this agent is."""

import re
import secrets
import socket
from typing import Final

from agent.settings import AgentSettings

_ID_FILE: Final = "agent-id"


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
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:63] or "host"
    created = f"{settings.pool}-{host}-{secrets.token_hex(2)}"
    file.write_text(created + "\n")
    return created
