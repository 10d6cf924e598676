"""Where a process may be asked how it is, as its operator writes it: ``host:port``, or a port of this machine.

Imports no library, for the gateway knows it. Deliberately not here: listening (``listener``), a field for settings
(``setting``).
"""

from typing import Final, NamedTuple

LOOPBACK: Final = "127.0.0.1"


class MonitoringAddress(NamedTuple):
    """``host`` may be a name, an IPv4 address or an IPv6 address without brackets."""

    host: str
    port: int

    @property
    def written(self) -> str:
        """As people and URLs write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_address(text: str) -> MonitoringAddress:
    """Raises ValueError: what it should have been."""
    host, _, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    digits = port.isascii() and port.isdecimal() and len(port) < 6
    if not digits or not 0 < int(port) <= 65535 or any(map(str.isspace, host)):
        raise ValueError("must be host:port, or the number of a port of this machine, such as 127.0.0.1:9101")
    return MonitoringAddress(host or LOOPBACK, int(port))
