"""Files that are in memory only, and gone with the agent however it ends: nothing of a secret touches a disk.

Deliberately not here: the process that steps open them by (``keeper``), since the agent's own shows nothing.
"""

import fcntl
import os
import sys
from dataclasses import dataclass

from agent.secrets.errors import SecretUnavailable
from agent.secrets.keeper import FileKeeper


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """Readable by the steps' user alone (mode 0600), writable by nobody, until it is closed."""

    keeper: FileKeeper
    process: int
    number: int

    @classmethod
    def create(cls, content: bytes, keeper: FileKeeper, owner: int | None = None) -> "MemoryFile":
        """``owner``: the user that steps run as, None: the agent's. Raises SecretUnavailable where the system has no
        such files, OSError when there is no memory.
        """
        if sys.platform != "linux":
            raise SecretUnavailable(
                "A secret with `as: file` needs Linux: hand it over in the variable, or run the job in another pool."
            )
        descriptor = os.memfd_create("hybridci-secret", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.fchmod(descriptor, 0o600)
            if owner is not None:
                os.fchown(descriptor, owner, -1)
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
            process, number = keeper.keep(descriptor)
        finally:
            os.close(descriptor)
        return cls(keeper, process, number)

    @property
    def path(self) -> str:
        """What steps open. By the keeper's process: a step's own children would not inherit a descriptor."""
        return f"/proc/{self.process}/fd/{self.number}"

    def close(self) -> None:
        """The memory is free when the last process that has it open is gone."""
        self.keeper.let_go(self.process, self.number)
