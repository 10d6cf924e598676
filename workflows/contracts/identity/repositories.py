"""One form for all addresses of a repository.

A git host names one repository by several (https, ssh, with and without ``.git``), and callers use any of them.
"""

import re
from typing import Final
from urllib.parse import urlsplit

_SCP_LIKE: Final = re.compile(r"^(?:[^@/\s]+@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!//)(.+)$")
_DEFAULT_PORTS: Final = {"https": 443, "http": 80, "ssh": 22, "git": 9418}


def same_form(url: str) -> str:
    """One form for all addresses of a repository: ``host/owner/name``, in lower case but for files."""
    text = url.strip()
    scp = None if "://" in text else _SCP_LIKE.match(text)
    if scp is not None:
        return f"{scp[1]}/{_path(scp[2])}".casefold()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # an address no service can have
        return text
    if parts.scheme == "file":
        return f"file:{_path(parts.path)}"
    shown = f"{host}:{port}" if port is not None and port != _DEFAULT_PORTS.get(parts.scheme) else host
    return f"{shown}/{_path(parts.path)}".casefold()


def _path(path: str) -> str:
    return path.strip("/").removesuffix(".git").rstrip("/")
