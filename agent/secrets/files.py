"""Files that are in memory only, and gone with the agent however it ends: nothing of a secret touches a disk."""

import fcntl
import os
import sys
from dataclasses import dataclass

from agent.secrets.errors import SecretUnavailable


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """Readable by the agent's user alone (mode 0600), writable by nobody, until it is closed."""

    descriptor: int

    @classmethod
    def create(cls, content: bytes) -> "MemoryFile":
        """Raises SecretUnavailable where the system has no such files, OSError when there is no memory."""
        if sys.platform != "linux":
            raise SecretUnavailable(
                "A secret with `as: file` needs Linux: hand it over in the variable, or run the job in another pool."
            )
        descriptor = os.memfd_create("hybridci-secret", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.fchmod(descriptor, 0o600)
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    @property
    def path(self) -> str:
        """What steps open. By the agent's process: a step's own children would not inherit a descriptor."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    def close(self) -> None:
        """The memory is free when the last process that has it open is gone."""
        os.close(self.descriptor)
