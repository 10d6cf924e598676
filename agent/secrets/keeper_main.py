"""The keeper: a process that holds files in memory open, so that steps can open them by ``/proc/<its pid>/fd/<n>``.

Not in the agent, whose process shows nothing of itself to others; this one holds nothing else. It runs as the user that
steps run as, and ends with the agent, however that ends: its socket closes, and the files are gone.
Started as a script without the project (``-I -S``): the standard library only.
"""

import array
import ctypes
import os
import socket
import sys

_MESSAGE_BYTES = 64
_PR_SET_DUMPABLE = 4


def main(descriptor: int) -> None:
    """Take a file with ``k`` and answer its number; let go of one with ``c<number>`` and say so; until the socket
    closes.
    """
    with socket.socket(fileno=descriptor) as agent:
        while True:
            message, ancillary, _, _ = agent.recvmsg(_MESSAGE_BYTES, socket.CMSG_SPACE(array.array("i").itemsize))
            if not message:
                return
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    (held,) = array.array("i", data[: array.array("i").itemsize])
                    agent.sendall(b"%d" % held)
            if message.startswith(b"c"):
                os.close(int(message[1:]))
                agent.sendall(b"0")


def become(user: int, group: int) -> None:
    """Another user, for good. Whoever becomes one is not dumpable at first, and nobody could open its files."""
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        become(int(sys.argv[2]), int(sys.argv[3]))
    main(int(sys.argv[1]))
